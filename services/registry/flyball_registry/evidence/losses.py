"""How wrong a score was: row losses in [0, 1].

    binary      Brier, (label - score)^2
    multiclass  Brier / 2, half the sum over classes of (1 where it is the label, else 0; less score)^2
    regression  min(|label - score| / q99, 1), q99 frozen by whoever compares (scales.py)

A row's *error* is what is measured before the scale is known; `saturate` makes it a loss. A score
that is not finite has loss 1, and so has any score of a label that names no class.
"""

import numpy as np

from flyball_registry.evidence.design import Flags, Floats, Integers, Task


def errors(task: Task, label: Floats, score: Floats) -> Floats:
    """Errors (n,) in the label's unit for regression, losses already for the others.

    `score` (n,), of multiclass (n, k). NaN where nothing was admitted, infinity where there was no
    finite number.
    """
    with np.errstate(over="ignore", invalid="ignore"):
        if task == "multiclass":
            return _brier(label, score)
        distance: Floats = np.abs(label - score)
        return distance * distance if task == "binary" else distance


def saturate(error: Floats, scale: float) -> Floats:
    """Losses in [0, 1]; NaN stays NaN. `scale` > 0, 1 but for regression."""
    return np.minimum(error / scale, 1.0)


def absent(score: Floats) -> Flags:
    """Rows (n,) without a score: NaN, of multiclass in any class."""
    missing: Flags = np.isnan(score)
    return missing if score.ndim == 1 else np.logical_or.reduce(missing, axis=1)


def truths(label: Floats, classes: int) -> Integers:
    """The class (n,) that is true, -1 where the label names none; of two classes 1 from 0.5 on."""
    if classes == 2:
        return (label >= 0.5).astype(np.int64)
    with np.errstate(invalid="ignore"):
        named = (label >= 0) & (label < classes) & (label == np.floor(label))
    return np.where(named, label, -1).astype(np.int64)


def _brier(label: Floats, score: Floats) -> Floats:
    if not len(score):
        return np.empty(0)
    truth = truths(label, score.shape[1])
    wanted = np.arange(score.shape[1]) == truth[:, None]
    distance = np.abs(score - wanted)
    error: Floats = (distance * distance).sum(axis=1) / 2
    error[(truth < 0) & ~np.isnan(error)] = 1.0
    return error
