import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.unit.training_rows import class_rows, features, training_rows

from flyball_proto.columns import F32
from flyball_proto.spec.parameters import TASKS
from flyball_trainer.forms.convert import onnx_model
from flyball_trainer.forms.line import CLIP, standard
from flyball_trainer.kinds.catalogue import FitError, Fitted, fit, refused_parameters, shares
from flyball_trainer.rows import TrainingRows

ALL = [(kind, task) for kind, tasks in TASKS.items() for task in tasks]
SMALL: dict[str, dict[str, Any]] = {
    "lightgbm": {"n_estimators": 20},
    "histogram": {"max_iter": 20, "min_samples_leaf": 5},
    "forest": {"n_estimators": 20},
}


def rows_for(task: str, count: int = 600, **more: Any) -> TrainingRows:
    """Rows of a task, of several classes three."""
    if task == "multiclass":
        return class_rows(count, **more)
    return training_rows(count, task, **more)


def fitted(kind: str, task: str, rows: TrainingRows, classes: int = 3, **more: Any) -> Fitted:
    several = classes if task == "multiclass" else 0
    return fit(kind, rows, task, SMALL.get(kind, {}) | more, 0, classes=several)


def said_of(rows: TrainingRows, task: str) -> np.ndarray:
    """What perfect scores would be."""
    return np.eye(3)[rows.label.astype(int)] if task == "multiclass" else rows.label[:, None]


@pytest.mark.parametrize(
    "parameters", [{"boosting": "rf"}, {"linear_tree": True}, {"zero_as_missing": True}]
)
def test_what_is_known_to_be_converted_wrongly_is_refused_by_name(
    parameters: dict[str, Any],
) -> None:
    said = refused_parameters("lightgbm", parameters)
    assert said is not None
    assert next(iter(parameters)) in said
    with pytest.raises(FitError, match="converted to ONNX wrongly"):
        fit("lightgbm", training_rows(), "binary", parameters, 0)


@pytest.mark.parametrize(
    ("kind", "task", "parameters", "words"),
    [
        ("lightgbm", "binary", {"num_threads": 8}, "unknown parameter 'num_threads'"),
        ("lightgbm", "binary", {"objective": "huber"}, "valid: objective: binary"),
        ("none", "binary", {}, "valid: lightgbm, logistic, ridge, histogram"),
        ("logistic", "regression", {}, "cannot fit task regression"),
        ("ridge", "binary", {}, "cannot fit task binary"),
    ],
)
def test_what_cannot_be_fitted_is_refused_with_what_can(
    kind: str, task: str, parameters: dict[str, Any], words: str
) -> None:
    with pytest.raises(FitError, match=words):
        fit(kind, training_rows(), task, parameters, 0)


@pytest.mark.parametrize(("kind", "task"), ALL)
def test_each_kind_learns_what_is_there_to_learn(kind: str, task: str) -> None:
    rows, later = rows_for(task, 2_000), rows_for(task, 1_000, seed=77)
    truth = said_of(later, task)
    error = (fitted(kind, task, rows).scores(later.feature) - truth) ** 2
    constant = (said_of(rows, task).mean(axis=0) - truth) ** 2
    assert error.mean() < 0.8 * constant.mean()


@pytest.mark.parametrize(("kind", "task"), ALL)
def test_the_same_rows_give_the_same_bytes(kind: str, task: str) -> None:
    rows = rows_for(task)
    one, two = (onnx_model(fitted(kind, task, rows).form) for _ in range(2))
    assert one.SerializeToString(deterministic=True) == two.SerializeToString(deterministic=True)


@pytest.mark.parametrize(("kind", "task"), ALL)
def test_a_row_weighs_as_much_as_its_weight(kind: str, task: str) -> None:
    rows = rows_for(task)
    high = rows.label > np.median(rows.label) if task == "regression" else rows.label == 1
    label = rows.label if task == "multiclass" else high.astype(float)
    heavy = replace(rows, label=label, weight=np.where(high, 50.0, 1.0))
    even = replace(rows, label=label, weight=np.ones(600))
    feature, column = features(100, seed=3), 1 if task == "multiclass" else 0
    more, usual = (fitted(kind, task, r).scores(feature)[:, column].mean() for r in (heavy, even))
    assert more > usual + 0.1


@pytest.mark.parametrize("seen", [(0, 2), (0, 2, 3)])
@pytest.mark.parametrize("kind", [kind for kind, task in ALL if task == "multiclass"])
def test_a_class_that_no_row_has_is_never_expected(kind: str, seen: tuple[int, ...]) -> None:
    rows = class_rows(classes=len(seen))
    rows = replace(rows, label=np.array(seen, float)[rows.label.astype(int)])
    found = fitted(kind, "multiclass", rows, classes=5).scores(features(300, seed=5))
    assert found.shape == (300, 5)
    assert found.sum(axis=1) == pytest.approx(np.ones(300))
    assert found[:, sorted({0, 1, 2, 3, 4} - set(seen))].max() < 1e-9
    assert found[:, list(seen)].mean(axis=0).min() > 0.05


@pytest.mark.parametrize(("kind", "task"), [(k, t) for k, t in ALL if t != "regression"])
def test_one_class_alone_is_refused_or_always_expected(kind: str, task: str) -> None:
    rows = replace(rows_for(task), label=np.ones(600))
    if kind == "lightgbm":
        said = fitted(kind, task, rows).scores(features(20))
        assert said[:, -2 if task == "multiclass" else 0].min() > 0.99
        return
    with pytest.raises(FitError, match="one class only among 600 rows"):
        fitted(kind, task, rows)


