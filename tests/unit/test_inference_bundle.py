import asyncio
import hashlib
from pathlib import Path

import nkeys
import numpy as np
import pytest
from tests.broker.chain import catalogue

from flyball_inference.bundle import Bundle, ForeignBundleError, Parts, pack, unpack, verify
from flyball_inference.scoring import score
from flyball_inference.session import Session, UnusableModelError
from flyball_inference.store import Bundles
from flyball_kit import signing
from flyball_kit.errors import TransientError
from flyball_kit.objects import Objects
from flyball_kit.settings import KitSettings
from flyball_proto.bundles import encode_manifest
from flyball_proto.columns import F32
from flyball_proto.deployments import Placed
from flyball_proto.events import Signature, Variant
from flyball_proto.novelty import encode_novelty
from flyball_trainer.seatzero.baseline import baseline
from flyball_trainer.seatzero.onnxfile import write
from flyball_trainer.training.novelty import novelty

FOUND = catalogue("p")
ONNX, MANIFEST = write(baseline(FOUND.pipelines["p"], FOUND.sources["p"]))
PLACED = Placed(digest=MANIFEST.digest, trainer="baseline", feature_digest=MANIFEST.feature_digest)
PARTS = Parts(ONNX, encode_manifest(MANIFEST))
BUNDLE = Bundle(MANIFEST, PARTS)


def seed(folder: Path, name: str = "seed") -> tuple[Path, str]:
    """A file with a new user's seed, and its public key."""
    path = folder / name
    made = nkeys.encode_seed(hashlib.sha256(name.encode()).digest(), nkeys.PREFIX_BYTE_USER)
    path.write_bytes(made)
    return path, nkeys.from_seed(bytearray(made)).public_key.decode()


def signed(path: Path, manifest: bytes = PARTS.manifest) -> Parts:
    signature = signing.sign(path, manifest).model_dump_json().encode()
    return Parts(ONNX, PARTS.manifest, signature)


def test_a_bundle_survives_its_way_to_the_disk(tmp_path: Path) -> None:
    assert unpack(PLACED, pack(PARTS), ()) == verify(PLACED, PARTS, ()) == BUNDLE
    path, key = seed(tmp_path)
    assert unpack(PLACED, pack(signed(path)), {key}).parts == signed(path)


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
def test_what_is_not_what_the_deployment_names_is_refused(
    onnx: bytes, manifest: bytes, what: str
) -> None:
    with pytest.raises(ForeignBundleError, match=what):
        verify(PLACED, Parts(onnx, manifest), ())


def test_a_bundle_that_a_trusted_trainer_signed_is_taken(tmp_path: Path) -> None:
    path, key = seed(tmp_path)
    assert verify(PLACED, signed(path), {"U" + "A" * 55, key}).manifest == MANIFEST


def test_a_signature_that_is_missing_foreign_damaged_or_of_something_else_is_refused(
    tmp_path: Path,
) -> None:
    path, key = seed(tmp_path)
    stranger, _ = seed(tmp_path, "stranger")
    good = Signature.model_validate_json(signed(path).signature)
    forged = Signature(key=key, signature=signing.sign(stranger, PARTS.manifest).signature)
    for parts, what in (
        (PARTS, "its signature is missing or unreadable"),
        (PARTS._replace(signature=b"{}"), "its signature is missing or unreadable"),
        (signed(stranger), f"signed by .*trusted: {key}"),
        (signed(path, b"another manifest"), "does not fit"),
        (PARTS._replace(signature=forged.model_dump_json().encode()), "does not fit"),
        (
            signed(path)._replace(
                signature=good.model_copy(update={"signature": "&"}).model_dump_json().encode()
            ),
            "does not fit",
        ),
    ):
        with pytest.raises(ForeignBundleError, match=f"{what}.*the model in force stays"):
            verify(PLACED, parts, {key})
        assert verify(PLACED, parts, ()).manifest == MANIFEST


def session(onnx: bytes = ONNX, width: int = 2) -> Session:
    return Session(onnx, input_name="features", output_name="score", width=width)


def test_a_loaded_model_scores() -> None:
    rows = np.array([[0.9, 0.0], [np.nan, 1.0]], F32)
    assert score(session().run, rows).scores.tolist() == [0.5, 0.5]


