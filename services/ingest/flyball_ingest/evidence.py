"""Which elements' rows become samples: a share that halves until the rate is bearable. Pure."""

from functools import lru_cache
from typing import Final

import numpy as np

from flyball_ingest.sampling import SILENT_INTERVALS
from flyball_proto.columns import Column
from flyball_proto.sticky import fraction

MAX_HALVINGS: Final = 32
TOLERANCE: Final = 1.1
"""Rows do not come evenly: a tenth more than the bound halves nothing."""


class Share:
    """Whole elements, chosen by hash: a share of 2^-`halvings`, which only ever falls.

    Rows are counted while the partition's clock stands in one stretch of ten intervals; those whose
    own time lies elsewhere (history that is made up for) do not count. Where the count exceeds what
    the stretch may hold the share halves, at that very row, so batches do not matter.
    """

    def __init__(self, rows_per_s: float, interval_ms: int) -> None:
        self._stretch_ms = SILENT_INTERVALS * interval_ms
        self._limit = max(1, int(TOLERANCE * rows_per_s * self._stretch_ms / 1000))
        self.halvings = 0
        self.stretch = self.counted = 0

    @property
    def share(self) -> float:
        """The share of the elements, in (0, 1]."""
        return 1.0 / (1 << self.halvings)

    def load(self, halvings: int, stretch: int, counted: int) -> None:
        """Go on from these figures."""
        self.halvings, self.stretch, self.counted = halvings, stretch, counted

    def observe(self, time_ms: Column, clock_ms: Column) -> list[int]:
        """Count rows; the row numbers at which the share halved, several times if need be.

        `clock_ms` is the clock behind each row. `halvings` is that behind the last row.
        """
        if not len(time_ms):
            return []
        stretches = clock_ms // self._stretch_ms
        counts = (time_ms // self._stretch_ms == stretches).astype(np.int64)
        borders = (np.flatnonzero(np.diff(stretches)) + 1).tolist()
        halved: list[int] = []
        for start, end in zip([0, *borders], [*borders, len(stretches)], strict=True):
            stretch = int(stretches[start])
            before = self.counted if stretch == self.stretch else 0
            count = before + np.cumsum(counts[start:end])
            while count[-1] > self._limit << self.halvings and self.halvings < MAX_HALVINGS:
                halved.append(
                    start + int(np.searchsorted(count, self._limit << self.halvings, "right"))
                )
                self.halvings += 1
            self.stretch, self.counted = stretch, int(count[-1])
        return halved


@lru_cache(maxsize=100_000)
def place(element: str) -> float:
    """Where an element stands in [0, 1); those below the share are in it, as `is_evidence` says."""
    return fraction("evidence", element)
