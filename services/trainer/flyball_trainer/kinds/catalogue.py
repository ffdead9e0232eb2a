"""The kinds of trainers that fit: which there are, what they may be told, what they give.

Heavy libraries are imported when a kind is first used, in the worker process.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from importlib import import_module
from typing import Final, Protocol, cast

import numpy as np

from flyball_kit.errors import PermanentError
from flyball_proto.columns import F64, Column
from flyball_proto.spec.parameters import (
    ALLOWED,
    PLUGIN,
    TASKS,
    Value,
    is_plugin,
    refused_parameter,
)
from flyball_trainer.forms.convert import Form
from flyball_trainer.rows import TrainingRows


class FitError(PermanentError):
    """A library cannot fit these rows; the same rows would fail again."""

    kind = "fit"


@dataclass(frozen=True, slots=True, eq=False)
class Aim:
    """What to fit to the rows. Parameters are allowed ones of the kind, without `seed`."""

    kind: str
    task: str
    classes: int
    """0 unless the task is multiclass."""
    parameters: Mapping[str, Value]
    seed: int

    @property
    def outputs(self) -> int:
        """Scores a row."""
        return self.classes or 1


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A fitted model, native and as numbers.

    `scores` gives f64 (n, outputs) of features f32 (n, width): the probability of class 1, or the
    value, in one column; for multiclass the probability of each class. `importance` f64 (width,)
    says how much each feature has to say, >= 0, summing to 1, or all 0 where nothing is known.
    """

    scores: Callable[[Column], Column]
    form: Form
    importance: Column


class _Room(Protocol):
    """A module that fits one or two kinds."""

    def fit(self, rows: TrainingRows, aim: Aim) -> Fitted:
        """Fit on one thread."""


_ROOMS: Final[Mapping[str, str]] = {
    "lightgbm": "boosting",
    "logistic": "linear",
    "ridge": "linear",
    "histogram": "histogram",
    "forest": "bagging",
    "mlp": "layers",
}
"""The module of each kind, beside this one."""


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
    if (refused := refused_parameters(kind, parameters, task)) is not None:
        raise FitError(refused)
    if kind in TASKS and task not in TASKS[kind]:
        raise FitError(f"{kind} cannot fit task {task}; it can fit {', '.join(TASKS[kind])}")
    if (task == "multiclass") != (classes > 1):
        raise FitError(f"found task {task} with {classes} classes; only multiclass has them, 2 up")
    if classes and not np.isin(rows.label, np.arange(classes)).all():
        raise FitError(f"found labels that are no class numbers; 0 to {classes - 1} are valid")
    own = {name: value for name, value in parameters.items() if name != "seed"}
    aim = Aim(kind, task, classes, own, int(parameters.get("seed", seed)))
    return _room(kind).fit(rows, aim)


def refused_parameters(
    kind: str, parameters: Mapping[str, Value], task: str | None = None
) -> str | None:
    """Why these parameters cannot be used, with what would be valid; None = they can.

    A plug-in alone knows its own: they are refused when it fits.
    """
    if is_plugin(kind):
        return None
    if kind not in ALLOWED:
        valid = f"{', '.join(ALLOWED)}, {PLUGIN}<name>"
        return f"found kind {kind!r}; valid: {valid}; correct the trainer's kind"
    refused = refused_parameter(kind, parameters, task)
    return refused.sentence if refused else None


def shares(importance: Column) -> Column:
    """Numbers >= 0 scaled to sum to 1, f64; all 0 when they are, or when one is not finite."""
    said = np.asarray(importance, F64)
    total = said.sum()
    return said / total if np.isfinite(total) and total > 0 else np.zeros(len(said), F64)


def _room(kind: str) -> _Room:
    name = "plugin" if is_plugin(kind) else _ROOMS[kind]
    return cast("_Room", import_module(f"flyball_trainer.kinds.{name}"))
