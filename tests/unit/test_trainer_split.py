from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.training_rows import STEP_MS, training_rows

from flyball_trainer.rows import TrainingRows
from flyball_trainer.training.split import MIN_ROWS, Split, TooLittle, split


def made(rows: TrainingRows, task: str = "binary", ahead_ms: int = STEP_MS) -> Split:
    found = split(rows, task=task, horizon_ms=STEP_MS, label_ahead_ms=ahead_ms)
    assert isinstance(found, Split)
    return found


def refused(rows: TrainingRows, task: str = "binary", horizon_ms: int = STEP_MS) -> TooLittle:
    found = split(rows, task=task, horizon_ms=horizon_ms, label_ahead_ms=horizon_ms)
    assert isinstance(found, TooLittle)
    return found


@given(
    times=st.lists(st.integers(0, 400), min_size=MIN_ROWS, max_size=300),
    ahead_ms=st.integers(0, 30),
)
@settings(deadline=None)
def test_no_label_of_the_training_reaches_into_the_holdout(times: list[int], ahead_ms: int) -> None:
    whole = training_rows(len(times))
    rows = replace(whole, time_ms=np.array(sorted(times), np.int64))
    found = split(rows, task="binary", horizon_ms=0, label_ahead_ms=ahead_ms)
    if isinstance(found, TooLittle):
        assert found.cause in ("instants", "class")
        return
    assert found.training.time_ms.max() + ahead_ms < found.holdout_from_ms
    assert found.holdout.time_ms.min() == found.holdout_from_ms
    assert len(found.holdout) >= len(rows) // 10
    seen = set(found.training.sequence.tolist())
    assert not seen & set(found.holdout.sequence.tolist())
    between = rows.time_ms[len(found.training) : len(rows) - len(found.holdout)]
    assert (between + ahead_ms >= found.holdout_from_ms).all()


def test_the_newest_tenth_is_held_out() -> None:
    found = made(training_rows(1000), ahead_ms=0)
    assert (len(found.training), len(found.holdout)) == (900, 100)
    assert found.holdout_from_ms == 900 * STEP_MS


def test_the_next_training_folds_in_what_was_held_out() -> None:
    first, later = made(training_rows(500)), made(training_rows(1000))
    assert set(first.holdout.sequence.tolist()) <= set(later.training.sequence.tolist())


def test_rows_of_one_instant_are_not_torn_apart() -> None:
    rows = training_rows(600)
    found = made(replace(rows, time_ms=rows.time_ms // 150_000 * 150_000), ahead_ms=0)
    assert len(found.holdout) == 150


@pytest.mark.parametrize(
    ("rows", "task", "cause", "found"),
    [
        (training_rows(99), "binary", "rows", "99 labelled rows"),
        (training_rows(0), "binary", "rows", "0 labelled rows"),
        (replace(training_rows(), label=np.ones(600)), "binary", "class", "label 1 in all"),
        (replace(training_rows(), label=np.full(600, 2.5)), "regression", "equal", "label 2.5"),
        (replace(training_rows(), label=np.arange(600.0)), "binary", "labels", "label 2"),
    ],
)
def test_too_little_is_said_in_words(rows: TrainingRows, task: str, cause: str, found: str) -> None:
    said = refused(rows, task)
    assert said.cause == cause
    assert found in said.found


def test_a_window_shorter_than_ten_horizons_is_refused() -> None:
    said = refused(training_rows(200), horizon_ms=20 * STEP_MS)
    assert said.cause == "span"
    assert "199000 ms" in said.found
    assert "200000 ms" in said.needed


def test_only_the_class_of_the_training_counts() -> None:
    rows = training_rows()
    label = np.zeros(600)
    label[-30:] = 1
    assert refused(replace(rows, label=label)).cause == "class"


def test_all_rows_in_one_instant_leave_nothing_to_fit_to() -> None:
    rows = replace(training_rows(), time_ms=np.full(600, 5, np.int64))
    assert refused(rows, horizon_ms=0).cause == "instants"
