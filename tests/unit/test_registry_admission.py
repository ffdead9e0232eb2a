import hashlib
import os
from collections.abc import Callable
from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import nkeys
import numpy as np
import pytest
from onnx import ModelProto, TensorProto, helper, numpy_helper
from tests.broker.chain import catalogue

from flyball_kit import signing
from flyball_proto.bundles import encode_manifest
from flyball_proto.events import Manifest, ModelTrained
from flyball_registry.admission.checks import Expected, Found, Refusal, examine
from flyball_registry.admission.examining import too_dear
from flyball_trainer.seatzero.baseline import baseline
from flyball_trainer.seatzero.onnxfile import write

CATALOGUE = catalogue("p")
ONNX, MANIFEST = write(baseline(CATALOGUE.pipelines["p"], CATALOGUE.sources["p"]))
EXPECTED = Expected(MANIFEST.feature_digest, MANIFEST.features, "binary", 1_000_000)


def sha(data: bytes) -> str:
    return hashlib.sha256(data).hexdigest()


def claim(onnx: bytes, manifest: bytes, **changes: Any) -> ModelTrained:
    facts = {
        "pipeline": "p",
        "at": datetime(2026, 1, 1, tzinfo=UTC),
        "digest": sha(onnx),
        "manifest_digest": sha(manifest),
        "trainer": "baseline",
        "feature_digest": MANIFEST.feature_digest,
        "size_bytes": len(onnx),
    }
    return ModelTrained(**facts | changes)


def examined(
    onnx: bytes = ONNX, expected: Expected | None = EXPECTED, **manifest: Any
) -> Refusal | None:
    """Examine an honest bundle around this ONNX file: all digests are right."""
    written = encode_manifest(MANIFEST.model_copy(update={"digest": sha(onnx), **manifest}))
    return examine(claim(onnx, written), Found(len(onnx), onnx, written), expected)


def changed(change: Callable[[ModelProto], object]) -> bytes:
    model = ModelProto.FromString(ONNX)
    change(model)
    return model.SerializeToString()


def test_the_baseline_is_admitted() -> None:
    assert examined() is None


WRITTEN = encode_manifest(MANIFEST)


@pytest.mark.parametrize(
    ("what", "found", "expected", "check"),
    [
        (claim(ONNX, WRITTEN), Found(None), EXPECTED, "presence"),
        (claim(ONNX, WRITTEN), Found(len(ONNX), ONNX), EXPECTED, "presence"),
        (claim(ONNX, WRITTEN), Found(2_000_000), EXPECTED, "size"),
        (claim(ONNX, WRITTEN), Found(len(ONNX), ONNX[:-1], WRITTEN), EXPECTED, "digest"),
        (claim(ONNX, WRITTEN), Found(len(ONNX), ONNX, WRITTEN + b" "), EXPECTED, "manifest-digest"),
        (claim(ONNX, b"{}"), Found(len(ONNX), ONNX, b"{}"), EXPECTED, "manifest"),
        (claim(ONNX, WRITTEN), Found(len(ONNX), ONNX, WRITTEN), None, "pipeline"),
        (claim(ONNX, WRITTEN, digest="../../etc"), Found(None), EXPECTED, "digest"),
        (claim(ONNX, WRITTEN, feature_digest="0"), Found(None), EXPECTED, "features"),
    ],
    ids=[
        "absent",
        "without manifest",
        "too large",
        "truncated",
        "another manifest",
        "no manifest",
        "no pipeline",
        "no digest",
        "other features",
    ],
)
def test_what_is_wrong_with_a_bundle_is_named(
    what: ModelTrained, found: Found, expected: Expected | None, check: str
) -> None:
    refusal = examine(what, found, expected)
    assert refusal is not None
    assert refusal.check == check


@pytest.mark.parametrize(
    ("manifest", "check"),
    [
        ({"pipeline": "q"}, "manifest"),
        ({"trainer": "somebody"}, "manifest"),
        ({"task": "regression"}, "manifest"),
        ({"feature_digest": "0" * 64}, "manifest"),
        ({"features": ("load.last",)}, "features"),
        ({"features": tuple(reversed(MANIFEST.features))}, "features"),
        ({"input_name": "x"}, "input"),
        ({"output_name": "y"}, "output"),
    ],
)
def test_a_manifest_must_be_of_this_pipeline_and_this_file(
    manifest: dict[str, Any], check: str
) -> None:
    refusal = examined(**manifest)
    assert refusal is not None
    assert refusal.check == check


def external(model: ModelProto) -> None:
    tensor = model.graph.initializer[0]
    tensor.data_location = TensorProto.EXTERNAL
    tensor.external_data.add(key="location", value="/etc/passwd")


def hidden(model: ModelProto) -> None:
    tensor = numpy_helper.from_array(np.zeros(1, np.float32), "t")
    tensor.external_data.add(key="location", value="/etc/passwd")
    model.graph.node.append(helper.make_node("Constant", [], ["unused"], value=tensor))


def loop(model: ModelProto) -> None:
    body = helper.make_graph([], "body", [], [])
    model.graph.node.append(helper.make_node("Loop", ["", ""], ["never"], body=body))


def constant_output(value: float) -> Callable[[ModelProto], None]:
    def change(model: ModelProto) -> None:
        for tensor in model.graph.initializer:
            if tensor.name == "prior":
                tensor.CopyFrom(numpy_helper.from_array(np.array([value], np.float32), "prior"))

    return change


