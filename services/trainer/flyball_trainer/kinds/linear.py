"""Logistic and ridge regression on standardised features."""

from typing import Any, Final

import numpy as np
from sklearn.linear_model import LogisticRegression, Ridge  # type: ignore[import-untyped]

from flyball_proto.columns import F64, Column
from flyball_trainer.forms.forest import ABSENT
from flyball_trainer.forms.line import Line, Standard, standard
from flyball_trainer.kinds.catalogue import Aim, FitError, Fitted, shares
from flyball_trainer.kinds.estimators import in_classes, labels, learn, link, predicted
from flyball_trainer.rows import TrainingRows

MAX_ITERATIONS: Final = 200


def fit(rows: TrainingRows, aim: Aim) -> Fitted:
    """L2-penalised logistic regression, multinomial for several classes, or least squares.

    Raises:
        FitError: only one class is among the rows, or the coefficients are not finite.
    """
    model = _ridge(aim) if aim.kind == "ridge" else _logistic(aim)
    prepared = standard(rows.feature)
    learn(model, prepared.design(rows.feature), labels(rows, aim), rows.weight)
    line = _line(prepared, model, aim)
    said = predicted(model, aim)

    def scores(feature: Column) -> Column:
        return said(prepared.design(feature))

    # what a standard deviation of a feature, and its absence, move
    return Fitted(scores, line, shares((np.abs(line.slope) + np.abs(line.absent)).sum(axis=1)))


def _logistic(aim: Aim) -> Any:
    return LogisticRegression(
        C=float(aim.parameters.get("C", 1.0)),
        max_iter=int(aim.parameters.get("max_iter", MAX_ITERATIONS)),
        random_state=aim.seed,
    )


def _ridge(aim: Aim) -> Any:
    return Ridge(alpha=float(aim.parameters.get("alpha", 1.0)), random_state=aim.seed)


def _line(prepared: Standard, model: Any, aim: Aim) -> Line:
    width = len(prepared.mean)
    slope = np.atleast_2d(np.asarray(model.coef_, F64)).T
    intercept = np.atleast_1d(np.asarray(model.intercept_, F64))
    if not (np.isfinite(slope).all() and np.isfinite(intercept).all()):
        raise FitError("found coefficients that are not finite; raise alpha or lower C")
    intercept = in_classes(intercept, model, aim, absent=ABSENT)
    spread = prepared.spread(in_classes(slope, model, aim, absent=0))
    return Line(link(aim), intercept, prepared.mean, prepared.scale, spread[:width], spread[width:])
