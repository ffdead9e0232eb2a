"""The kinds of trainers that fit: which there are, what they may be told, what they give.

Heavy libraries are imported when a kind is first used, in the worker process.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from flyball_kit.errors import PermanentError
from flyball_proto.columns import Column
from flyball_proto.spec.parameters import ALLOWED, Value, refused_parameter
from flyball_trainer.forms.forest import Forest
from flyball_trainer.forms.line import Line
from flyball_trainer.rows import TrainingRows

TASKS: Final = ("binary", "regression")


class FitError(PermanentError):
    """A library cannot fit these rows; the same rows would fail again."""

    kind = "fit"


@dataclass(frozen=True, slots=True, eq=False)
class Fitted:
    """A fitted model, native and as numbers.

    `scores` gives f64 (n,) of features f32 (n, width): the probability of class 1, or the value.
    """

    scores: Callable[[Column], Column]
    form: Forest | Line


def fit(
    kind: str, rows: TrainingRows, task: str, parameters: Mapping[str, Value], seed: int
) -> Fitted:
    """Fit on one thread; the same rows, parameters and seed give the same model on one platform.

    A parameter `seed` overrides the argument.

    Raises:
        FitError: unknown kind, task or parameter, or rows that cannot be fitted.
        UnconvertibleError: the model has a part without ONNX form.
    """
    if task not in TASKS:
        raise FitError(f"task {task}: a model has one score a row; valid: {', '.join(TASKS)}")
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
