"""Decisions against what their models say of the same rows: who is named, and who never is."""

import numpy as np
import pytest
from numpy.typing import NDArray

from flyball_proto.columns import F64, Model
from flyball_proto.events import Manifest, Variant
from flyball_registry.scoring import skew
from flyball_registry.scoring.rows import Sampled
from flyball_registry.scoring.skew import HOUR_MS, MAX_ROWS, TOLERANCE

BEGIN_MS = 1_700_000_000_000
MODEL = Model("d1", 3, "active", "recent")


def rows(n: int, first: int = 1, sample: int = 0) -> Sampled:
    """Decisions of one model on rows that differ in their sequence alone."""
    words = np.full(n, "", object)
    models = np.empty(n, object)
    models[:] = [MODEL] * n
    whole, number = np.zeros(n, np.int64), np.zeros(n, F64)
    return Sampled(
        whole, whole.astype(np.uint64), np.arange(first, first + n, dtype=np.uint64),
        np.full(n, sample, np.uint16), whole + BEGIN_MS, whole, words, words,
        np.zeros((n, 1), np.float32), number, number + 1, whole.astype(bool),
        whole.astype(np.uint8), models, number + 0.5, words,
    )  # fmt: skip


def manifest(*variants: Variant) -> Manifest:
    return Manifest(
        digest="d1", pipeline="p", trainer="recent", kind="mlp", feature_digest="f",
        features=("x",), task="binary", variants=variants,
    )  # fmt: skip


def scores(*values: float) -> NDArray[np.float64]:
    return np.array(values, F64)


def test_which_rows_are_scored_again_follows_from_their_names_alone() -> None:
    many = rows(400)
    names = many.sequence[skew.chosen(many)].tolist()
    assert 30 <= len(names) <= 70, "an eighth"
    parts = [many.take(slice(at, at + 40)) for at in range(0, 400, 40)]
    assert [s for part in parts for s in part.sequence[skew.chosen(part)].tolist()] == names
    assert skew.chosen(rows(400, sample=1)).tolist() != skew.chosen(many).tolist()


def test_at_most_so_many_rows_a_look_are_scored_again() -> None:
    chosen = skew.chosen(rows(100_000))
    assert len(chosen) == MAX_ROWS
    assert (np.diff(chosen) > 0).all()


def test_rounding_and_last_bits_are_no_skew() -> None:
    said = np.random.default_rng(1).uniform(0, 1, 1_000)
    assert skew.compared(said.round(6), said + 2e-7, TOLERANCE) is None
    large = 1e6 * said
    assert skew.compared(large.round(6), large.astype(np.float32).astype(F64), TOLERANCE) is None


def test_the_farthest_of_skewed_rows_is_named() -> None:
    found = skew.compared(scores(0.2, 0.3, 0.4, 0.5), scores(0.2, 0.30001, 0.7, 0.5), TOLERANCE)
    assert found is not None
    assert (found.rows, found.looked_at, found.farthest) == (2, 4, 2)
    assert found.apart == pytest.approx(0.3)
    assert found.tolerance == TOLERANCE


def test_a_row_without_a_number_is_not_compared() -> None:
    said = scores(np.inf, np.nan, 0.5)
    found = skew.compared(scores(0.5, 0.5, 0.6), said, TOLERANCE)
    assert found is not None
    assert (found.rows, found.looked_at) == (1, 1)


def test_with_several_classes_a_decision_is_the_probability_of_one() -> None:
    said = np.array([[0.2, 0.7, 0.1], [0.3, 0.3, 0.4]])
    assert skew.compared(scores(0.7, 0.3), said, TOLERANCE) is None
    found = skew.compared(scores(0.7, 0.45), said, TOLERANCE)
    assert found is not None
    assert found.apart == pytest.approx(0.05)


def test_a_variant_may_be_off_by_what_was_allowed_of_it_and_no_more() -> None:
    int8 = Variant(precision="int8", digest="v", size_bytes=1, difference=0.01, tolerance=0.02)
    known = manifest(int8)
    by = Model("d1", 3, "active", "recent", "int8")
    assert skew.tolerance(by, known) == pytest.approx(0.02 + TOLERANCE)
    assert skew.tolerance(MODEL, known) == TOLERANCE
    assert skew.tolerance(by, manifest()) == TOLERANCE
    allowed = skew.tolerance(by, known)
    assert skew.compared(scores(0.5), scores(0.519), allowed) is None
    assert skew.compared(scores(0.5), scores(0.521), allowed) is not None


def test_a_skew_is_told_once_a_model_an_epoch_and_an_hour_and_forgotten_after_two() -> None:
    said = skew.noted((), MODEL, BEGIN_MS, "scores differ")
    assert not skew.is_new(said, MODEL, BEGIN_MS + 1)
    assert skew.is_new(said, MODEL, BEGIN_MS + HOUR_MS)
    assert skew.is_new(said, Model("d1", 4, "active", "recent"), BEGIN_MS)
    assert skew.present(said, BEGIN_MS + HOUR_MS) == "scores differ"
    assert skew.present(said, BEGIN_MS + 3 * HOUR_MS) is None
    assert skew.present((), BEGIN_MS) is None
    for hour in range(100):
        said = skew.noted(said, MODEL, BEGIN_MS + hour * HOUR_MS, "")
    assert len(said) == skew.MAX_SAID
