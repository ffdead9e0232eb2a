"""What an action does: labels under it less labels of rows left alone at random, with an interval. Pure.

Rows of one stretch of time move together, so the interval stands on blocks, not on rows: each arm
is a ratio of block sums, whose variance is that of the blocks around it (Cochran, *Sampling
Techniques*, 1977, section 6.3). State is O(1) an arm.
"""

from math import sqrt
from typing import Final

import numpy as np

from flyball_proto.columns import Column
from flyball_proto.events import Wire

LEAST_BLOCKS: Final = 8
"""Of each arm; with fewer there is a difference, but no interval."""

Z: Final = 1.959964
"""Of a two-sided interval of 95 %."""


class Arm(Wire):
    """Labels of one arm; the newest block is open until a later one begins."""

    rows: int = 0
    total: float = 0.0
    blocks: int = 0
    squared_rows: float = 0.0
    squared_total: float = 0.0
    product: float = 0.0
    block: int = -1
    open_rows: int = 0
    open_total: float = 0.0

    def add(self, label: Column, block: Column) -> "Arm":
        """Take more labels, f64 (n,), of blocks, i64 (n,); a label of an older block joins the open one."""
        found = self
        for one in np.unique(np.maximum(block, self.block)).tolist():
            mine = label[np.maximum(block, self.block) == one]
            found = found._of_block(one, len(mine), float(mine.sum()))
        return found

    @property
    def mean(self) -> float | None:
        """Of all labels; None without any."""
        return self.total / self.rows if self.rows else None

    @property
    def variance(self) -> float | None:
        """Of the mean, from block to block; None with fewer than `LEAST_BLOCKS` blocks."""
        blocks = self.blocks + (self.open_rows > 0)
        if blocks < LEAST_BLOCKS or not self.rows:
            return None
        mean = self.total / self.rows
        n2, s2, ns = self.squared_rows, self.squared_total, self.product
        n2 += self.open_rows**2
        s2 += self.open_total**2
        ns += self.open_rows * self.open_total
        spread = max(0.0, s2 - 2 * mean * ns + mean**2 * n2)
        return spread / self.rows**2 * blocks / (blocks - 1)

    def _of_block(self, block: int, rows: int, total: float) -> "Arm":
        grown = {"rows": self.rows + rows, "total": self.total + total}
        if block == self.block:
            more = {"open_rows": self.open_rows + rows, "open_total": self.open_total + total}
            return self.model_copy(update={**grown, **more})
        return self.model_copy(
            update={
                **grown,
                "blocks": self.blocks + (self.open_rows > 0),
                "squared_rows": self.squared_rows + self.open_rows**2,
                "squared_total": self.squared_total + self.open_total**2,
                "product": self.product + self.open_rows * self.open_total,
                "block": block,
                "open_rows": rows,
                "open_total": total,
            }
        )


class Arms(Wire):
    """One action's two arms."""

    withheld: Arm = Arm()
    acted: Arm = Arm()

    @property
    def difference(self) -> float | None:
        """Acted less withheld; None while one arm is empty."""
        acted, withheld = self.acted.mean, self.withheld.mean
        return None if acted is None or withheld is None else acted - withheld

    @property
    def interval(self) -> tuple[float, float] | None:
        """95 %, normal; None with too few blocks."""
        acted, withheld, middle = self.acted.variance, self.withheld.variance, self.difference
        if acted is None or withheld is None or middle is None:
            return None
        half = Z * sqrt(acted + withheld)
        return middle - half, middle + half
