"""OpenSSF model signatures: what anybody can verify with `python -m model_signing verify key`.

The library is imported with the first signature (0.8 s, 49 MiB). It signs folders, so the files go
into one that is gone afterwards.
"""

import tempfile
from collections.abc import Mapping
from pathlib import Path

from flyball_kit.errors import PermanentError
from flyball_proto.bundles import MAX_OMS_BYTES


class SigningKeyError(PermanentError):
    """The key file cannot be used."""

    kind = "signing-key"


def model_signature(key_file: Path, files: Mapping[str, bytes], folder: str) -> bytes:
    """A Sigstore bundle over `files` by name, signed with an EC private key in PEM; `folder` names them.

    Two signatures of the same files differ (ECDSA is drawn); each verifies.

    Raises:
        SigningKeyError: there is no such file, or it holds no EC private key of P-256, 384 or 521.
    """
    from model_signing.signing import Config  # noqa: PLC0415 - heavy

    try:
        config = Config()  # type: ignore[no-untyped-call] # its __init__ says nothing
        config.use_elliptic_key_signer(private_key=key_file)
    except (OSError, ValueError, TypeError) as error:
        raise SigningKeyError(
            f"the model signing key {key_file} cannot be used ({error}); an EC P-256 private key in "
            "PEM without a password is right: openssl ecparam -name prime256v1 -genkey -noout"
        ) from error
    with tempfile.TemporaryDirectory(prefix="flyball-sign-") as temporary:
        model, signature = Path(temporary) / folder, Path(temporary) / "model.sig"
        model.mkdir()
        for name, data in files.items():
            (model / name).write_bytes(data)
        config.sign(model, signature)
        written = signature.read_bytes()
    if len(written) > MAX_OMS_BYTES:
        raise SigningKeyError(f"a signature of {len(written)} bytes; at most {MAX_OMS_BYTES} fit")
    return written