@pytest.mark.parametrize(("onnx", "width"), [(b"no model", 2), (ONNX[:100], 2), (ONNX, 3)])
def test_a_model_that_does_not_load_or_fit_is_refused(onnx: bytes, width: int) -> None:
    with pytest.raises(UnusableModelError):
        session(onnx, width)


def store(folder: Path, *trusted: str) -> Bundles:
    """With S3 away."""
    return Bundles(Objects(KitSettings(s3_endpoint="127.0.0.1:1")), folder, 1 << 20, trusted)


def placed_like(digest: str) -> tuple[Placed, Bundle]:
    """Another bundle, as far as its name goes."""
    manifest = MANIFEST.model_copy(update={"digest": digest})
    return PLACED.model_copy(update={"digest": digest}), Bundle(
        manifest, Parts(b"", encode_manifest(manifest))
    )


async def test_a_bundle_in_use_is_read_from_disk_while_s3_is_away(tmp_path: Path) -> None:
    bundles = store(tmp_path / "bundles")
    await bundles.keep("p", [BUNDLE], {PLACED.digest})
    assert (await bundles.load("p", PLACED)).parts.onnx == ONNX
    assert [p.name for p in (tmp_path / "bundles").iterdir()] == [f"p.{PLACED.digest}.bundle"]


async def test_the_disk_holds_what_a_pipeline_uses_and_nothing_else(tmp_path: Path) -> None:
    bundles = store(tmp_path)
    others = [placed_like(c * 64)[1] for c in "abc"]
    await bundles.keep("p", [BUNDLE, others[0]], {PLACED.digest, "a" * 64})
    await bundles.keep("p-2", [others[1]], {"b" * 64})
    await bundles.keep("p", [others[2]], {PLACED.digest, "c" * 64})
    assert {p.name for p in tmp_path.iterdir()} == {
        f"p.{PLACED.digest}.bundle",
        f"p.{'c' * 64}.bundle",
        f"p-2.{'b' * 64}.bundle",
    }


@pytest.mark.parametrize(
    "damage", [b"", b"\n", b"1 \n", b"9999 0\n{}", b"-1 0\n", pack(PARTS)[:-1], pack(PARTS)[1:]]
)
async def test_a_damaged_file_on_disk_is_not_used(tmp_path: Path, damage: bytes) -> None:
    (tmp_path / f"p.{PLACED.digest}.bundle").write_bytes(damage)
    with pytest.raises(TransientError, match="does not answer"):
        await store(tmp_path).load("p", PLACED)


async def test_a_file_on_disk_needs_its_signature_too(tmp_path: Path) -> None:
    path, key = seed(tmp_path)
    await store(tmp_path).keep("p", [BUNDLE], {PLACED.digest})
    with pytest.raises(TransientError, match="does not answer"):
        await store(tmp_path, key).load("p", PLACED)
    await store(tmp_path).keep("p", [Bundle(MANIFEST, signed(path))], {PLACED.digest})
    assert (await store(tmp_path, key).load("p", PLACED)).manifest == MANIFEST


async def test_a_name_that_is_no_digest_never_becomes_a_path(tmp_path: Path) -> None:
    strange = PLACED.model_copy(update={"digest": "../../etc/passwd"})
    with pytest.raises(ForeignBundleError, match="not a SHA-256"):
        await store(tmp_path).load("p", strange)


