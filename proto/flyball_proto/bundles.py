"""Where a model's bundle lies in S3, and how its manifest is written and digested."""

import hashlib
import json
import re
from typing import Final, Literal, NamedTuple

import numpy as np

from flyball_proto.columns import F32, F64, Column
from flyball_proto.events import Manifest

MAX_MANIFEST_BYTES: Final = 1 << 20
MAX_SIGNATURE_BYTES: Final = 4096
MAX_OMS_BYTES: Final = 64 << 10
MAX_EXPECTED_BYTES: Final = 8 << 20
MAX_EXPECTED_ROWS: Final = 1_024
ADDED_LATER: Final = (
    "fitted_until_ms", "classes", "class_weight", "searched", "executor", "expected_digest", "variants", "first_sequence",
    "first_ms", "novelty_digest",
)  # fmt: skip
"""Fields of a manifest that stand in its bytes only where they say something, so that a manifest
which an earlier version wrote has the same bytes and the same digest."""

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


def expected_key(digest: str) -> str:
    """The S3 key of rows and what the fitted model says of them; see `encode_expected`."""
    return f"models/{digest}/expected.bin"


def novelty_key(digest: str) -> str:
    """The S3 key of the statistics of the training rows; see `novelty.encode_novelty`."""
    return f"models/{digest}/novelty.bin"


def variant_key(digest: str, precision: str) -> str:
    """The S3 key of a smaller form of a model, `digest` being the model's."""
    return f"models/{digest}/model.{precision}.onnx"


def bom_key(digest: str) -> str:
    """The S3 key of the CycloneDX bill of materials."""
    return f"models/{digest}/bom.cdx.json"


def card_key(digest: str, form: Literal["json", "md"]) -> str:
    """The S3 key of the model card, for programs or for people."""
    return f"models/{digest}/card.{form}"


def oms_key(digest: str) -> str:
    """The S3 key of the OpenSSF model signature over `model.onnx` and `manifest.json`."""
    return f"models/{digest}/model.sig"


def dataset_key(digest: str) -> str:
    """The S3 key of a training data set."""
    return f"datasets/{digest}.parquet"


def encode_manifest(manifest: Manifest) -> bytes:
    """Canonical JSON: the same manifest has the same bytes and the same digest everywhere."""
    return _canonical(_said(manifest))


def content_digest(manifest: Manifest) -> str:
    """SHA-256, hex, of the manifest without the digests of the ONNX file and its variants.

    It stands in the ONNX file's metadata, so that two bundles share a digest only if their
    manifests agree too: `models/<digest>/` never needs another manifest.
    """
    said = _said(manifest.model_copy(update={"digest": "", "variants": ()}))
    del said["digest"]
    return hashlib.sha256(_canonical(said)).hexdigest()


class Expected(NamedTuple):
    """Rows, and what the fitted model itself says of them: whoever loads the ONNX file can compare.

    Holdout rows first, then the model's edges, then missing, infinite, zero and unseen values.
    """

    feature: Column  # f32 (n, width)
    score: Column  # f64 (n, outputs); 1 output, or one a class


class ExpectedError(ValueError):
    """The bytes are no `expected.bin`."""


def encode_expected(expected: Expected) -> bytes:
    """Three u32 (rows, width, outputs), then both arrays, little-endian and row by row."""
    rows, width = expected.feature.shape
    head = np.array([rows, width, expected.score.shape[1]], "<u4").tobytes()
    feature = np.ascontiguousarray(expected.feature, F32).tobytes()
    return head + feature + np.ascontiguousarray(expected.score, F64).tobytes()


def decode_expected(data: bytes) -> Expected:
    """What `encode_expected` was given.

    Raises:
        ExpectedError: the sizes do not fit the bytes, or are beyond the bounds.
    """
    if not 12 <= len(data) <= MAX_EXPECTED_BYTES:
        raise ExpectedError(f"{len(data)} bytes; 12 to {MAX_EXPECTED_BYTES} are possible")
    rows, width, outputs = (int(n) for n in np.frombuffer(data, "<u4", 3))
    needed = 12 + rows * (width * F32.itemsize + outputs * F64.itemsize)
    if rows > MAX_EXPECTED_ROWS or len(data) != needed:
        raise ExpectedError(
            f"{rows} rows of {width} features and {outputs} outputs in {len(data)} bytes; "
            f"{needed} bytes and at most {MAX_EXPECTED_ROWS} rows are right"
        )
    split = 12 + rows * width * F32.itemsize
    feature = np.frombuffer(data[12:split], F32).reshape(rows, width)
    return Expected(feature, np.frombuffer(data[split:], F64).reshape(rows, outputs))


def _said(manifest: Manifest) -> dict[str, object]:
    fields = Manifest.model_fields
    silent = {n for n in ADDED_LATER if getattr(manifest, n) == fields[n].default}
    return manifest.model_dump(mode="json", exclude=silent)


def _canonical(value: dict[str, object]) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
