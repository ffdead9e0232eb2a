"""Where a model's bundle lies in S3, and how its manifest is written and digested."""

import hashlib
import json
import re
from typing import Final

from flyball_proto.events import Manifest

MAX_MANIFEST_BYTES: Final = 1 << 20
MAX_SIGNATURE_BYTES: Final = 4096
_DIGEST = re.compile(r"[0-9a-f]{64}")


def is_digest(text: str) -> bool:
    """Whether `text` is a SHA-256 in hex, lower case; anything else may not stand in a key."""
    return _DIGEST.fullmatch(text) is not None


def onnx_key(digest: str) -> str:
    """The S3 key of the ONNX file."""
    return f"models/{digest}/model.onnx"


def manifest_key(digest: str) -> str:
    """The S3 key of the manifest."""
    return f"models/{digest}/manifest.json"


def signature_key(digest: str) -> str:
    """The S3 key of the signature over the manifest."""
    return f"models/{digest}/signature.json"


def report_key(digest: str) -> str:
    """The S3 key of the holdout report: measured, so not covered by digest or signature."""
    return f"models/{digest}/report.json"


def dataset_key(digest: str) -> str:
    """The S3 key of a training data set."""
    return f"datasets/{digest}.parquet"


def encode_manifest(manifest: Manifest) -> bytes:
    """Canonical JSON: the same manifest has the same bytes and the same digest everywhere."""
    return _canonical(manifest.model_dump(mode="json"))


def content_digest(manifest: Manifest) -> str:
    """SHA-256, hex, of the manifest without the ONNX file's digest.

    It stands in the ONNX file's metadata, so that two bundles share a digest only if their
    manifests agree too: `models/<digest>/` never needs another manifest.
    """
    return hashlib.sha256(
        _canonical(manifest.model_dump(mode="json", exclude={"digest"}))
    ).hexdigest()


def _canonical(value: dict[str, object]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