async def test_a_disk_that_cannot_be_written_does_no_harm(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").write_text("in the way")
    await store(tmp_path / "file").keep("p", [BUNDLE], {PLACED.digest})
    assert "not kept on disk" in caplog.text


def test_digests_are_of_the_bytes() -> None:
    assert hashlib.sha256(ONNX).hexdigest() == MANIFEST.digest


SMALLER = b"a smaller form"
AS_INT8 = PLACED.model_copy(update={"precision": "int8"})


def with_int8(onnx: bytes = SMALLER) -> bytes:
    """The manifest, naming an int8 variant."""
    found = Variant(
        precision="int8",
        digest=hashlib.sha256(onnx).hexdigest(),
        size_bytes=len(onnx),
        difference=0.001,
        tolerance=0.01,
    )
    return encode_manifest(MANIFEST.model_copy(update={"variants": (found,)}))


def test_a_variant_is_what_the_manifest_says_of_it_or_it_is_refused() -> None:
    found = verify(AS_INT8, Parts(SMALLER, with_int8()), ())
    assert (found.name, found.parts.onnx) == (f"{PLACED.digest}.int8", SMALLER)
    assert verify(PLACED, Parts(ONNX, with_int8()), ()).name == PLACED.digest
    for parts, what in (
        (Parts(SMALLER + b"!", with_int8()), "SHA-256 of the ONNX file"),
        (Parts(ONNX, with_int8()), "SHA-256 of the ONNX file"),
        (Parts(SMALLER, PARTS.manifest), "names no int8 variant, only float32"),
    ):
        with pytest.raises(ForeignBundleError, match=what):
            verify(AS_INT8, parts, ())


async def test_two_forms_of_a_model_lie_on_disk_beside_each_other(tmp_path: Path) -> None:
    bundles, manifest = store(tmp_path), with_int8()
    both = [
        verify(PLACED, Parts(ONNX, manifest), ()),
        verify(AS_INT8, Parts(SMALLER, manifest), ()),
    ]
    await bundles.keep("p", both, {b.name for b in both})
    assert (await bundles.load("p", PLACED)).parts.onnx == ONNX
    assert (await bundles.load("p", AS_INT8)).parts.onnx == SMALLER
    await bundles.keep("p", [], {both[1].name})
    assert [p.name for p in tmp_path.iterdir()] == [f"p.{PLACED.digest}.int8.bundle"]


async def test_what_is_put_on_disk_for_a_newer_deployment_waits_for_an_older_one(
    tmp_path: Path,
) -> None:
    bundles = store(tmp_path)
    older = asyncio.ensure_future(bundles.keep("p", [], {"a" * 64}))
    await asyncio.sleep(0)
    older.cancel()  # the deployment moved on; its thread deletes what it does not know
    await bundles.keep("p", [BUNDLE], {PLACED.digest})
    assert [p.name for p in tmp_path.iterdir()] == [f"p.{PLACED.digest}.bundle"]


ROWS = np.random.default_rng(1).normal(size=(60, 2)).astype(F32)
LIKENESS = encode_novelty(novelty(ROWS, ROWS[:9]))


def naming(likeness: bytes = LIKENESS) -> bytes:
    """The manifest, naming novelty statistics."""
    digest = hashlib.sha256(likeness).hexdigest()
    return encode_manifest(MANIFEST.model_copy(update={"novelty_digest": digest}))


WITH_NOVELTY = Parts(ONNX, naming(), novelty=LIKENESS)


def test_novelty_statistics_go_with_the_model_to_the_disk_and_back(tmp_path: Path) -> None:
    for found in (verify(PLACED, WITH_NOVELTY, ()), unpack(PLACED, pack(WITH_NOVELTY), ())):
        assert found.novelty is not None
        assert encode_novelty(found.novelty) == found.parts.novelty == LIKENESS
        assert not found.lacks_novelty


@pytest.mark.parametrize(
    ("parts", "lacks"),
    [
        (PARTS, False),
        (Parts(ONNX, naming()), True),
        (Parts(ONNX, naming(), novelty=LIKENESS[:-8]), True),
        (Parts(ONNX, naming(b"junk"), novelty=b"junk"), True),
        (Parts(ONNX, PARTS.manifest, novelty=LIKENESS), False),
    ],
    ids=["an older model", "missing", "damaged", "junk that is vouched for", "not vouched for"],
)
def test_without_usable_statistics_a_model_answers_all_the_same(parts: Parts, lacks: bool) -> None:
    found = verify(PLACED, parts, ())
    assert found.novelty is None
    assert found.lacks_novelty == lacks


def test_a_file_that_an_earlier_version_put_on_disk_is_read(tmp_path: Path) -> None:
    earlier = f"{len(PARTS.manifest)} 0\n".encode() + PARTS.manifest + ONNX
    assert unpack(PLACED, earlier, ()) == BUNDLE
    path, key = seed(tmp_path)
    parts = signed(path)
    sizes = f"{len(parts.manifest)} {len(parts.signature)}\n".encode()
    assert unpack(PLACED, sizes + parts.manifest + parts.signature + ONNX, {key}).parts == parts


async def test_statistics_that_neither_disk_nor_s3_has_are_said_and_stop_nobody(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    kept = verify(PLACED, Parts(ONNX, naming()), ())
    await store(tmp_path).keep("p", [kept], {PLACED.digest})
    found = await store(tmp_path).load("p", PLACED)
    assert (found.parts.onnx, found.novelty) == (ONNX, None)
    assert "novelty.bin is missing or damaged" in caplog.text
