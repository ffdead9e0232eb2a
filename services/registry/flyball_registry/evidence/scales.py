"""What error counts as 1 in a regression: the 99th percentile of what was usual, then frozen.

The scale comes before the pilot of a comparison: rows of its first `SCALE_BLOCKS` blocks (and at
least `SCALE_ROWS` errors) set it and count for nothing else. Binary losses need no scale.
"""

from typing import Final, Self

import numpy as np

from flyball_proto.events import Wire
from flyball_registry.evidence.design import Floats, Task

SCALE_BLOCKS: Final = 5
SCALE_ROWS: Final = 200
MAX_POOL: Final = 512
"""Errors kept; beyond, every second one is dropped and only every second further one is taken."""

QUANTILE: Final = 0.99
MIN_SCALE: Final = 1e-12
MAX_SATURATED: Final = 0.2


class Scale(Wire):
    """A scale, or the errors that will set it: at most `MAX_POOL` numbers."""

    reference: float | None = None
    frozen: bool = False  # set by errors; rows at the bound are counted
    pool: tuple[float, ...] = ()
    stride: int = 1
    seen: int = 0
    blocks: int = 0
    rows: int = 0
    saturated: int = 0

    @classmethod
    def of(cls, task: Task) -> Self:
        """Nothing known yet; but for regression the scale is 1."""
        return cls(reference=None if task == "regression" else 1.0)

    def gather(self, *columns: Floats) -> Self:
        """Take rows' errors, one array a model, each (n,); infinite ones say nothing of the scale."""
        pool, stride, seen = list(self.pool), self.stride, self.seen
        for error in np.stack(columns, 1).ravel().tolist():
            if error == float("inf"):
                continue
            if seen % stride == 0:
                pool.append(error)
                if len(pool) == MAX_POOL:
                    pool, stride = pool[::2], 2 * stride
            seen += 1
        return self.model_copy(update={"pool": tuple(pool), "stride": stride, "seen": seen})

    def close(self) -> Self:
        """A block's end: one more block of errors, and the scale when there are enough."""
        blocks = self.blocks + 1
        if blocks < SCALE_BLOCKS or self.seen < SCALE_ROWS:
            return self.model_copy(update={"blocks": blocks})
        reference = float(np.quantile(self.pool, QUANTILE, method="higher"))
        return type(self)(reference=max(reference, MIN_SCALE), frozen=True)

    def count(self, rows: int, saturated: int) -> Self:
        """So many rows were scaled, and so many of them reached 1."""
        if not self.frozen:
            return self
        return self.model_copy(
            update={"rows": self.rows + rows, "saturated": self.saturated + saturated}
        )

    @property
    def saturated_ratio(self) -> float:
        """Share of rows whose loss says no more than "large"."""
        return self.saturated / self.rows if self.rows else 0.0

    @property
    def is_outgrown(self) -> bool:
        """Whether a new comparison must open because errors are of another size now."""
        return self.rows >= SCALE_ROWS and self.saturated_ratio > MAX_SATURATED
