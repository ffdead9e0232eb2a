import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.unit.training_rows import features, training_rows

from flyball_proto.columns import F32
from flyball_trainer.forms.line import CLIP, standard
from flyball_trainer.kinds.catalogue import FitError, fit, refused_parameters


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


@pytest.mark.parametrize(
    ("kind", "task"),
    [
        ("lightgbm", "binary"),
        ("lightgbm", "regression"),
        ("logistic", "binary"),
        ("ridge", "regression"),
    ],
)
def test_each_kind_learns_what_is_there_to_learn(kind: str, task: str) -> None:
    fitted = fit(kind, training_rows(2_000, task), task, {}, 0)
    later = training_rows(1_000, task, seed=77)
    error = np.abs(fitted.scores(later.feature)[:, 0] - later.label)
    constant = np.abs(training_rows(2_000, task).label.mean() - later.label)
    assert (error**2).mean() < 0.8 * (constant**2).mean()


@pytest.mark.parametrize(
    ("kind", "task"), [("lightgbm", "binary"), ("logistic", "binary"), ("ridge", "regression")]
)
def test_a_row_weighs_as_much_as_its_weight(kind: str, task: str) -> None:
    rows = training_rows(task=task)
    flat = replace(rows, label=np.where(rows.label > np.median(rows.label), 1.0, 0.0))
    heavy = replace(flat, weight=np.where(flat.label == 1, 50.0, 1.0))
    even = replace(flat, weight=np.ones(600))
    feature = features(100, seed=3)
    assert (
        fit(kind, heavy, task, {}, 0).scores(feature).mean()
        > fit(kind, even, task, {}, 0).scores(feature).mean() + 0.1
    )


@pytest.mark.parametrize(("kind", "task"), [("logistic", "binary"), ("ridge", "regression")])
def test_a_line_stays_finite_whatever_comes(kind: str, task: str) -> None:
    fitted = fit(kind, training_rows(task=task), task, {}, 0)
    worst = np.array([[np.inf] * 5, [-np.inf] * 5, [3e38] * 5, [np.nan] * 5], F32)
    assert np.isfinite(fitted.scores(worst)).all()


@pytest.mark.parametrize(("kind", "task"), [("logistic", "binary"), ("ridge", "regression")])
def test_columns_that_say_nothing_do_no_harm_to_a_line(kind: str, task: str) -> None:
    rows = training_rows(task=task)
    feature = rows.feature.copy()
    feature[:, 3], feature[:, 4] = np.nan, 7.0
    found = fit(kind, replace(rows, feature=feature), task, {}, 0).scores(feature)
    assert np.isfinite(found).all()


@pytest.mark.parametrize(("kind", "task"), [("lightgbm", "binary"), ("logistic", "binary")])
def test_infinite_values_in_training_do_no_harm(kind: str, task: str) -> None:
    rows = training_rows(task=task)
    feature = rows.feature.copy()
    feature[::50, 2], feature[1::50, 2] = np.inf, -np.inf
    fitted = fit(kind, replace(rows, feature=feature), task, {}, 0)
    assert np.isfinite(fitted.scores(feature)).all()


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
    fitted = fit("logistic", training_rows(), "binary", {"max_iter": 1}, 0)
    assert np.isfinite(fitted.scores(features(10))).all()


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


@pytest.mark.parametrize(
    ("kind", "task"), [("lightgbm", "binary"), ("logistic", "binary"), ("ridge", "regression")]
)
def test_importance_adds_up_to_one_and_finds_what_matters(kind: str, task: str) -> None:
    found = fit(kind, training_rows(2_000, task), task, {}, 0).importance
    assert found.sum() == pytest.approx(1)
    assert found.argmax() == 0
    assert found.min() >= 0
