"""How good the decisions were, by the truth that only the simulator knows at once. Pure.

A row counts once its label window is over; not while its element is under an action within that
window, because an action is meant to make its label false.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray

Floats = NDArray[np.float64]


@dataclass
class Losses:
    """Loads and scores of each second and cell; 40 bytes a row, so some MB for the demo."""

    cells: int
    begin_ms: int
    seconds: int
    horizon_s: int
    threshold: float
    acting_s: int
    _load: Floats = field(init=False)
    _score: Floats = field(init=False)
    _acted: NDArray[np.bool_] = field(init=False)
    known_s: int = 0

    def __post_init__(self) -> None:
        """Nothing is known yet."""
        shape = (self.seconds, self.cells)
        self._load, self._score = np.full(shape, np.nan), np.full(shape, np.nan)
        self._acted = np.zeros(shape, np.bool_)

    def second(self, time_ms: int, loads: Iterable[float]) -> None:
        """What the cells carried in one second."""
        at = self._at(time_ms)
        self._load[at] = list(loads)
        self.known_s = at + 1

    def scored(self, time_ms: int, cell: int, score: float) -> None:
        """What the model in the seat said."""
        self._score[self._at(time_ms), cell] = score

    def acted(self, time_ms: int, cell: int) -> None:
        """An action reached a cell at this time."""
        at = self._at(time_ms)
        self._acted[at : at + self.acting_s, cell] = True

    def load(self, time_ms: int, cell: int) -> float:
        """What a cell carried."""
        return float(self._load[self._at(time_ms), cell])

    def brier(self, from_ms: int, to_ms: int) -> tuple[float, float] | None:
        """Brier score of the decisions in a span, and of the last value; None = no row counts."""
        first = max(0, self._at(from_ms))
        last = min(self._at(to_ms), self.known_s - self.horizon_s)
        if last <= first:
            return None
        ahead = self._ahead(self._load, first, last)
        label = (ahead.max(-1) > self.threshold).astype(np.float64)
        free = ~self._ahead(self._acted, first, last).any(-1)
        score = self._score[first:last]
        counts = free & np.isfinite(score)
        if not counts.any():
            return None
        last_value = 1 / (1 + np.exp(-(self._load[first:last] - self.threshold) / 5))
        return (
            float(((score - label) ** 2)[counts].mean()),
            float(((last_value - label) ** 2)[counts].mean()),
        )

    def _ahead(self, values: NDArray[np.generic], first: int, last: int) -> NDArray[np.generic]:
        ahead = values[first + 1 : last + self.horizon_s]
        return np.lib.stride_tricks.sliding_window_view(ahead, self.horizon_s, axis=0)

    def _at(self, time_ms: int) -> int:
        return (time_ms - self.begin_ms) // 1000
