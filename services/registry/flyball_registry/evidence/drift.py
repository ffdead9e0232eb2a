"""Whether a figure of each block changed for good: ADWIN over losses or scores. The only room with river.

The state is the list of figures since the last change, and the detector is whatever ADWIN makes of
that list, so that it can be stored as plain numbers and made anew at any time. At `MAX_LOSSES` the
older half is forgotten. ADWIN drops what is old a piece at a time and would report one change again
and again; so at its signal the list is cut where the figures changed most likely, which is where
their running sum is farthest from that of their mean (CUSUM), and only what follows is kept.

ADWIN's bound has a part that shrinks with the range that values may have, and block losses use a
small part of [0, 1]. So the list's first `PILOT` figures say what is usual, and ADWIN is told where
in the `SPREADS` standard deviations around their mean each one lies; nothing is said before the pilot
is whole. Not so where the source has a season: the pilot would be a part of it, so figures are told
as they are, and only large changes are seen.

Bifet & Gavaldà, *Learning from time-changing data with adaptive windowing*, SDM 2007.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from math import fsum, sqrt
from typing import Final

DELTA: Final = 0.002
MAX_LOSSES: Final = 512
PILOT: Final = 30
SPREADS: Final = 4.0
SMALLEST: Final = 1e-9
"""A standard deviation below it counts as this."""


@dataclass(frozen=True, slots=True)
class Change:
    """The mean became another one; seen at the `index`-th new value."""

    index: int
    before: float
    after: float

    @property
    def is_rise(self) -> bool:
        """Whether it is larger than before."""
        return self.after > self.before


def warm_up() -> None:
    """Import what looking for drift needs; it takes seconds, so call it in a thread at the start."""
    _Detector((), seasonal=False)


def extend(
    losses: Sequence[float], values: Sequence[float], *, seasonal: bool = False
) -> tuple[tuple[float, ...], tuple[Change, ...]]:
    """Take block losses in [0, 1]; the list to keep, and each rise. A fall only shortens the list."""
    held, changes = changed(losses, values, seasonal=seasonal)
    return held, tuple(change for change in changes if change.is_rise)


def changed(
    known: Sequence[float], values: Sequence[float], *, seasonal: bool = False
) -> tuple[tuple[float, ...], tuple[Change, ...]]:
    """Take figures of blocks; the list to keep, and each change. Seasonal ones must be in [0, 1]."""
    if not values:
        return tuple(known), ()
    held, changes = list(known), list[Change]()
    detector = _Detector(held, seasonal=seasonal)
    for index, value in enumerate(values):
        held.append(value)
        if len(held) == PILOT:
            detector = _Detector(held, seasonal=seasonal)
        elif len(held) > PILOT:
            detector.take(value)
        if detector.has_signalled:
            before, held = _parted(held)
            changes.append(Change(index, _mean(before), _mean(held)))
        elif len(held) == MAX_LOSSES:
            held = held[MAX_LOSSES // 2 :]
        else:
            continue
        detector = _Detector(held, seasonal=seasonal)
    return tuple(held), tuple(changes)


class _Detector:
    """ADWIN over a list whose first `PILOT` values set the scale; it hears nothing before that."""

    def __init__(self, held: Sequence[float], *, seasonal: bool) -> None:
        from river.drift import ADWIN  # noqa: PLC0415 - it takes seconds, so not before it is needed

        self._adwin = ADWIN(delta=DELTA, clock=1)  # type: ignore[no-untyped-call]
        if len(held) < PILOT:
            return
        self._low, self._width = (0.0, 1.0) if seasonal else _scale(held[:PILOT])
        for value in held:
            self.take(value)

    def take(self, value: float) -> None:
        """One more value."""
        told = min(1.0, max(0.0, (value - self._low) / self._width))
        self._adwin.update(told)  # type: ignore[no-untyped-call]

    @property
    def has_signalled(self) -> bool:
        """Whether the last value showed a change."""
        return bool(self._adwin.drift_detected)


def _scale(pilot: Sequence[float]) -> tuple[float, float]:
    """What is told to ADWIN as 0, and how far from there 1 is."""
    mean = _mean(pilot)
    spread = sqrt(fsum((value - mean) ** 2 for value in pilot) / (len(pilot) - 1))
    width = SPREADS * max(SMALLEST, spread)
    return mean - width / 2, width


def _parted(held: list[float]) -> tuple[list[float], list[float]]:
    """Before and after the likeliest change; neither is empty, as ADWIN signals no sooner."""
    mean, run, apart = _mean(held), 0.0, list[float]()
    for value in held[:-1]:
        run += value - mean
        apart.append(abs(run))
    at = apart.index(max(apart)) + 1
    return held[:at], held[at:]


def _mean(values: Sequence[float]) -> float:
    return sum(values) / len(values)
