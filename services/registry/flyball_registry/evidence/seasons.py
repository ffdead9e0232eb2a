"""What loss was usual at which part of a season, such as the hour of a day."""

import math
from typing import Final, Self, TypeVar

from flyball_proto.events import Wire

Number = TypeVar("Number", int, float)

MAX_BINS: Final = 24
MIN_VISITS: Final = 3
BOUND_SPREADS: Final = 1.645
"""One-sided 95 %: standard errors above the mean."""


class Usual(Wire):
    """Count, mean and squared deviations of block losses by part of the season; at most 24 parts."""

    visits: tuple[int, ...] = (0,)
    mean: tuple[float, ...] = (0.0,)
    squares: tuple[float, ...] = (0.0,)

    @classmethod
    def of(cls, season_ms: int, block_ms: int) -> Self:
        """Nothing seen. A season has as many parts as it has blocks, at most 24; none has one."""
        bins = max(1, min(MAX_BINS, season_ms // block_ms))
        return cls(visits=(0,) * bins, mean=(0.0,) * bins, squares=(0.0,) * bins)

    def part(self, end_ms: int, season_ms: int) -> int:
        """The part of the season in which a block that ends then lies."""
        if not season_ms:
            return 0
        return (end_ms - 1) % season_ms * len(self.visits) // season_ms

    def add(self, part: int, loss: float) -> Self:
        """One block (Welford's recursion)."""
        n, mean = self.visits[part] + 1, self.mean[part]
        step = loss - mean
        moved = mean + step / n
        return type(self)(
            visits=_put(self.visits, part, n),
            mean=_put(self.mean, part, moved),
            squares=_put(self.squares, part, self.squares[part] + step * (loss - moved)),
        )

    def upper(self) -> tuple[float, ...] | None:
        """By part: the upper 95 % bound of the usual loss; None = no part has three visits.

        A part with fewer visits gets the largest bound of all others.
        """
        known = {
            part: self.mean[part] + BOUND_SPREADS * math.sqrt(self.squares[part] / (n - 1) / n)
            for part, n in enumerate(self.visits)
            if n >= MIN_VISITS
        }
        if not known:
            return None
        most = max(known.values())
        return tuple(known.get(part, most) for part in range(len(self.visits)))


def _put(values: tuple[Number, ...], at: int, value: Number) -> tuple[Number, ...]:
    return values[:at] + (value,) + values[at + 1 :]  # noqa: RUF005 # unpacking loses the type
