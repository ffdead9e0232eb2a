"""Percentiles of the latest durations, at a cost that one commit does not feel. Pure.

Durations are counted in bins whose edges grow by 2^(1/16): a percentile is within 2.2 % of the true
one. Nothing is kept of a single duration, so a busy stage costs no more memory than a quiet one.
"""

import math
from collections import Counter, deque
from collections.abc import Mapping
from typing import Final

SLICES: Final = 10
"""Slices that a figure rests on; whoever turns them once a second sees the last ten seconds."""

BINS_A_DOUBLING: Final = 16
MIN_MS: Final = 0.01
MAX_MS: Final = 3_600_000.0
"""What is shorter or longer counts as these, so that a slice has at most 617 bins."""

PERCENTILES: Final[Mapping[str, float]] = {"p50": 0.5, "p99": 0.99}


class Latencies:
    """Durations by slice; at most `SLICES` of them, the oldest goes."""

    def __init__(self) -> None:
        self._now: dict[int, int] = {}
        self._slices: deque[dict[int, int]] = deque([self._now], maxlen=SLICES)

    def add(self, ms: float) -> None:
        """Count one duration; a negative one, from clocks that differ, counts as the shortest."""
        at = int(BINS_A_DOUBLING * math.log2(min(max(ms, MIN_MS), MAX_MS) / MIN_MS))
        self._now[at] = self._now.get(at, 0) + 1

    def turn(self) -> None:
        """Begin the next slice."""
        self._now = {}
        self._slices.append(self._now)

    def figures(self) -> dict[str, float]:
        """`p50` and `p99` in milliseconds; empty when nothing was counted."""
        counts: Counter[int] = Counter()
        for one in self._slices:
            counts.update(one)
        total = counts.total()
        return {name: _at(counts, share * total) for name, share in PERCENTILES.items() if total}


def _at(counts: Mapping[int, int], rank: float) -> float:
    """The middle of the bin in which that many durations are reached."""
    reached = 0
    for place in sorted(counts):
        reached += counts[place]
        if reached >= rank:
            return float(f"{MIN_MS * 2 ** ((place + 0.5) / BINS_A_DOUBLING):.3g}")
    return 0.0
