"""The kinds of trainers that fit: which there are, what they may be told, what they give.

Heavy libraries are imported when a kind is first used, in the worker process.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import numpy as np

from flyball_kit.errors import PermanentError
from flyball_proto.columns import F64, Column
from flyball_proto.spec.parameters import ALLOWED, TASKS, Value, refused_parameter
from flyball_trainer.forms.forest import Forest
from flyball_trainer.forms.line import Line
from flyball_trainer.rows import TrainingRows


class FitError(PermanentError):
    """A library cannot fit these rows; the same rows would fail again."""

    kind = "fit"


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A fitted model, native and as numbers.

    `scores` gives f64 (n, outputs) of features f32 (n, width): the probability of class 1, or the
    value, in one column; for multiclass the probability of each class. `importance` f64 (width,)
    says how much each feature has to say, >= 0, summing to 1, or all 0 where nothing is known.
    """

    scores: Callable[[Column], Column]
    form: Forest | Line
    importance: Column


def shares(importance: Column) -> Column:
    """Numbers >= 0 scaled to sum to 1, f64; all 0 when they are, or when one is not finite."""
    said = np.asarray(importance, F64)
    total = said.sum()
    return said / total if np.isfinite(total) and total > 0 else np.zeros(len(said), F64)


def fit(
    kind: str,
    rows: TrainingRows,
    task: str,
    parameters: Mapping[str, Value],
    seed: int,
    *,
    classes: int = 0,
) -> Fitted:
    """Fit on one thread; the same rows, parameters and seed give the same model on one platform.

    A parameter `seed` overrides the argument. `classes` is how many a multiclass target has; labels
    are their places from 0, and a class that is not among the rows still has its column of scores.
    Weights of classes are in `rows.weight` already.

    Raises:
        FitError: unknown kind, task or parameter, or rows that cannot be fitted.
        UnconvertibleError: the model has a part without ONNX form.
    """
    if kind in TASKS and task not in TASKS[kind]:
        raise FitError(f"{kind} cannot fit task {task}; it can fit {', '.join(TASKS[kind])}")
    if classes:
        raise FitError(f"{kind} cannot fit several classes yet")
    if (refused := refused_parameters(kind, parameters, task)) is not None:
        raise FitError(refused)
    own = {name: value for name, value in parameters.items() if name != "seed"}
    return _fit_of(kind)(rows, task, own, int(parameters.get("seed", seed)))


def refused_parameters(
    kind: str, parameters: Mapping[str, Value], task: str | None = None
) -> str | None:
    """Why these parameters cannot be used, with what would be valid; None = they can."""
    if kind not in ALLOWED:
        return f"found kind {kind!r}; valid: {', '.join(ALLOWED)}; correct the trainer's kind"
    refused = refused_parameter(kind, parameters, task)
    return refused.sentence if refused else None


def _fit_of(kind: str) -> Callable[[TrainingRows, str, Mapping[str, Value], int], Fitted]:
    if kind == "lightgbm":
        from flyball_trainer.kinds.boosting import fit as fit_trees  # noqa: PLC0415 - heavy

        return fit_trees
    from flyball_trainer.kinds import linear  # noqa: PLC0415 - heavy

    return linear.fit_logistic if kind == "logistic" else linear.fit_ridge
