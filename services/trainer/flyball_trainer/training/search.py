"""Settings of a trainer, drawn and tried before each training: successive halving by rows.

Every trial is fitted to the newest ninth of the rows it may see, the best third of them to the
newest third, the best third of those to all; what is best at the end trains the model. Trials are
compared on the newest tenth of the training rows, which all lies before the holdout: the holdout
never chooses. No clock stops it; what it costs is bounded by the number of trials: 9 cost as much as
two fits to all rows, 64 as much as 23. (One bracket of Jamieson & Talwalkar 2016.)

However many trials there are, one model comes out: one challenger, one comparison.
"""

import hashlib
import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

import numpy as np

from flyball_proto.columns import Column
from flyball_proto.spec.learning import Range, Search
from flyball_proto.spec.parameters import ALLOWED, Between, Value
from flyball_trainer.forms.forest import UnconvertibleError
from flyball_trainer.kinds.catalogue import FitError, Fitted, fit
from flyball_trainer.rows import TrainingRows
from flyball_trainer.training.split import MIN_TRAINING_ROWS, Split, split

if TYPE_CHECKING:
    from flyball_trainer.training.fitting import Order

ETA: Final = 3
SHARES: Final = (ETA * ETA, ETA, 1)
"""A rung's trials are fitted to the newest one of so many parts."""
MAX_DRAWS: Final = 16
"""Draws for each trial at most; settings that were drawn before are drawn again."""
SHOWN_DIGITS: Final = 6

Fit = Callable[..., Fitted]
Weigh = Callable[[TrainingRows], TrainingRows]


@dataclass(frozen=True, slots=True)
class Trial:
    """Settings, how many rows they were last fitted to, and their loss on the rows that compare.

    `loss` is the weighted mean of what the registry counts for the task, None where no model could
    be fitted.
    """

    parameters: Mapping[str, Value]
    rows: int
    loss: float | None


@dataclass(frozen=True, slots=True)
class Settled:
    """What the model is trained with, and everything that was tried, at most 64 trials in order."""

    parameters: Mapping[str, Value]
    trials: tuple[Trial, ...]


def settled(
    order: "Order",
    training: TrainingRows,
    *,
    fitted: Fit = fit,
    weighed: Weigh = lambda rows: rows,
) -> Settled:
    """The settings for `order`, tried on rows before the holdout; the same order gives the same.

    `weighed` multiplies the weights of classes into rows that are fitted to; losses are without
    them, as the registry counts. Too few rows to try anything leave the trainer's own parameters.
    """
    if order.search is None:
        return Settled(order.parameters, ())
    parts = split(
        training,
        task=order.task,
        horizon_ms=0,
        label_ahead_ms=order.label_ahead_ms,
        max_holdout_rows=order.max_holdout_rows,
    )
    if not isinstance(parts, Split):
        return Settled(order.parameters, ())
    tried = _Tried(order, parts, fitted, weighed)
    trials = [Trial(parameters, 0, None) for parameters in drawn(order)]
    left = list(range(len(trials)))
    for rows in rungs(len(parts.training)):
        for at in left:
            trials[at] = tried.on(trials[at].parameters, rows)
        left.sort(key=lambda at: (_known(trials[at].loss), at))
        left = left[: math.ceil(len(left) / ETA)]
        if len(left) == 1:
            break
    return Settled(trials[left[0]].parameters, tuple(trials))


def rungs(rows: int) -> tuple[int, ...]:
    """To how many of the newest rows trials are fitted, rising; never so few that no model can be."""
    found = [rows // share for share in SHARES]
    return tuple(count for count in found if count >= MIN_TRAINING_ROWS or count == rows)


def drawn(order: "Order") -> tuple[dict[str, Value], ...]:
    """The settings to try, all different; the trainer's own parameters are the first.

    Chance comes from the order's seed and from what the specification says of the trainer, not from
    a generator: adding a parameter leaves the draws of the others as they were. Fewer than asked
    for where there are no more different ones.
    """
    assert order.search is not None, "nobody asks without a search"  # noqa: S101 - wiring mistake
    own = dict(order.parameters)
    found = [own]
    seen = {_canonical(own)}
    for at in range(order.search.trials * MAX_DRAWS):
        if len(found) == order.search.trials:
            break
        other = own | _draw(order, order.search, at)
        if (key := _canonical(other)) not in seen:
            seen.add(key)
            found.append(other)
    return tuple(found)


@dataclass(frozen=True, slots=True)
class _Tried:
    """Fits to the newest of the rows that may be seen, compared on the rows after them."""

    order: "Order"
    parts: Split
    fitted: Fit
    weighed: Weigh

    def on(self, parameters: Mapping[str, Value], rows: int) -> Trial:
        """One trial on so many rows."""
        order, compared = self.order, self.parts.holdout
        seen = self.weighed(self.parts.training.part(slice(len(self.parts.training) - rows, None)))
        classes = len(order.classes)
        try:
            model = self.fitted(
                order.kind, seen, order.task, parameters, order.seed, classes=classes
            )
        except (FitError, UnconvertibleError):
            return Trial(parameters, rows, None)
        loss = _losses(order.task, compared.label, model.scores(compared.feature))
        mean = float(np.average(loss, weights=compared.weight))
        return Trial(parameters, rows, mean if math.isfinite(mean) else None)


def _losses(task: str, label: Column, scores: Column) -> Column:
    """Brier score, half of the sum over classes for multiclass, or absolute error; f64 (n,)."""
    if task == "regression":
        found: Column = np.abs(label - scores[:, 0])
    elif task == "binary":
        found = (label - scores[:, 0]) ** 2
    else:
        true = label[:, None] == np.arange(scores.shape[1])
        found = ((true - scores) ** 2).sum(axis=1) / 2
    return found


def _known(loss: float | None) -> float:
    """What could not be fitted is worse than anything."""
    return math.inf if loss is None else loss


def _draw(order: "Order", search: Search, at: int) -> dict[str, Value]:
    """The settings of one draw."""
    found: dict[str, Value] = {}
    for name, among in search.parameters.items():
        share = _chance(order, name, at)
        if isinstance(among, Range):
            found[name] = _within(among, share, whole=among.whole or _whole(order.kind, name))
        else:
            found[name] = among[int(share * len(among))]
    return found


def _within(among: Range, share: float, *, whole: bool) -> float | int:
    """The number at a share of a range; whole ones are all equally likely, but for logarithms."""
    if among.log:
        low, high = math.log(among.low), math.log(among.high)
        value = math.exp(low + share * (high - low))
    else:
        value = among.low + share * (among.high - among.low)
    if whole:
        first, last = math.ceil(among.low), math.floor(among.high)
        number = round(value) if among.log else first + math.floor(share * (last - first + 1))
        return min(max(number, first), last)
    shown = float(f"{value:.{SHOWN_DIGITS}g}")
    return min(max(shown, among.low), among.high)


def _whole(kind: str, name: str) -> bool:
    """Whether a kind takes only whole numbers for a parameter."""
    allowed = ALLOWED.get(kind, {}).get(name)
    return isinstance(allowed, Between) and allowed.whole


def _chance(order: "Order", name: str, at: int) -> float:
    """A number in [0, 1) for a parameter's draw, evenly spread."""
    said: list[Any] = [order.seed, order.trainer, order.kind, name, at]
    return int.from_bytes(hashlib.sha256(_canonical(said)).digest()[:6]) / (1 << 48)


def _canonical(value: Any) -> bytes:
    return json.dumps(value, sort_keys=True, separators=(",", ":")).encode()
