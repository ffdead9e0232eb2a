"""Rows, and what the fitted model itself says of them, for whoever loads its ONNX file later."""

import numpy as np

from flyball_proto.bundles import MAX_EXPECTED_BYTES, MAX_EXPECTED_ROWS, Expected
from flyball_proto.columns import F32, F64, Column
from flyball_trainer.forms.boundaries import Probes, probes
from flyball_trainer.kinds.catalogue import Fitted

HOLDOUT_SHARE = 3 / 8
"""Of the rows; the others are at the model's edges."""
_HEAD_BYTES = 12


def expected(fitted: Fitted, holdout: Column) -> Expected:
    """Newest rows of the holdout f32 (n, width), n > 0, and edge rows of the model with its scores.

    They are among the rows by which the ONNX form was proven. Every group gives evenly spread ones;
    at most `MAX_EXPECTED_ROWS` and, of wide models, `MAX_EXPECTED_BYTES`. The same model and holdout
    give the same bytes. A row on which the model itself says nothing finite is left out.
    """
    outputs = fitted.scores(holdout[-1:]).shape[1]
    most = most_rows(holdout.shape[1], outputs)
    held = holdout[-max(1, int(most * HOLDOUT_SHARE)) :]
    edges, *others = probes(fitted.form, held)
    room = most - len(held)
    chosen: list[Column] = []
    for group in reversed(others):
        chosen.insert(0, _spread(group, room // 3))
        room -= len(chosen[0])
    rows = np.concatenate([held, _spread(edges, room), *chosen]).astype(F32)
    scores = fitted.scores(rows).astype(F64)
    finite = np.isfinite(scores).all(axis=1)
    return Expected(rows[finite], scores[finite])


def most_rows(width: int, outputs: int) -> int:
    """How many rows may be written down."""
    row_bytes = width * F32.itemsize + outputs * F64.itemsize
    return max(1, min(MAX_EXPECTED_ROWS, (MAX_EXPECTED_BYTES - _HEAD_BYTES) // row_bytes))


def _spread(group: Probes, most: int) -> Column:
    count = len(group.feature)
    return group.feature[np.unique(np.linspace(0, count - 1, min(count, most)).astype(np.int64))]
