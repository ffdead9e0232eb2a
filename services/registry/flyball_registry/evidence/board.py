"""The scoreboard: how good each column of scores was, row by row as labels came (prequential)."""

import numpy as np

from flyball_proto.events import Wire
from flyball_registry.evidence.blocks import Sums
from flyball_registry.evidence.design import Floats, Task
from flyball_registry.evidence.losses import saturate


class Score(Wire):
    """Sums of one column: Brier loss and hits for binary, absolute error for regression."""

    sums: Sums = Sums()
    not_finite: int = 0

    def add(
        self, task: Task, weight: Floats, label: Floats, score: Floats, error: Floats
    ) -> "Score":
        """Take the rows (n,) that the column has a score for.

        One without a finite number has no error that could be averaged: regression counts it apart.
        """
        finite = np.isfinite(error)
        bad = self.not_finite + int((~finite).sum())
        if task == "binary":
            hit = ((score >= 0.5) == (label >= 0.5)) & np.isfinite(score)
            sums = self.sums.add(weight, saturate(error, 1.0), hit.astype(np.float64))
        else:
            sums = self.sums.add(weight[finite], error[finite])
        return Score(sums=sums, not_finite=bad)

    @property
    def rows(self) -> int:
        """Rows that count in the means."""
        return self.sums.rows

    def loss(self) -> float | None:
        """Mean Brier loss, or mean absolute error in the label's unit; None = no rows."""
        return self.sums.means[0] if self.sums.rows else None

    def accuracy(self, task: Task) -> float | None:
        """Share of labels on the right side of 0.5; None for regression and without rows."""
        return self.sums.means[1] if self.sums.rows and task == "binary" else None
