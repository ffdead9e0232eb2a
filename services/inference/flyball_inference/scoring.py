"""Raw model output to scores that do not depend on how rows were batched."""

from collections.abc import Callable
from typing import Final

import numpy as np

from flyball_proto.columns import F64, Column

DECIMALS: Final = 6
"""Rounded before any comparison: a model's last bits depend on the batch."""

Run = Callable[[Column], Column]
"""Features f32 (n, width) to raw scores (n, 1)."""


def score(run: Run, features: Column) -> Column:
    """Scores f64 (n,) of features f32 (n, width).

    A single row is scored as two, because runtimes compute one row in another way than many.
    A score that is not finite is NaN: it is recorded, and nothing is ever proposed for it.
    """
    rows = len(features)
    if not rows:
        return np.empty(0, F64)
    batch = features if rows > 1 else np.repeat(features, 2, axis=0)
    raw = run(batch).reshape(-1)[:rows].astype(F64)
    scores: Column = np.round(raw, DECIMALS) + 0.0  # there is no minus zero
    scores[~np.isfinite(scores)] = np.nan
    return scores
