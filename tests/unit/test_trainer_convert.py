import warnings
from typing import Any

import lightgbm
import numpy as np
import onnxruntime as ort
import pytest
from onnx import ModelProto
from onnxmltools.convert import convert_lightgbm
from onnxmltools.convert.common.data_types import FloatTensorType
from tests.unit.training_rows import NAMES, WIDTH, class_rows, features, order, training_rows

from flyball_proto.bundles import content_digest
from flyball_proto.columns import F32, F64
from flyball_registry.admission import onnxfile as admission
from flyball_trainer.forms.booster import TAKEN_AS_ZERO, read, single_precision
from flyball_trainer.forms.convert import bundle, onnx_model
from flyball_trainer.forms.forest import Forest, UnconvertibleError
from flyball_trainer.training.fitting import Trained, train

QUIET = {"verbosity": -1, "num_threads": 1, "seed": 3}
KINDS = [
    ("lightgbm", "binary", {}),
    ("lightgbm", "binary", {"boosting": "dart", "n_estimators": 20}),
    ("lightgbm", "regression", {"objective": "regression_l1"}),
    ("lightgbm", "regression", {"objective": "huber"}),
    ("lightgbm", "regression", {}),
    ("logistic", "binary", {}),
    ("ridge", "regression", {}),
    ("lightgbm", "multiclass", {}),
    ("logistic", "multiclass", {}),
    *(("histogram", task, {"max_iter": 10}) for task in ("binary", "regression", "multiclass")),
    *(("forest", task, {"n_estimators": 10}) for task in ("binary", "regression", "multiclass")),
    *(("mlp", task, {"max_iter": 10}) for task in ("binary", "regression", "multiclass")),
]


def booster(task: str = "binary", **parameters: Any) -> lightgbm.Booster:
    rows = training_rows(task=task)
    chosen = {"objective": task, "num_leaves": 15, **QUIET, **parameters}
    return lightgbm.train(chosen, lightgbm.Dataset(rows.feature, rows.label), 30)


def scores(onnx: bytes, feature: np.ndarray, output: str = "score") -> np.ndarray:
    found = ort.InferenceSession(onnx).run([output], {"features": feature})[0]
    return np.asarray(found, F64)


def trained(kind: str, task: str, parameters: dict[str, Any]) -> Trained:
    several = {"rows": class_rows(), "classes": ("low", "middle", "high")}
    more = several if task == "multiclass" else {}
    found = train(order(kind, task, parameters=parameters, **more))
    assert isinstance(found, Trained)
    return found


@pytest.mark.parametrize("boosting", ["gbdt", "dart"])
@pytest.mark.parametrize("task", ["binary", "regression"])
def test_trees_answer_as_those_of_another_converter_do(task: str, boosting: str) -> None:
    fitted = booster(task, boosting=boosting)
    mine = onnx_model(read(fitted.model_to_string())).SerializeToString()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # of the converter about its own dependencies
        theirs = convert_lightgbm(
            fitted,
            initial_types=[("features", FloatTensorType([None, WIDTH]))],
            target_opset=15,
            zipmap=False,
        )
    output = theirs.graph.output[-1].name
    feature = features(2_000, seed=9, missing=0.3)
    oracle = scores(theirs.SerializeToString(), feature, output)[:, -1]
    assert scores(mine, feature)[:, 0] == pytest.approx(oracle, rel=1e-6, abs=1e-6)


@pytest.mark.parametrize(("kind", "task", "parameters"), KINDS)
def test_the_registry_admits_what_is_converted(
    kind: str, task: str, parameters: dict[str, Any]
) -> None:
    made = trained(kind, task, parameters)
    opened = admission.parse(made.onnx)
    assert isinstance(opened, ModelProto)
    assert admission.self_contained(opened) is None
    assert admission.allowed(opened) is None
    assert admission.valid(opened) is None
    assert admission.shapes(opened, made.manifest) is None
    assert admission.finite(made.onnx, made.manifest) is None


@pytest.mark.parametrize(("kind", "task", "parameters"), KINDS)
def test_the_same_order_gives_the_same_bytes(
    kind: str, task: str, parameters: dict[str, Any]
) -> None:
    first, second = (trained(kind, task, parameters) for _ in range(2))
    assert (first.onnx, first.manifest) == (second.onnx, second.manifest)
    assert (first.dataset, first.report) == (second.dataset, second.report)


def test_another_seed_gives_another_model_where_chance_has_a_part() -> None:
    drawn = {"bagging_fraction": 0.5, "bagging_freq": 1, "n_estimators": 5}
    one, two, same = (trained("lightgbm", "binary", {**drawn, "seed": s}) for s in (1, 2, 1))
    assert one.onnx == same.onnx
    feature = features(50)
    assert (scores(one.onnx, feature) != scores(two.onnx, feature)).any()


