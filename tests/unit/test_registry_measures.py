"""The measures that people read, against scikit-learn as the oracle, and what a record of them weighs."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from sklearn.calibration import calibration_curve
from sklearn.metrics import (
    accuracy_score,
    brier_score_loss,
    confusion_matrix,
    mean_absolute_error,
    precision_score,
    recall_score,
)
from tests.unit.evidence_rows import BLOCK_MS, design, folded, scored, seat, times

from flyball_proto import streams
from flyball_proto.progress import Measures
from flyball_registry.contract import Contract
from flyball_registry.evidence.design import MAX_TRAINERS, Design
from flyball_registry.evidence.evaluation import State, fold
from flyball_registry.evidence.losses import errors
from flyball_registry.evidence.measures import MAX_MATRIX, Layout, added, measures
from flyball_registry.records.scoreboard import Scoreboard
from flyball_registry.records.standings import standings

N = 3_000
RNG = np.random.default_rng(5)
WEIGHT = np.where(RNG.random(N) < 0.1, 20.0, 1.0)


def measured(task: Any, label: Any, score: Any, weight: Any = None, classes: int = 0) -> Measures:
    """All rows in one go."""
    layout = Layout.of(task, classes)
    weight = np.ones(len(label)) if weight is None else weight
    entries = layout.entries(weight, label, score, errors(task, label, score))
    (sums,) = added([()], entries, np.zeros(len(label), np.int64))
    return measures(sums, layout)


def binary() -> tuple[Any, Any]:
    said = RNG.random(N).round(2)  # many scores lie on an edge between bins
    return (RNG.random(N) < said**2) * 1.0, said


def several(classes: int) -> tuple[Any, Any]:
    """The first class is never answered, the last one neither answered nor true."""
    said = RNG.dirichlet(np.ones(classes), N)
    said[:, 0] *= 0.01
    said[:, -1] = 0
    said /= said.sum(axis=1, keepdims=True)
    label = np.array([RNG.choice(classes - 1, p=row[:-1]) for row in said])
    label[:20] = 0
    return label.astype(np.float64), said


def test_binary_measures_are_those_of_scikit_learn() -> None:
    label, said = binary()
    found, answer = measured("binary", label, said, WEIGHT), said >= 0.5
    how = {"sample_weight": WEIGHT}
    assert found.rows == N
    assert found.loss == pytest.approx(brier_score_loss(label, said, **how))
    assert found.accuracy == pytest.approx(accuracy_score(label, answer, **how))
    assert found.precision == pytest.approx(precision_score(label, answer, **how))
    assert found.recall == pytest.approx(recall_score(label, answer, **how))
    assert np.array(found.confusion) == pytest.approx(confusion_matrix(label, answer, **how))


def test_binary_calibration_is_that_of_scikit_learn() -> None:
    label, said = binary()
    found = measured("binary", label, said)
    came, mean = calibration_curve(label, said, n_bins=10, strategy="uniform")
    assert [one.came for one in found.calibration] == pytest.approx(came.tolist())
    assert [one.said for one in found.calibration] == pytest.approx(mean.tolist())
    rows = np.array([one.rows for one in found.calibration])
    assert rows.sum() == N
    assert found.calibration_error == pytest.approx(rows @ np.abs(came - mean) / N)


@pytest.mark.parametrize("classes", [3, MAX_MATRIX, MAX_MATRIX + 1])
def test_measures_of_several_classes_are_those_of_scikit_learn(classes: int) -> None:
    label, said = several(classes)
    found, answer = measured("multiclass", label, said, WEIGHT, classes), said.argmax(axis=1)
    how: dict[str, Any] = {"sample_weight": WEIGHT}
    mean = {**how, "average": "macro", "zero_division": 0}
    half = brier_score_loss(label, said, labels=range(classes), scale_by_half=True, **how)
    assert found.loss == pytest.approx(half)
    assert found.accuracy == pytest.approx(accuracy_score(label, answer, **how))
    assert found.precision == pytest.approx(precision_score(label, answer, **mean))
    assert found.recall == pytest.approx(recall_score(label, answer, **mean))
    matrix = confusion_matrix(label, answer, labels=range(classes), **how)
    if classes > MAX_MATRIX:
        assert found.confusion == ()
    else:
        assert np.array(found.confusion) == pytest.approx(matrix)
    sure = said.max(axis=1)
    came, top = calibration_curve(answer == label, sure, n_bins=10, strategy="uniform")
    plain = measured("multiclass", label, said, classes=classes)
    assert [one.came for one in plain.calibration] == pytest.approx(came.tolist())
    assert [one.said for one in plain.calibration] == pytest.approx(top.tolist())


def test_a_regression_has_its_mean_absolute_error_and_nothing_that_does_not_fit() -> None:
    label, said = RNG.standard_normal(N), RNG.standard_normal(N)
    said[:7] = np.inf
    loss = mean_absolute_error(label[7:], said[7:], sample_weight=WEIGHT[7:])
    found = measured("regression", label, said, WEIGHT)
    assert found.loss == pytest.approx(loss)
    assert found == Measures(rows=N - 7, loss=found.loss)


def test_a_row_without_a_number_is_wrong_and_stands_in_no_class_and_no_bin() -> None:
    found = measured("binary", np.array([1.0, 1, 0]), np.array([np.inf, 0.8, 0.1]))
    assert (found.rows, found.loss) == (3, pytest.approx((1 + 0.04 + 0.01) / 3))
    assert found.accuracy == pytest.approx(2 / 3)
    assert found.confusion == ((1.0, 0.0), (0.0, 1.0))
    assert sum(one.rows for one in found.calibration) == 2


def test_what_was_never_answered_or_never_true_has_no_precision_or_recall() -> None:
    found = measured("binary", np.zeros(4), np.full(4, 0.1))
    assert (found.precision, found.recall, found.accuracy) == (None, None, 1.0)
    assert measured("binary", np.empty(0), np.empty(0)) == Measures()


# --- records ---------------------------------------------------------------------------------------


def plan_of(classes: int) -> Design:
    """With as many slice labels as can be."""
    task: Any = "multiclass" if classes else "binary"
    return design(task=task, classes=classes, slices=tuple(f"label{i}" for i in range(8)))


def board_of(classes: int, columns: list[str]) -> Scoreboard:
    """A scoreboard with as many slices as are told apart."""
    time_ms, plan = times(60, 40), plan_of(classes)
    n, rng = len(time_ms), np.random.default_rng(3)
    said = {
        name: rng.dirichlet(np.ones(classes), n) if classes else rng.random(n) for name in columns
    }
    label = rng.integers(0, classes or 2, n)
    weight = rng.uniform(1, 20, n)
    slices = {name: rng.integers(0, 9, n).astype(str).tolist() for name in plan.slices}
    rows = scored(time_ms, label, said, slices=slices, weight=weight)
    return Scoreboard(pipeline="p", feature_digest="f", state=folded(rows, under=plan)[0])


@pytest.mark.parametrize("classes", [0, 4, MAX_MATRIX, 64])
def test_the_largest_scoreboard_fits_its_record(classes: int) -> None:
    names = [f"trainer-{i:02}-{'x' * 40}" for i in range(MAX_TRAINERS)]
    board = board_of(classes, ["active", "anchor", *names])
    size = len(board.model_dump_json())
    assert size < 0.8 * streams.SCOREBOARD.max_value_bytes, f"{size:,} bytes"


BEFORE = {
    "design": "",
    "seat": {
        "epoch": 3,
        "trainer": "recent",
        "digest": "d",
        "anchor_digest": "a",
        "since_ms": 1000,
    },
    "open_ms": 4000,
    "account": {
        "opened": 7,
        "successions": 1,
        "entries": [
            {
                "comparison": 7,
                "trainer": "linear",
                "over": "recent",
                "alpha": 0.001,
                "opened_ms": 1000,
                "outcome": "open",
            }
        ],
    },
    "comparisons": {},
    "watch": None,
    "losses": [],
    "board": {
        "active": {
            "sums": {"rows": 90, "weight": 100.0, "first": 25.0, "second": 80.0},
            "not_finite": 2,
        }
    },
}
"""A state as it was written before there were measures."""


def test_a_record_written_before_there_were_measures_goes_on() -> None:
    plan = design()
    state = State.model_validate({**BEFORE, "design": plan.digest()})
    score = state.board["active"]
    assert (score.rows, score.not_finite, score.loss()) == (90, 2, 0.25)
    assert score.accuracy("binary") == 0.8
    rows = scored(4000 + np.arange(20), np.ones(20), {"active": np.full(20, 0.5)})
    moved = seat("recent", digest="d", anchor_digest="a", epoch=3, since_ms=1000)
    after, _ = fold(state, rows, 8_000, moved, plan)
    assert after.account.opened == 7
    found = measures(after.board["active"].whole, Layout.of("binary", 0))
    assert (found.rows, found.loss) == (110, pytest.approx(30 / 120))
    assert found.confusion == ((0.0, 0.0), (0.0, 20.0))
    assert State.model_validate_json(after.model_dump_json()) == after


def test_sums_of_another_task_begin_anew_and_the_account_goes_on() -> None:
    state = State.model_validate({**BEFORE, "design": design().digest(), "task": "binary"})
    time_ms = times(2, 20, 8 * BLOCK_MS)
    three = np.full((len(time_ms), 3), 1 / 3)
    rows = scored(time_ms, np.zeros(len(time_ms)), {"active": three})
    plan = design(task="multiclass", classes=3)
    first, _ = fold(state, rows, 10 * BLOCK_MS, seat("recent"), plan)
    assert first.account.opened == 7
    assert first.board["active"].rows == len(time_ms)
    four = np.full((len(time_ms), 4), 1 / 4)
    rows = scored(time_ms + 2_000, np.zeros(len(time_ms)), {"active": four})
    plan = design(task="multiclass", classes=4)
    second, _ = fold(first, rows, 12 * BLOCK_MS, seat("recent"), plan)
    assert second.board["active"].rows == len(time_ms)
    assert second.account.opened == 7


def test_slices_are_told_apart_in_order_of_appearance_and_the_others_are_pooled() -> None:
    time_ms = times(2, 40)
    site = [f"s{i:02}" for i in range(40)] * 2
    label = (np.arange(80) % 40 < 30) * 1.0
    columns = {"active": np.full(80, 0.5), "good": np.full(80, 0.9)}
    rows = scored(time_ms, label, columns, slices={"site": site})
    board = folded(rows, under=design(slices=("site",)))[0].board
    kept = board["good"].slices
    assert list(kept) == [*(f"site=s{i:02}" for i in range(24)), "site=(smaller)"]
    lean = Layout.of("binary", 0, lean=True)
    one, pool = measures(kept["site=s00"], lean), measures(kept["site=(smaller)"], lean)
    assert (one.rows, one.accuracy, one.calibration) == (2, 1.0, ())
    assert (pool.rows, pool.accuracy) == (32, pytest.approx(6 / 16))
    assert pool.confusion == ((0.0, 20.0), (0.0, 12.0))


@pytest.mark.parametrize("classes", [0, MAX_MATRIX, 64])
def test_the_standings_of_many_classes_stay_under_200_kb(classes: int) -> None:
    names = [f"trainer-{i:02}-{'x' * 40}" for i in range(MAX_TRAINERS)]
    board, plan = board_of(classes, ["active", "anchor", *names]), plan_of(classes)
    task, labels = plan.task, plan.slices
    contract = Contract(
        "p", "f", frozenset(), plan, "", labels, BLOCK_MS, 100, 1, task, "brier", classes
    )
    shown = standings(board.shown(plan), contract, datetime(2026, 1, 1, tzinfo=UTC))
    assert all(one.whole.rows and one.slices for one in shown.figures)
    size = len(shown.model_dump_json())
    assert size < 200_000, f"{size:,} bytes"
