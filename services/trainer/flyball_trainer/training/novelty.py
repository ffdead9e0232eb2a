"""What the training rows look like, for whoever wants to know later whether a row is unlike them."""

from dataclasses import replace
from typing import Final

import numpy as np

from flyball_proto.columns import F64, I64, Column
from flyball_proto.novelty import (
    MAX_COMPONENTS,
    Novelty,
    calibration_of,
    distances,
    standardised,
)

MAX_ROWS: Final = 20_000
MAX_CELLS: Final = 1 << 22
"""Of more rows, or of so many values, evenly spread rows are looked at."""
CLIP: Final = 10.0
"""Spreads from the mean within which a training row tells how features move together."""
STILL: Final = 1e-6
"""A feature that moves by no more of its value, or by no more than this, never changed."""
STILL_SPREAD: Final = 1e-3
"""Then so much of its value counts as its spread, or `STILL`."""
LEAST_VARIANCE: Final = 1e-6


def novelty(training: Column, holdout: Column) -> Novelty:
    """Statistics of training rows f32 (n, width), calibrated on the holdout's f32 (m, width), m > 0.

    The same rows give the same bytes on one platform. Labels and weights of rows play no part.
    """
    rows = _spread(training)
    mean, weight = _moments(rows)
    z = standardised(rows, mean, weight, CLIP)
    variance, direction = np.linalg.eigh(z.T @ z / len(z))  # rising
    count = min(MAX_COMPONENTS, len(variance))
    others = variance[: len(variance) - count]
    found = Novelty(
        mean,
        weight,
        direction[:, len(variance) - count :].T[::-1],
        np.maximum(variance[::-1][:count], LEAST_VARIANCE),
        max(float(others.mean()), LEAST_VARIANCE) if len(others) else 1.0,
        np.zeros(1, F64),
    )
    return replace(found, calibration=calibration_of(distances(found, holdout)))


def _spread(rows: Column) -> Column:
    most = max(1, min(MAX_ROWS, MAX_CELLS // max(1, rows.shape[1])))
    if len(rows) <= most:
        return rows
    return rows[np.linspace(0, len(rows) - 1, most).astype(I64)]


def _moments(rows: Column) -> tuple[Column, Column]:
    """Mean and 1 / spread of each feature's finite values; both 0 where it has none."""
    finite = np.isfinite(rows)
    count = np.maximum(finite.sum(axis=0), 1)
    mean = np.where(finite, rows, 0).sum(axis=0, dtype=F64) / count
    centred = np.where(finite, rows - mean, 0)
    deviation = np.sqrt((centred**2).sum(axis=0) / count)
    size = np.abs(mean)
    still = deviation <= STILL * np.maximum(size, 1.0)
    spread = np.where(still, np.maximum(STILL_SPREAD * size, STILL), deviation)
    return mean, np.where(finite.any(axis=0), 1.0 / spread, 0.0)