def test_the_file_carries_the_digest_of_what_its_manifest_says() -> None:
    made = trained("lightgbm", "binary", {})
    opened = ModelProto.FromString(made.onnx)
    said = {prop.key: prop.value for prop in opened.metadata_props}
    assert said == {"flyball.manifest": content_digest(made.manifest)}


def test_another_manifest_gives_another_digest_to_the_same_trees() -> None:
    made = trained("lightgbm", "binary", {})
    form = read(booster().model_to_string())
    other = made.manifest.model_copy(update={"trainer": "other", "digest": ""})
    same = made.manifest.model_copy(update={"digest": ""})
    assert bundle(form, other)[1].digest != bundle(form, same)[1].digest


@pytest.mark.parametrize(
    ("parameters", "words"),
    [
        ({"boosting": "rf", "bagging_fraction": 0.5, "bagging_freq": 1}, "averaged trees"),
        ({"linear_tree": True}, "linear leaves"),
        ({"zero_as_missing": True}, "zero as a missing value"),
        ({"objective": "poisson"}, "objective 'poisson'"),
        ({"objective": "binary", "sigmoid": 2.0}, "objective 'binary sigmoid:2'"),
    ],
)
def test_trees_that_would_be_converted_wrongly_are_refused(
    parameters: dict[str, Any], words: str
) -> None:
    fitted = booster(**{"objective": "regression", **parameters})
    with pytest.raises(UnconvertibleError, match=words):
        read(fitted.model_to_string())


def test_categorical_splits_are_refused() -> None:
    rows = training_rows(missing=0)
    column = np.random.default_rng(0).integers(0, 6, size=600)
    feature = np.column_stack([column, rows.feature])
    data = lightgbm.Dataset(feature, column % 2, categorical_feature=[0], params=QUIET)
    fitted = lightgbm.train({"objective": "binary", **QUIET}, data, 2)
    with pytest.raises(UnconvertibleError, match="categorical"):
        read(fitted.model_to_string())


def test_another_version_of_the_text_form_is_refused() -> None:
    text = booster().model_to_string().replace("version=v4", "version=v5")
    with pytest.raises(UnconvertibleError, match="v5"):
        read(text)


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_a_model_that_found_no_split_says_the_mean(task: str) -> None:
    rows = training_rows(task=task)
    data = lightgbm.Dataset(np.zeros_like(rows.feature), rows.label)
    fitted = lightgbm.train({"objective": task, **QUIET}, data, 3)
    made = onnx_model(read(fitted.model_to_string())).SerializeToString()
    found = scores(made, features(10, missing=0.5))
    assert found[:, 0] == pytest.approx([rows.label.mean()] * 10, rel=1e-5)


def test_a_target_far_from_zero_keeps_its_digits() -> None:
    rows = training_rows(task="regression")
    data = lightgbm.Dataset(rows.feature, rows.label + 1e6)
    fitted = lightgbm.train({"objective": "regression", **QUIET}, data, 200)
    made = onnx_model(read(fitted.model_to_string())).SerializeToString()
    native = np.asarray(fitted.predict(rows.feature))
    assert np.abs(scores(made, rows.feature)[:, 0] - native).max() <= np.spacing(F32.type(1e6))


def test_every_f32_goes_the_same_way_at_a_rounded_threshold() -> None:
    rng = np.random.default_rng(4)
    exact = np.concatenate([rng.normal(size=500), rng.normal(size=500) * 1e30, [1e300, -1e300]])
    rounded = single_precision(exact)
    with np.errstate(over="ignore"):  # beyond the largest lies infinity
        above = np.nextafter(rounded, F32.type(np.inf))
    for value in (rounded, above):
        assert ((value.astype(F64) <= exact) == (value <= rounded)).all()


def test_what_the_library_takes_for_zero_goes_where_zero_goes() -> None:
    feature = np.array([[-1.0], [0.0], [1.0]] * 100, F32)
    label = np.array([0.0, 5.0, 9.0] * 100)
    data = lightgbm.Dataset(feature, label)
    fitted = lightgbm.train({"objective": "regression", **QUIET}, data, 5)
    form = read(fitted.model_to_string())
    tiny = np.array([-TAKEN_AS_ZERO, TAKEN_AS_ZERO, 0.0, -0.0, 1e-45, -1e-45], F32)[:, None]
    native = np.asarray(fitted.predict(tiny))
    assert len(set(native.tolist())) == 1
    assert scores(onnx_model(form).SerializeToString(), tiny)[:, 0] == pytest.approx(native)


def test_the_parts_of_a_forest_hang_together() -> None:
    form = read(booster().model_to_string())
    assert isinstance(form, Forest)
    roots = np.flatnonzero(form.parent < 0)
    assert form.tree[roots].tolist() == list(range(30))
    leaves = np.sort(np.concatenate([~form.left[form.left < 0], ~form.right[form.right < 0]]))
    assert leaves.tolist() == list(range(len(form.leaf_tree)))
    assert form.width == len(NAMES)
