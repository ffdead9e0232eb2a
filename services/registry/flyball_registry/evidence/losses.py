"""How wrong a score was: row losses in [0, 1].

    binary      Brier, (label - score)^2
    regression  min(|label - score| / q99, 1), q99 frozen by whoever compares (scales.py)

A row's *error* is what is measured before the scale is known; `saturate` makes it a loss. A score
that is not finite has loss 1. Multiclass models give one score a row, which is no distribution:
`Design` refuses the task.
"""

import numpy as np

from flyball_registry.evidence.design import DesignError, Floats, Task


def errors(task: Task, label: Floats, score: Floats) -> Floats:
    """Errors (n,) in the label's unit for regression, losses already for binary.

    NaN where the score is NaN (nothing admitted), infinity where it is infinite.
    """
    if task == "multiclass":
        raise DesignError("multiclass rows have no loss; use binary or regression")
    with np.errstate(over="ignore"):
        distance: Floats = np.abs(label - score)
        return distance * distance if task == "binary" else distance


def saturate(error: Floats, scale: float) -> Floats:
    """Losses in [0, 1]; NaN stays NaN. `scale` > 0, 1 for binary."""
    return np.minimum(error / scale, 1.0)
