"""Trainers of other people: `kind: plugin:<name>`. The whole protocol is on this page.

A plug-in is an installed Python distribution with an entry point in the group `flyball.trainers`:

    [project.entry-points."flyball.trainers"]
    naive_bayes = "my_package:fit"

The entry point is one function. It needs nothing of Flyball, and is given these by name:

    def fit(*, feature, label, weight, task, classes, parameters, seed):

    feature     f32 (n, width), NaN = missing; may hold infinite values. Not to be written to
    label       f64 (n,): 0 or 1, a value, or the number of a class from 0
    weight      f64 (n,), > 0: how much a row counts, weights of classes included
    task        "binary", "regression" or "multiclass"
    classes     how many classes a multiclass target has, else 0; some may have no row
    parameters  what the specification says, a dict of bool, int, float and str; refuse what is unknown
    seed        int; the same arguments must give the same bytes

It gives back any object with three attributes:

    onnx        bytes: an ONNX file, inside the operators that admission allows, with one input
                `features` f32 ("n", width) and one output `score` f32 ("n", 1), for multiclass
                ("n", classes): the probability of class 1, the value, or of each class
    scores      a function from features f32 (n, width) to the model's own scores f64 (n, outputs),
                computed otherwise than by the ONNX file: the two are compared
    importance  how much each feature has to say, (width,), >= 0; or None

What it raises, and what it gives back wrongly, becomes a `FitError` that names it; then there is no
model. Its model is proven, signed and admitted like any other. It runs in the trainer's worker
process, with the trainer's rights: install what you trust.
"""

from collections.abc import Callable
from importlib.metadata import EntryPoint, entry_points
from types import TracebackType
from typing import Any, Final

import numpy as np

from flyball_proto.columns import F32, F64, Column
from flyball_proto.spec.parameters import PLUGIN
from flyball_trainer.forms.foreign import foreign
from flyball_trainer.kinds.catalogue import Aim, FitError, Fitted, shares
from flyball_trainer.rows import TrainingRows

GROUP: Final = "flyball.trainers"
TRIED_ROWS: Final = 64
"""Rows that a plug-in's scores are tried on as soon as it has fitted."""


def fit(rows: TrainingRows, aim: Aim) -> Fitted:
    """Whatever the plug-in fits.

    Raises:
        FitError: it is not installed, fails, or gives back what is none of the above.
    """
    point = installed(aim.kind)
    with _Blaming(point):
        learnt = point.load()(
            feature=_readable(rows.feature),
            label=_readable(rows.label),
            weight=_readable(rows.weight),
            task=aim.task,
            classes=aim.classes,
            parameters=dict(aim.parameters),
            seed=aim.seed,
        )
        form = foreign(learnt.onnx, rows.width, aim.outputs)
        scores = _scores(point, learnt.scores, aim.outputs)
        importance = _importance(learnt.importance, rows.width)
    scores(_tried(rows.feature))
    return Fitted(scores, form, importance)


def installed(kind: str) -> EntryPoint:
    """The entry point of `plugin:<name>`.

    Raises:
        FitError: there is none, or more than one, of that name.
    """
    name = kind.removeprefix(PLUGIN)
    known = entry_points(group=GROUP)
    found = list(known.select(name=name))
    if len(found) == 1:
        return found[0]
    if found:
        several = ", ".join(sorted(map(distribution, found)))
        raise FitError(f"found plug-in {name!r} in {several}; uninstall all but one")
    valid = ", ".join(sorted(known.names)) or "none is installed"
    raise FitError(
        f"found no plug-in {name!r} where the trainer runs; valid: {valid}; install a distribution "
        f"with an entry point {name!r} in the group {GROUP}"
    )


def distribution(point: EntryPoint) -> str:
    """The distribution that a plug-in comes from, with its version: name=version."""
    return f"{point.dist.name}={point.dist.version}" if point.dist else point.value


class _Blaming:
    """Whatever is raised inside becomes a `FitError` that names the plug-in."""

    def __init__(self, point: EntryPoint) -> None:
        self._point = point

    def __enter__(self) -> None:
        pass

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        if isinstance(error, Exception | SystemExit):
            said = (str(error).strip().splitlines() or [""])[0][:200]
            raise FitError(
                f"plug-in {self._point.name} of {distribution(self._point)}: "
                f"{type(error).__name__}: {said}"
            ) from error


def _scores(point: EntryPoint, said: Any, outputs: int) -> Callable[[Column], Column]:
    if not callable(said):
        raise TypeError(f"scores is {type(said).__name__}; a function is right")

    def scores(feature: Column) -> Column:
        with _Blaming(point):
            found = np.asarray(said(_readable(feature)), F64)
            if found.shape != (right := (len(feature), outputs)):
                raise ValueError(f"scores gave shape {found.shape}; {right} is right")
            return found

    return scores


def _importance(said: Any, width: int) -> Column:
    if said is None:
        return np.zeros(width, F64)
    found = np.asarray(said, F64)
    if found.shape != (width,) or not (np.isfinite(found).all() and (found >= 0).all()):
        raise ValueError(f"importance is not None and not {width} finite numbers >= 0")
    return shares(found)


def _readable(values: Column) -> Column:
    """The same numbers, not to be written to."""
    view = values.view()
    view.flags.writeable = False
    return view


def _tried(feature: Column) -> Column:
    """The first rows, and one with everything missing."""
    gaps = np.full((1, feature.shape[1]), np.nan, F32)
    return np.concatenate([feature[:TRIED_ROWS], gaps])
