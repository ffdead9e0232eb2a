"""Raw model output to scores that do not depend on how rows were batched."""

from collections.abc import Callable
from typing import Final, NamedTuple

import numpy as np

from flyball_proto.columns import F64, Column

DECIMALS: Final = 6
"""Rounded before any comparison: a model's last bits depend on the batch."""

Run = Callable[[Column], Column]
"""Features f32 (n, width) to raw scores (n, outputs)."""


class Scored(NamedTuple):
    """Scores f64 (n,), of several outputs (n, outputs), and how many rows have no number."""

    scores: Column
    not_finite: int


def score(run: Run, features: Column) -> Scored:
    """Score features f32 (n, width).

    A single row is scored as two, because runtimes compute one row in another way than many.
    A score that is not finite is NaN: it is recorded, and nothing is ever proposed for it. Of
    several outputs one that is not finite makes the whole row NaN.
    """
    rows = len(features)
    if not rows:
        return Scored(np.empty(0, F64), 0)
    batch = features if rows > 1 else np.concatenate((features, features))
    raw = run(batch)[:rows].astype(F64)
    scores: Column = raw.round(DECIMALS)
    scores += 0.0  # there is no minus zero
    finite = np.isfinite(scores).all(axis=1)
    not_finite = rows - int(np.count_nonzero(finite))
    if not_finite:
        scores[~finite] = np.nan
    return Scored(scores[:, 0] if scores.shape[1] == 1 else scores, not_finite)
