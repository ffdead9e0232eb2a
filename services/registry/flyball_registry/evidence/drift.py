"""Whether the active model's loss rose for good: ADWIN over block losses. The only room with river.

The state is the list of losses since the last drift, and the detector is whatever ADWIN makes of
that list, so that it can be stored as plain numbers and made anew at any time. At `MAX_LOSSES` the
older half is forgotten. ADWIN drops what is old a piece at a time and would report one change again
and again; so at its signal the list is cut where the losses changed most likely, which is where their
running sum is farthest from that of their mean (CUSUM), and only what follows is kept.

Bifet & Gavaldà, *Learning from time-changing data with adaptive windowing*, SDM 2007.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from river.drift import ADWIN

DELTA: Final = 0.002
MAX_LOSSES: Final = 512


@dataclass(frozen=True, slots=True)
class Change:
    """The loss rose at the `index`-th new value, from one mean to another."""

    index: int
    before: float
    after: float


def warm_up() -> None:
    """Import what looking for drift needs; it takes seconds, so call it in a thread at the start."""
    _fed(())


def extend(
    losses: Sequence[float], values: Sequence[float]
) -> tuple[tuple[float, ...], tuple[Change, ...]]:
    """Take block losses in [0, 1]; the list to keep, and each rise. A fall only empties the list."""
    if not values:
        return tuple(losses), ()
    held, changes = list(losses), []
    detector = _fed(held)
    for index, value in enumerate(values):
        detector.update(value)  # type: ignore[no-untyped-call]
        held.append(value)
        if detector.drift_detected:
            before, held = _parted(held)
            if _mean(held) > _mean(before):
                changes.append(Change(index, _mean(before), _mean(held)))
            detector = _fed(held)
        elif len(held) == MAX_LOSSES:
            held = held[MAX_LOSSES // 2 :]
            detector = _fed(held)
    return tuple(held), tuple(changes)


def _fed(losses: Sequence[float]) -> "ADWIN":
    from river.drift import ADWIN  # noqa: PLC0415 - it takes seconds, so not before it is needed

    detector = ADWIN(delta=DELTA, clock=1)  # type: ignore[no-untyped-call]
    for loss in losses:
        detector.update(loss)  # type: ignore[no-untyped-call]
    return detector


def _parted(losses: list[float]) -> tuple[list[float], list[float]]:
    """Before and after the likeliest change; neither is empty, as ADWIN signals no sooner."""
    mean, run, apart = _mean(losses), 0.0, list[float]()
    for loss in losses[:-1]:
        run += loss - mean
        apart.append(abs(run))
    at = apart.index(max(apart)) + 1
    return losses[:at], losses[at:]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
