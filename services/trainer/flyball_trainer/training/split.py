"""Which rows a model is fitted to and which are held out, or why there is too little yet."""

from dataclasses import dataclass
from typing import Final

import numpy as np

from flyball_trainer.rows import TrainingRows

MIN_ROWS: Final = 100
MIN_TRAINING_ROWS: Final = 50
MIN_HORIZONS: Final = 10
HOLDOUT_RATIO: Final = 10


@dataclass(frozen=True, slots=True)
class TooLittle:
    """No model can be fitted yet. `cause` is one word for each reason; `found` and `needed` are for people."""

    cause: str
    found: str
    needed: str


@dataclass(frozen=True, slots=True, eq=False)
class Split:
    """Rows to fit to, and rows from `holdout_from_ms` on that no fit may see."""

    training: TrainingRows
    holdout: TrainingRows
    holdout_from_ms: int


def split(
    rows: TrainingRows,
    *,
    task: str,
    horizon_ms: int,
    label_ahead_ms: int,
    max_holdout_rows: int = 2_000,
) -> Split | TooLittle:
    """The newest tenth by event time is held out; the next training folds it in.

    It is no more than the gate will look at: what nobody looks at is better learnt from.

    Rows of one instant stay together, so the holdout may be larger. `label_ahead_ms` says how far a
    label looks ahead, 0 for truth about the row itself: a row whose label would reach into the
    holdout is in neither part.
    """
    if (refused := _too_little(rows, horizon_ms)) is not None:
        return refused
    cut = len(rows) - max(1, min(len(rows) // HOLDOUT_RATIO, max_holdout_rows))
    holdout_from_ms = int(rows.time_ms[cut])
    training = rows.part(slice(0, _before(rows, holdout_from_ms, label_ahead_ms)))
    if (refused := _unfit(training, task)) is not None:
        return refused
    first = int(np.searchsorted(rows.time_ms, holdout_from_ms, side="left"))
    return Split(training, rows.part(slice(first, None)), holdout_from_ms)


def _before(rows: TrainingRows, holdout_from_ms: int, label_ahead_ms: int) -> int:
    """How many rows have labels that end before the holdout begins."""
    return int(np.searchsorted(rows.time_ms, holdout_from_ms - label_ahead_ms, side="left"))


def _too_little(rows: TrainingRows, horizon_ms: int) -> TooLittle | None:
    if len(rows) < MIN_ROWS:
        found = f"{len(rows)} labelled rows in the window"
        return TooLittle("rows", found, f"at least {MIN_ROWS}; wait for more or widen the window")
    spanned_ms = int(rows.time_ms[-1] - rows.time_ms[0])
    if spanned_ms < MIN_HORIZONS * horizon_ms:
        found = f"labelled rows that span {spanned_ms} ms"
        needed = f"at least ten horizons, {MIN_HORIZONS * horizon_ms} ms; wait or widen the window"
        return TooLittle("span", found, needed)
    return None


def _unfit(training: TrainingRows, task: str) -> TooLittle | None:
    if len(training) < MIN_TRAINING_ROWS:
        found = f"{len(training)} rows whose labels end before the newest tenth begins"
        return TooLittle("instants", found, f"at least {MIN_TRAINING_ROWS}; wait for more")
    classes = np.unique(training.label)
    if task == "binary" and not np.isin(classes, (0.0, 1.0)).all():
        other = classes[~np.isin(classes, (0.0, 1.0))][0]
        return TooLittle("labels", f"label {other:g}", "0 or 1 for a binary target")
    if task == "multiclass" and ((classes < 0) | (classes != np.floor(classes))).any():
        return TooLittle("labels", f"label {classes.min():g}", "numbers of classes from 0")
    if len(classes) == 1:
        found = f"label {classes[0]:g} in all {len(training)} rows"
        cause, needed = (
            ("equal", "labels that differ")
            if task == "regression"
            else ("class", "both classes" if task == "binary" else "at least two classes")
        )
        return TooLittle(cause, found, f"{needed}; wait for more or widen the window")
    return None
