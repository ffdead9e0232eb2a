"""What the trainer makes, of every kind and for every task, is what admission admits."""

from dataclasses import replace
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

import pytest
from tests.unit.hostile_models import sha
from tests.unit.model_signatures import keys
from tests.unit.training_rows import class_rows, order

from flyball_proto.bundles import encode_manifest
from flyball_proto.events import ModelTrained
from flyball_registry.admission.checks import examine
from flyball_registry.admission.claims import Expected, Found, Refusal
from flyball_trainer.bundling.signing import model_signature
from flyball_trainer.training.fitting import Trained, train

CLASSES = ("low", "middle", "high")
SMALL: dict[str, dict[str, Any]] = {
    "lightgbm": {"n_estimators": 10},
    "histogram": {"max_iter": 10},
    "forest": {"n_estimators": 10},
    "mlp": {"max_iter": 10},
    "logistic": {},
    "ridge": {},
}
MADE = [
    (kind, task)
    for kind in SMALL
    for task in ("binary", "multiclass", "regression")
    if (kind, task)
    not in (("ridge", "binary"), ("ridge", "multiclass"), ("logistic", "regression"))
]


def trained(kind: str, task: str, **more: Any) -> Trained:
    if task == "multiclass":
        more |= {"rows": class_rows(), "classes": CLASSES}
    found = train(order(kind, task, parameters=SMALL[kind], **more))
    assert isinstance(found, Trained), found
    return found


def bundle(made: Trained) -> tuple[ModelTrained, Found, Expected]:
    """What is told of it, what lies in S3 and what the pipeline wants."""
    manifest, written = made.manifest, encode_manifest(made.manifest)
    told = ModelTrained(
        pipeline=manifest.pipeline,
        at=datetime(2026, 1, 1, tzinfo=UTC),
        digest=sha(made.onnx),
        manifest_digest=sha(written),
        trainer=manifest.trainer,
        kind=manifest.kind,
        feature_digest=manifest.feature_digest,
        size_bytes=len(made.onnx),
        trained_through=manifest.trained_through,
    )
    forms = {v.precision: made.files[f"model.{v.precision}.onnx"] for v in manifest.variants}
    rows = made.files["expected.bin"]
    found = Found(
        len(made.onnx),
        made.onnx,
        written,
        expected=rows,
        variants=forms,
        novelty=made.files["novelty.bin"],
    )
    classes = CLASSES if manifest.task == "multiclass" else ()
    wanted = Expected(manifest.feature_digest, manifest.features, manifest.task, 8_000_000)
    return told, found, replace(wanted, classes=classes)


@pytest.mark.parametrize(("kind", "task"), MADE, ids=" for ".join)
def test_a_model_of_every_kind_is_admitted_as_the_trainer_made_it(kind: str, task: str) -> None:
    assert examine(*bundle(trained(kind, task))) is None


@pytest.mark.parametrize("task", ["binary", "multiclass", "regression"])
def test_smaller_forms_are_admitted_with_their_model(task: str) -> None:
    made = trained("mlp", task, variants=("float16", "int8"))
    assert {v.precision for v in made.manifest.variants} == {"float16", "int8"}
    told, found, wanted = bundle(made)
    assert examine(told, found, wanted) is None
    swapped = {"float16": found.variants["int8"], "int8": found.variants["float16"]}
    refusal = examine(told, replace(found, variants=swapped), wanted)
    assert isinstance(refusal, Refusal)
    assert refusal.check == "variants"


def test_the_trainers_model_signature_is_the_one_that_admission_verifies(tmp_path: Path) -> None:
    private, public = keys(tmp_path, "trainer")
    told, found, wanted = bundle(trained("logistic", "binary"))
    assert found.onnx is not None
    assert found.manifest is not None
    files = {"model.onnx": found.onnx, "manifest.json": found.manifest}
    signed = replace(found, oms=model_signature(private, files, told.digest))
    assert examine(told, signed, wanted, keys=[str(public)]) is None
    forged = replace(found, oms=model_signature(private, {"model.onnx": found.onnx}, told.digest))
    refusal = examine(told, forged, wanted, keys=[str(public)])
    assert refusal is not None
    assert refusal.check == "model-signature"
