import hashlib
from datetime import UTC, datetime
from pathlib import Path

import numpy as np
import pytest
from tests.broker.chain import catalogue

from flyball_inference.bundle import Bundle, ForeignBundleError, pack, unpack, verify
from flyball_inference.scoring import score
from flyball_inference.session import Session, UnusableModelError
from flyball_inference.store import Bundles
from flyball_kit.errors import TransientError
from flyball_kit.objects import Objects
from flyball_kit.settings import KitSettings
from flyball_proto.bundles import encode_manifest
from flyball_proto.columns import F32
from flyball_proto.deployments import ActiveModel
from flyball_trainer.baseline import baseline
from flyball_trainer.onnxfile import write

FOUND = catalogue("p")
ONNX, MANIFEST = write(baseline(FOUND.pipelines["p"], FOUND.sources["p"]))
POINTER = ActiveModel(
    digest=MANIFEST.digest,
    trainer="baseline",
    feature_digest=MANIFEST.feature_digest,
    epoch=1,
    since=datetime(2026, 1, 1, tzinfo=UTC),
    reason="test",
)


def test_a_bundle_survives_its_way_to_the_disk() -> None:
    bundle = verify(POINTER, ONNX, encode_manifest(MANIFEST))
    assert unpack(POINTER, pack(bundle)) == bundle == Bundle(MANIFEST, ONNX)


@pytest.mark.parametrize(
    ("onnx", "manifest", "what"),
    [
        (ONNX[:-1], encode_manifest(MANIFEST), "SHA-256 of the ONNX file"),
        (ONNX, encode_manifest(MANIFEST.model_copy(update={"digest": "0" * 64})), "digest in the"),
        (ONNX, encode_manifest(MANIFEST.model_copy(update={"feature_digest": "0"})), "feature"),
        (ONNX, b"{", "manifest is unreadable"),
    ],
    ids=["truncated", "another model's manifest", "other features", "no manifest"],
)
def test_what_is_not_the_pointers_bundle_is_refused(
    onnx: bytes, manifest: bytes, what: str
) -> None:
    with pytest.raises(ForeignBundleError, match=what):
        verify(POINTER, onnx, manifest)


def session(onnx: bytes = ONNX, width: int = 2) -> Session:
    return Session(onnx, input_name="features", output_name="score", width=width)


def test_a_loaded_model_scores() -> None:
    rows = np.array([[0.9, 0.0], [np.nan, 1.0]], F32)
    assert score(session().run, rows).tolist() == [0.5, 0.5]


@pytest.mark.parametrize(("onnx", "width"), [(b"no model", 2), (ONNX[:100], 2), (ONNX, 3)])
def test_a_model_that_does_not_load_or_fit_is_refused(onnx: bytes, width: int) -> None:
    with pytest.raises(UnusableModelError):
        session(onnx, width)


async def test_the_last_bundle_is_read_from_disk_while_s3_is_away(tmp_path: Path) -> None:
    away = Objects(KitSettings(s3_endpoint="127.0.0.1:1"))
    bundles = Bundles(away, tmp_path / "bundles", 1 << 20)
    await bundles.keep("p", Bundle(MANIFEST, ONNX))
    assert (await bundles.load("p", POINTER)).onnx == ONNX
    assert [path.name for path in (tmp_path / "bundles").iterdir()] == ["p.bundle"]


@pytest.mark.parametrize("damage", [b"", b"\n", b"{}\n", pack(Bundle(MANIFEST, ONNX))[:-1]])
async def test_a_damaged_file_on_disk_is_not_used(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / "p.bundle").write_bytes(damage)
    away = Objects(KitSettings(s3_endpoint="127.0.0.1:1"))
    with pytest.raises(TransientError, match="does not answer"):
        await Bundles(away, tmp_path, 1 << 20).load("p", POINTER)


async def test_a_disk_that_cannot_be_written_does_no_harm(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    away = Objects(KitSettings(s3_endpoint="127.0.0.1:1"))
    await Bundles(away, tmp_path / "file", 1 << 20).keep("p", Bundle(MANIFEST, ONNX))
    assert "not kept on disk" in caplog.text


def test_digests_are_of_the_bytes() -> None:
    assert hashlib.sha256(ONNX).hexdigest() == MANIFEST.digest