def set_width(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[1].dim_value = 3


def fix_rows(model: ModelProto) -> None:
    model.graph.input[0].type.tensor_type.shape.dim[0].dim_value = 1


@pytest.mark.parametrize(
    ("change", "check"),
    [
        (external, "external-data"),
        (hidden, "external-data"),
        (loop, "operators"),
        (lambda m: m.opset_import.add(domain="com.evil", version=1), "domain"),
        (lambda m: setattr(m.graph.node[0], "domain", "com.evil"), "domain"),
        (lambda m: setattr(m.opset_import[0], "version", 99), "opset"),
        (lambda m: m.functions.add(name="f"), "operators"),
        (lambda m: m.graph.node.add(op_type="Expand"), "operators"),
        (lambda m: m.graph.node.extend(1001 * [m.graph.node[0]]), "operators"),
        (lambda m: setattr(m.graph.node[0], "op_type", "NoSuchOperator"), "onnx"),
        (set_width, "input"),
        (fix_rows, "input"),
        (lambda m: m.graph.output.add(), "onnx"),
        (constant_output(float("nan")), "scores"),
        (constant_output(7.0), "scores"),
    ],
    ids=[
        "external tensor",
        "external tensor in a node",
        "loop",
        "foreign domain",
        "foreign operator",
        "newer operators",
        "function",
        "growing operator",
        "too many operators",
        "unknown operator",
        "another width",
        "fixed rows",
        "second output",
        "not finite",
        "no probability",
    ],
)
def test_what_is_wrong_with_a_model_is_named(
    change: Callable[[ModelProto], object], check: str
) -> None:
    refusal = examined(changed(change))
    assert refusal is not None
    assert refusal.check == check
    assert refusal.found
    assert refusal.limit


LEARNT: dict[str, Any] = {
    "trainer": "recent",
    "kind": "lightgbm",
    "trained_through": {"0": 9},
    "trained_through_ms": 900,
    "holdout_from_ms": 800,
}


@pytest.mark.parametrize(
    ("changes", "check"),
    [
        ({}, None),
        ({"holdout_from_ms": 0}, "holdout"),
        ({"holdout_from_ms": 901}, "holdout"),
        ({"trained_through": {}}, "manifest"),
        ({"trained_through": {"0": 8}}, "manifest"),
        ({"kind": "ridge"}, "manifest"),
    ],
)
def test_a_learnt_model_says_what_it_learnt_from_and_held_something_out(
    changes: dict[str, Any], check: str | None
) -> None:
    manifest = MANIFEST.model_copy(update=LEARNT | changes)
    written = encode_manifest(manifest)
    told = claim(ONNX, written, trainer="recent", kind="lightgbm", trained_through={"0": 9})
    refusal = examine(told, Found(len(ONNX), ONNX, written), EXPECTED)
    assert (refusal.check if refusal else None) == check


@pytest.fixture
def key(tmp_path: Path) -> tuple[Path, str]:
    """A trainer's seed file and its public key."""
    pair = nkeys.from_seed(nkeys.encode_seed(os.urandom(32), nkeys.PREFIX_BYTE_USER))
    seed = tmp_path / "seed"
    seed.write_bytes(bytes(pair.seed))
    return seed, pair.public_key.decode()


def signed(data: bytes, seed: Path) -> bytes:
    return signing.sign(seed, data).model_dump_json().encode()


def test_a_bundle_is_admitted_with_the_signature_of_a_trusted_key(key: tuple[Path, str]) -> None:
    found = Found(len(ONNX), ONNX, WRITTEN, signed(WRITTEN, key[0]))
    assert examine(claim(ONNX, WRITTEN), found, EXPECTED, {key[1]}) is None


@pytest.mark.parametrize("damage", ["missing", "foreign", "of another manifest", "no signature"])
def test_a_bundle_without_a_trusted_signature_is_refused_before_the_model_is_parsed(
    key: tuple[Path, str], damage: str
) -> None:
    seed, public = key
    signature = {
        "missing": None,
        "foreign": signed(WRITTEN, seed),
        "of another manifest": signed(WRITTEN + b" ", seed),
        "no signature": b"{}",
    }[damage]
    trusted = {"U" + "A" * 55} if damage == "foreign" else {public}
    junk = b"no model at all"
    written = encode_manifest(MANIFEST.model_copy(update={"digest": sha(junk)}))
    if damage == "foreign":
        signature = signed(written, seed)
    found = Found(len(junk), junk, written, signature)
    refusal = examine(claim(junk, written), found, EXPECTED, trusted)
    assert refusal is not None
    assert refusal.check == "signature"
    assert refusal.found
    assert next(iter(trusted)) in refusal.limit


def test_what_is_above_its_budget_is_refused_naming_both() -> None:
    assert too_dear(2.0, 0, EXPECTED) is None
    assert too_dear(2.5, 0, EXPECTED) == Refusal("latency", "p99 2.5 ms", "2 ms")
    memory = Refusal("memory", "64000001 bytes when loaded and run", "64000000 bytes")
    assert too_dear(2.0, 64_000_001, EXPECTED) == memory


def test_bytes_that_are_no_model_are_refused() -> None:
    for data in (b"", b"no model at all", ONNX[: len(ONNX) // 2]):
        refusal = examined(data)
        assert refusal is not None


def test_a_model_of_another_width_is_refused_naming_both() -> None:
    wide = replace(EXPECTED, features=(*EXPECTED.features, "users.last"))
    refusal = examined(expected=wide, features=wide.features)
    assert refusal == Refusal("input", "features f32 (n, 2)", "features f32 (n, 3)")


def test_a_manifest_is_digested_in_one_canonical_form() -> None:
    assert encode_manifest(Manifest.model_validate_json(WRITTEN)) == WRITTEN
