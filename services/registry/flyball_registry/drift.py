"""Whether the active model's loss rose for good: ADWIN over block losses. The only room with river.

The state is the list of losses since the last drift, and the detector is whatever ADWIN makes of
that list, so that it can be stored as plain numbers and made anew at any time. At `MAX_LOSSES` the
older half is forgotten.

Bifet & Gavaldà, *Learning from time-changing data with adaptive windowing*, SDM 2007.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from river.drift import ADWIN

DELTA: Final = 0.002
MAX_LOSSES: Final = 512


@dataclass(frozen=True, slots=True)
class Change:
    """The loss rose at the `index`-th new value, from one mean to another."""

    index: int
    before: float
    after: float


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
            recent = max(1, int(detector.width))
            dropped, held = held[:-recent], held[-recent:]
            before, after = _mean(dropped), _mean(held)
            if dropped and after > before:
                changes.append(Change(index, before, after))
            detector = _fed(held)
        elif len(held) == MAX_LOSSES:
            held = held[MAX_LOSSES // 2 :]
            detector = _fed(held)
    return tuple(held), tuple(changes)


def _fed(losses: Sequence[float]) -> ADWIN:
    detector = ADWIN(delta=DELTA, clock=1)  # type: ignore[no-untyped-call]
    for loss in losses:
        detector.update(loss)  # type: ignore[no-untyped-call]
    return detector


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values) if values else 0.0
