"""Logistic and ridge regression on standardised features. The only room that knows scikit-learn."""

import warnings
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from sklearn.exceptions import ConvergenceWarning  # type: ignore[import-untyped]
from sklearn.linear_model import LogisticRegression, Ridge  # type: ignore[import-untyped]
from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from flyball_proto.columns import F64, Column
from flyball_proto.spec.parameters import Value
from flyball_trainer.forms.line import Line, Standard, standard
from flyball_trainer.kinds.catalogue import FitError, Fitted, shares
from flyball_trainer.rows import TrainingRows

MAX_ITERATIONS: Final = 200


def fit_logistic(
    rows: TrainingRows, task: str, parameters: Mapping[str, Value], seed: int
) -> Fitted:
    """L2-penalised logistic regression; what has not converged in `max_iter` steps is used as it is.

    Raises:
        FitError: the task is not binary, or the coefficients are not finite.
    """
    if task != "binary":
        raise FitError(f"logistic cannot fit task {task}; ridge or lightgbm can")
    model = LogisticRegression(
        C=float(parameters.get("C", 1.0)),
        max_iter=int(parameters.get("max_iter", MAX_ITERATIONS)),
        random_state=seed,
    )
    prepared = _fitted(model, rows)

    def scores(feature: Column) -> Column:
        found: Column = model.predict_proba(prepared.design(feature))[:, 1:]
        return found

    line = _line(prepared, model.coef_[0], model.intercept_[0], binary=True)
    return Fitted(scores, line, _importance(line))


def fit_ridge(rows: TrainingRows, task: str, parameters: Mapping[str, Value], seed: int) -> Fitted:
    """L2-penalised least squares.

    Raises:
        FitError: the task is not regression, or the coefficients are not finite.
    """
    if task != "regression":
        raise FitError(f"ridge cannot fit task {task}; logistic or lightgbm can")
    model = Ridge(alpha=float(parameters.get("alpha", 1.0)), random_state=seed)
    prepared = _fitted(model, rows)

    def scores(feature: Column) -> Column:
        found: Column = model.predict(prepared.design(feature))[:, None]
        return found

    line = _line(prepared, model.coef_, model.intercept_, binary=False)
    return Fitted(scores, line, _importance(line))


def _fitted(model: Any, rows: TrainingRows) -> Standard:
    """Fit on one thread: sums in another order have other last digits."""
    prepared = standard(rows.feature)
    with threadpool_limits(1), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            model.fit(prepared.design(rows.feature), rows.label, sample_weight=rows.weight)
        except ValueError as error:
            raise FitError(f"scikit-learn: {str(error).splitlines()[0]}") from error
    return prepared


def _line(prepared: Standard, coefficients: Column, intercept: float, *, binary: bool) -> Line:
    width = len(prepared.mean)
    absent = np.zeros(width, F64)
    absent[prepared.sometimes] = coefficients[width:]
    line = Line(
        binary, float(intercept), prepared.mean, prepared.scale, coefficients[:width], absent
    )
    if not (np.isfinite(coefficients).all() and np.isfinite(line.intercept)):
        raise FitError("found coefficients that are not finite; raise alpha or lower C")
    return line


def _importance(line: Line) -> Column:
    """What a standard deviation of a feature, and its absence, move."""
    return shares(np.abs(line.slope) + np.abs(line.absent))
