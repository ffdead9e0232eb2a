"""Ed25519 signatures with NKeys: who vouches for a bundle. A service signs with its own NATS key."""

import base64
import binascii
from collections.abc import Collection
from pathlib import Path

import nkeys
from nacl.exceptions import BadSignatureError
from nacl.signing import VerifyKey

from flyball_kit.errors import PermanentError
from flyball_proto.events import Signature


class ForeignSignatureError(PermanentError):
    """A signature is missing, damaged, or by somebody who is not trusted."""

    kind = "foreign-signature"


def sign(seed_file: Path, data: bytes) -> Signature:
    """Sign `data` with the NKey seed in a file."""
    pair = nkeys.from_seed(bytearray(seed_file.read_bytes().strip()))
    try:
        signature = base64.b64encode(pair.sign(data)).decode()
        return Signature(key=pair.public_key.decode(), signature=signature)
    finally:
        pair.wipe()


def verify(data: bytes, signature: Signature, trusted: Collection[str]) -> None:
    """Check that one of the `trusted` public NKeys signed `data`.

    Raises:
        ForeignSignatureError: It did not; says which key was found and which are valid.
    """
    if signature.key not in trusted:
        valid = ", ".join(sorted(trusted)) or "none: set the trainer's public key"
        raise ForeignSignatureError(f"signed by {signature.key[:60]!r}; trusted: {valid}")
    try:
        _verify_key(signature.key).verify(
            data, base64.b64decode(signature.signature, validate=True)
        )
    except (BadSignatureError, ValueError, binascii.Error) as error:
        raise ForeignSignatureError(
            f"the signature of {signature.key} does not fit the content: {error}"
        ) from error


def _verify_key(public: str) -> VerifyKey:
    """An NKey is base32 of a prefix byte, 32 bytes of key and two of checksum."""
    raw = base64.b32decode(public + "=" * (-len(public) % 8))
    return VerifyKey(raw[1:33])
