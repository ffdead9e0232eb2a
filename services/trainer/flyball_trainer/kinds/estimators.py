"""What the rooms that know scikit-learn have in common: fitting, and columns of classes."""

import warnings
from collections.abc import Callable
from contextlib import AbstractContextManager
from functools import cache
from typing import Any, Final

import numpy as np
from sklearn.exceptions import ConvergenceWarning  # type: ignore[import-untyped]
from threadpoolctl import ThreadpoolController  # type: ignore[import-untyped]

from flyball_proto.columns import F32, F64, Column
from flyball_trainer.forms.forest import Link
from flyball_trainer.kinds.catalogue import Aim, FitError
from flyball_trainer.rows import TrainingRows

_LARGEST: Final = float(np.finfo(F32).max)


def one_thread() -> AbstractContextManager[object]:
    """Numbers on one thread: sums in another order have other last digits.

    Besides, on a busy machine threads that wait for each other take seconds over a few rows.
    """
    limit: AbstractContextManager[object] = _libraries().limit(limits=1)
    return limit


def _quiet() -> AbstractContextManager[object]:
    """Sums of the largest numbers, by which scikit-learn looks for infinity, warn of nothing."""
    return np.errstate(over="ignore", invalid="ignore")


@cache
def _libraries() -> Any:
    """The libraries that have threads; to look for them takes 10 ms."""
    return ThreadpoolController()


def learn(model: Any, design: Column, label: Column, weight: Column) -> None:
    """Fit an estimator on one thread; what has not converged is used as it is.

    Raises:
        FitError: scikit-learn does not take the rows.
    """
    with one_thread(), _quiet(), warnings.catch_warnings():
        warnings.simplefilter("ignore", ConvergenceWarning)
        try:
            model.fit(design, label, sample_weight=weight)
        except ValueError as error:
            raise FitError(f"scikit-learn: {str(error).splitlines()[0]}") from error


def labels(rows: TrainingRows, aim: Aim) -> Column:
    """Labels as an estimator takes them: whole numbers for classes.

    Raises:
        FitError: only one class is among the rows.
    """
    if aim.task == "regression":
        return rows.label
    found = rows.label.astype(np.int64)
    if len(found) == 0 or (found == found[0]).all():
        raise FitError(f"found one class only among {len(found)} rows; two are needed")
    return found


def predicted(model: Any, aim: Aim) -> Callable[[Column], Column]:
    """Scores f64 (rows, outputs) of an estimator, from whatever it takes."""

    def scores(design: Column) -> Column:
        with one_thread(), _quiet():
            if aim.task == "regression":
                return np.asarray(model.predict(design), F64)[:, None]
            found = np.asarray(model.predict_proba(design), F64)
        if not aim.classes:
            return found[:, 1:]
        said = np.zeros((len(found), aim.classes), F64)
        said[:, model.classes_] = found
        return said

    return scores


def in_classes(said: Column, model: Any, aim: Aim, *, absent: float) -> Column:
    """Log odds, or what they are made of, (..., trained outputs) in the columns of all classes.

    Classes that were not seen get `absent`. Where two were seen an estimator has the log odds of the
    second alone.
    """
    if not aim.classes:
        return said
    if said.shape[-1] == 1:
        said = np.concatenate([np.zeros_like(said), said], axis=-1)
    spread = np.full((*said.shape[:-1], aim.classes), absent, F64)
    spread[..., model.classes_] = said
    return spread


def link(aim: Aim) -> Link:
    """What makes scores of the log odds, or values, of a task."""
    if aim.task == "regression":
        return "value"
    return "softmax" if aim.classes else "logistic"


def tamed(feature: Column) -> Column:
    """Features with the largest f32 for infinity: trees send both the same way."""
    return np.clip(feature, -_LARGEST, _LARGEST)
