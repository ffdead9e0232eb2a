"""OpenSSF model signatures: who vouches for `model.onnx` and `manifest.json`. Reads key files only.

The library is heavy, so it is loaded when it is needed. Nothing is asked of the network.
"""

import base64
import json
from collections.abc import Sequence
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any, Final

from flyball_registry.admission.claims import MAX_WORDS, Unfit

NAMES: Final = ("manifest.json", "model.onnx")
CHECK: Final = "model-signature"


def unsigned(
    onnx: bytes, manifest: bytes, signature: bytes | None, keys: Sequence[str]
) -> Unfit | None:
    """Why a bundle is signed by none of these public keys (PEM files); None = one of them did."""
    limit = f"model.sig by {' or '.join(Path(key).name for key in keys)}"
    if signature is None:
        return Unfit(CHECK, "none", limit)
    found = ""
    with TemporaryDirectory(prefix="flyball-") as folder:
        bundle, written = Path(folder, "bundle"), Path(folder, "model.sig")
        bundle.mkdir()
        for name, data in zip(NAMES, (manifest, onnx), strict=True):
            (bundle / name).write_bytes(data)
        written.write_bytes(signature)
        for key in keys:
            if not (found := _mismatch(bundle, written, key)):
                return None
    return Unfit(CHECK, found, limit)


def _mismatch(bundle: Path, written: Path, key: str) -> str:
    from model_signing import verifying  # noqa: PLC0415 - heavy, and only where keys are set

    config: Any = verifying.Config()  # type: ignore[no-untyped-call] # as the library has it
    config = config.use_elliptic_key_verifier(public_key=Path(key))
    try:
        config.verify(bundle, written)
        names = _signed(written)
    except _failures() as error:
        words = (str(error).strip().splitlines() or [type(error).__name__])[0]
        return f"one that does not fit: {words}"[:MAX_WORDS]
    return "" if names == list(NAMES) else f"a signature over {', '.join(names)}"[:MAX_WORDS]


def _signed(written: Path) -> list[str]:
    """The files that a signature which fits is over: it may leave some out."""
    payload = json.loads(written.read_bytes())["dsseEnvelope"]["payload"]
    resources = json.loads(base64.b64decode(payload))["predicate"]["resources"]
    return sorted(resource["name"] for resource in resources)


def _failures() -> tuple[type[Exception], ...]:
    """What a signature that is none can end in."""
    from cryptography.exceptions import InvalidSignature  # noqa: PLC0415 - as above

    return (InvalidSignature, ValueError, TypeError, LookupError, AttributeError, RuntimeError)
