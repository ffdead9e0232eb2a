"""What speaks for and against a proposed action, as numbers in one order. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from flyball_proto.columns import F64, U8, Column, Model, Quality

SIGNALS: Final = (
    "claimed",
    "doubt",
    "strangeness",
    "novelty",
    "disagreement",
    "flawed",
    "stale",
    "drift",
    "canary",
    "age",
)
"""Columns of `signals`, all in [0, 1], higher = more doubt:

claimed       1 - score where scores are probabilities, else 0.5
doubt         conformal p-value of "this action is wrong"
strangeness   1 - credibility: neither right nor wrong proposals looked like this
novelty       1 - p-value of the inputs under the training data; not known = 0.5
disagreement  |score - score of the fallback|, at most 1; not known = 0
flawed        a value was clipped, missing or repaired
stale         the inputs are stale
drift         the stream changed lately
canary        a canary answered
age           of the model: a / (a + one day); not known = 0
"""

DAY_MS: Final = 86_400_000
CANARY: Final = "canary"

UNCALIBRATED: Final = 0.5
"""Probability of error of a score that is no probability (regression), until it is calibrated."""

DOUBT: Final[Mapping[Quality, float]] = {
    Quality.CLIPPED: 0.05,
    Quality.NULL: 0.1,
    Quality.STALE: 0.3,
    Quality.LATE_INPUT: 0.02,
}
"""Chance that a flaw of the inputs alone makes the decision wrong, until it is calibrated."""

_FLAWS: Final = int(Quality.CLIPPED | Quality.NULL | Quality.LATE_INPUT)


def claimed(score: Column, *, is_probability: bool) -> Column:
    """Probability of error as the score itself has it, f64 (p,); a score that is no number: 1.

    An action assumes that the predicted event happens, so a probability errs with 1 - score.
    """
    wrong = 1.0 - np.clip(score, 0.0, 1.0) if is_probability else np.full(len(score), UNCALIBRATED)
    return np.where(np.isfinite(score), wrong, 1.0).astype(F64)


def known(column: Column, rows: int) -> Column:
    """A signal of p rows; NaN throughout where it was written by a version that did not look."""
    return np.asarray(column, F64) if len(column) == rows else np.full(rows, np.nan)


@dataclass(frozen=True, slots=True)
class Proposed:
    """What is known of p proposals when they are assessed, p entries each.

    Of the last three a column may be empty: written by a version that did not look.
    """

    actions: Sequence[str]
    action_index: Column  # u8, 1 + place in `actions`
    score: Column  # f64
    quality: Column  # u8
    canary: Column  # bool, see `is_canary`
    novelty: Column  # p-value of the inputs, NaN = not known
    disagreement: Column  # NaN = not known
    age_ms: Column  # f64, of the model, NaN = not known; see `age`

    def __len__(self) -> int:
        return len(self.score)


def is_canary(models: Sequence[Model], index: Column) -> Column:
    """Which rows a canary answered, bool (p,); `index` points into `models`."""
    return np.array([model.stage == CANARY for model in models], bool)[index]


def age(models: Sequence[Model], index: Column, time_ms: Column) -> Column:
    """Event time between what a row's model learnt last and the row, f64 (p,); NaN = not known."""
    learnt = np.array([model.trained_ms or np.nan for model in models], F64)[index]
    return np.asarray(np.maximum(time_ms - learnt, 0.0), F64)


def signals(
    found: Proposed,
    p_wrong: Column,
    credible: Column,
    *,
    drifted: bool | Column,
    is_probability: bool,
) -> Column:
    """One row of `SIGNALS` a proposal, f64 (p, 10)."""
    n, bits = len(found), np.asarray(found.quality, U8)
    strange, apart, old = (
        known(column, n) for column in (found.novelty, found.disagreement, found.age_ms)
    )
    columns = (
        claimed(found.score, is_probability=is_probability),
        p_wrong,
        1.0 - credible,
        1.0 - np.where(np.isnan(strange), 0.5, np.clip(strange, 0.0, 1.0)),
        np.where(np.isnan(apart), 0.0, np.clip(apart, 0.0, 1.0)),
        bits & _FLAWS != 0,
        bits & int(Quality.STALE) != 0,
        np.full(n, drifted),
        found.canary,
        np.where(np.isnan(old), 0.0, old / (old + DAY_MS)),
    )
    return np.column_stack([np.asarray(column, F64) for column in columns]).reshape(n, len(SIGNALS))
