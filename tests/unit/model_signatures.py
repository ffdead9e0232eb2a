"""OpenSSF model signatures as a trainer makes them, with keys made here."""

from pathlib import Path
from tempfile import TemporaryDirectory

from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import ec
from model_signing import signing

SIGNED = ("model.onnx", "manifest.json")


def keys(folder: Path, name: str) -> tuple[Path, Path]:
    """PEM files of a private key and its public one."""
    pair = ec.generate_private_key(ec.SECP256R1())
    private, public = folder / f"{name}.pem", folder / f"{name}.pub.pem"
    form, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    private.write_bytes(pair.private_bytes(serialization.Encoding.PEM, form, plain))
    info = serialization.PublicFormat.SubjectPublicKeyInfo
    public.write_bytes(pair.public_key().public_bytes(serialization.Encoding.PEM, info))
    return private, public


def signature(files: dict[str, bytes], private: Path, *names: str) -> bytes:
    """`model.sig` over these files of a bundle."""
    with TemporaryDirectory() as folder:
        bundle = Path(folder, "bundle")
        bundle.mkdir()
        for name in names or SIGNED:
            (bundle / name).write_bytes(files[name])
        config = signing.Config().use_elliptic_key_signer(private_key=private)  # type: ignore[no-untyped-call]
        config.sign(bundle, Path(folder, "model.sig"))
        return Path(folder, "model.sig").read_bytes()