@pytest.mark.parametrize(
    ("task", "classes", "label", "words"),
    [
        ("binary", 2, 1.0, "only multiclass has them"),
        ("multiclass", 0, 1.0, "found task multiclass with 0 classes"),
        ("multiclass", 3, 3.0, "0 to 2 are valid"),
        ("multiclass", 3, 0.5, "no class numbers"),
    ],
)
def test_classes_that_do_not_fit_are_refused(
    task: str, classes: int, label: float, words: str
) -> None:
    rows = replace(training_rows(), label=np.full(600, label))
    with pytest.raises(FitError, match=words):
        fit("lightgbm", rows, task, {}, 0, classes=classes)


@pytest.mark.parametrize(("kind", "task"), [("logistic", "binary"), ("ridge", "regression")])
def test_a_line_stays_finite_whatever_comes(kind: str, task: str) -> None:
    found = fit(kind, training_rows(task=task), task, {}, 0)
    worst = np.array([[np.inf] * 5, [-np.inf] * 5, [3e38] * 5, [np.nan] * 5], F32)
    assert np.isfinite(found.scores(worst)).all()


@pytest.mark.parametrize(("kind", "task"), ALL)
def test_nothing_warns_of_rows_that_are_all_extreme(kind: str, task: str) -> None:
    found = fitted(kind, task, rows_for(task))
    up = np.random.default_rng(0).random((500, 5)) < 0.5
    assert np.isfinite(found.scores(np.where(up, np.inf, -np.inf).astype(F32))).all()


@pytest.mark.parametrize(("kind", "task"), ALL)
def test_columns_that_say_nothing_do_no_harm(kind: str, task: str) -> None:
    rows = rows_for(task)
    feature = rows.feature.copy()
    feature[:, 3], feature[:, 4] = np.nan, 7.0
    found = fitted(kind, task, replace(rows, feature=feature))
    assert np.isfinite(found.scores(feature)).all()
    assert found.importance[3:].tolist() == pytest.approx([0, 0])


@pytest.mark.parametrize(("kind", "task"), ALL)
def test_infinite_values_in_training_do_no_harm(kind: str, task: str) -> None:
    rows = rows_for(task)
    feature = rows.feature.copy()
    feature[::50, 2], feature[1::50, 2] = np.inf, -np.inf
    found = fitted(kind, task, replace(rows, feature=feature))
    assert np.isfinite(found.scores(feature)).all()


def test_standardised_columns_have_mean_0_and_deviation_1_where_known() -> None:
    feature = features(4_000, missing=0.2) * 5 + 100
    prepared = standard(feature)
    design = prepared.design(feature)
    known = ~np.isnan(feature)
    assert (design[:, :5][~known] == 0).all()
    assert [design[:, i][known[:, i]].std() for i in range(5)] == pytest.approx([1] * 5, abs=1e-6)
    assert (design[:, 5:] == ~known).all()
    assert np.abs(design).max() <= CLIP


def test_a_logistic_that_has_not_converged_is_used_as_it_is() -> None:
    found = fit("logistic", training_rows(), "binary", {"max_iter": 1}, 0)
    assert np.isfinite(found.scores(features(10))).all()


def test_whole_numbers_may_be_written_with_a_point() -> None:
    rows, feature = training_rows(), features(50)
    pointed = fit("lightgbm", rows, "binary", {"n_estimators": 5.0, "num_leaves": 7.0}, 0)
    plain = fit("lightgbm", rows, "binary", {"n_estimators": 5, "num_leaves": 7}, 0)
    assert (pointed.scores(feature) == plain.scores(feature)).all()


def test_the_service_can_import_the_training_without_its_libraries() -> None:
    heavy = ("lightgbm", "sklearn", "scipy", "pyarrow", "onnxruntime", "pandas")
    script = f"import sys, flyball_trainer.training.fitting; print([m for m in {heavy} if m in sys.modules])"
    ran = subprocess.run(
        [sys.executable, "-c", script], capture_output=True, text=True, check=True, timeout=60
    )
    assert ran.stdout.strip() == "[]"


@pytest.mark.parametrize(("kind", "task"), ALL)
def test_importance_adds_up_to_one_and_finds_what_matters(kind: str, task: str) -> None:
    found = fitted(kind, task, rows_for(task, 2_000)).importance
    assert found.shape == (5,)
    assert found.sum() == pytest.approx(1)
    assert found.argmax() == 0
    assert found.min() >= 0


def test_importance_of_nothing_is_nothing() -> None:
    assert shares(np.zeros(3)).tolist() == [0, 0, 0]
    assert shares(np.array([1, np.inf])).tolist() == [0, 0]


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("lightgbm", {"num_leaves": 4, "boosting": "dart", "feature_fraction": 0.5}),
        ("histogram", {"max_leaf_nodes": 4, "max_depth": 2, "max_features": 0.5, "max_bins": 20}),
        ("forest", {"max_depth": 3, "max_leaf_nodes": 8, "max_features": 0.5, "bootstrap": False}),
        ("mlp", {"hidden_units": 4, "hidden_layers": 3, "activation": "tanh", "batch_size": 9_000}),
        ("logistic", {"C": 0.1, "max_iter": 20}),
    ],
)
def test_parameters_do_what_they_say(kind: str, parameters: dict[str, Any]) -> None:
    rows, feature = training_rows(), features(50)
    usual = fitted(kind, "binary", rows).scores(feature)
    assert (fitted(kind, "binary", rows, **parameters).scores(feature) != usual).any()
