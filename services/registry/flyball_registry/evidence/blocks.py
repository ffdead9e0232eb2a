"""One number a block of event time, from rows that overlap and move together.

A row belongs to the block of its decision time and counts there only if its label was known by that
block's end. Rows of blocks that are closed, censored and unlabelled rows never count. A block with
too few rows is merged with what follows.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Protocol, Self

import numpy as np

from flyball_proto.events import Wire
from flyball_registry.evidence.design import DesignError, Flags, Floats, Integers, Scored

UNSET = -1
"""No block was opened yet."""


class Sums(Wire):
    """Weighted sums over the rows of an open block; adding in pieces gives the same bits."""

    rows: int = 0
    weight: float = 0.0
    first: float = 0.0
    second: float = 0.0

    def add(self, weight: Floats, first: Floats, second: Floats | None = None) -> Self:
        """Take rows, each array (n,); `second` is a companion, 0 when there is none."""
        return self.model_copy(
            update={
                "rows": self.rows + len(weight),
                "weight": _onward(self.weight, weight),
                "first": _onward(self.first, weight * first),
                "second": self.second if second is None else _onward(self.second, weight * second),
            }
        )

    @property
    def means(self) -> tuple[float, float]:
        """Weighted means of both; only with rows."""
        return self.first / self.weight, self.second / self.weight


def _onward(carried: float, values: Floats) -> float:
    """The sum in order of rows: numpy's own `sum` adds in pairs, and then cuts would show."""
    return float(np.cumsum(np.concatenate(([carried], values)))[-1])


class Timed(Protocol):
    """Rows with the event times of their decisions and of their labels, (n,) each."""

    @property
    def time_ms(self) -> Integers:
        """Of the decision."""

    @property
    def known_ms(self) -> Integers:
        """Of the label."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Rows of one block, as positions in the call's arrays."""

    start_ms: int
    rows: Integers


def counted(rows: Scored, from_ms: int) -> Flags:
    """Rows (n,) that may be evidence: labelled, not censored, decided at or after `from_ms`."""
    return ~rows.censored & np.isfinite(rows.label) & (rows.time_ms >= from_ms)


def stretches(
    rows: Timed, usable: Flags, open_ms: int, clock_ms: int, block_ms: int
) -> Iterator[Stretch]:
    """The usable rows by block, in order; `open_ms` is the start of the open block or `UNSET`.

    Raises DesignError for rows of the future, because then blocks would close too early.
    """
    if not len(rows.time_ms):
        return
    newest_ms = int(rows.time_ms.max())
    if newest_ms > clock_ms:
        raise DesignError(
            f"a row of {newest_ms} ms lies after the clock, {clock_ms} ms: pass rows on only when "
            "every partition's time has reached them"
        )
    starts = rows.time_ms // block_ms * block_ms
    reached = np.maximum.accumulate(np.concatenate(([open_ms], starts)))[1:]
    kept = usable & (starts == reached) & (rows.known_ms <= starts + block_ms)
    positions = np.flatnonzero(kept)
    if not len(positions):
        return
    cuts = np.flatnonzero(np.diff(starts[positions])) + 1
    for part in np.split(positions, cuts):
        yield Stretch(int(starts[part[0]]), part)
