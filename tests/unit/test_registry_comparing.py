"""Two models side by side: the mean difference, its interval, and what cannot be compared."""

from typing import Any

import numpy as np
import pytest
from scipy.stats import t as student
from tests.unit.test_registry_scoring import samples

from flyball_registry.comparing.sides import (
    MIN_BLOCKS,
    STUDENT_975,
    IncomparableError,
    Side,
    compared,
    interval,
)
from flyball_registry.contract import Contract
from flyball_registry.scoring.rows import Sampled, sampled

BLOCK_MS = 100
PER_BLOCK = 10


def contract(task: Any = "binary", classes: int = 0, slices: tuple[str, ...] = ()) -> Contract:
    return Contract(
        "p", "f", frozenset(), None, "", slices, BLOCK_MS, 100, 1, task, "brier", classes
    )


def rows(blocks: int = 30, seed: int = 1, **changes: Any) -> Sampled:
    """Ten rows a block; the label is one in half of them."""
    n = blocks * PER_BLOCK
    label = (np.random.default_rng(seed).random(n) < 0.5) * 1.0
    times = (np.arange(n) * BLOCK_MS // PER_BLOCK).tolist()
    return sampled(0, 1, samples(times, **({"label": label} | changes)))


def side(digest: str, score: Any) -> Side:
    return Side(digest * 64, np.asarray(score, np.float64))


def test_better_by_is_the_mean_paired_difference_of_losses() -> None:
    found = rows()
    good, bad = np.where(found.label > 0, 0.8, 0.2), np.full(len(found), 0.5)
    said = compared(found, side("a", good), side("b", bad), contract())
    assert (said.measures.loss, said.other_measures.loss) == (0.04, 0.25)
    assert said.better_by == pytest.approx(0.21)
    assert (said.low, said.high) == (pytest.approx(0.21), pytest.approx(0.21))
    assert (said.rows, said.blocks, said.first_ms, said.last_ms) == (300, 30, 0, 2990)
    back = compared(found, side("b", bad), side("a", good), contract())
    assert back.better_by == -said.better_by


def test_the_points_of_student_s_t_are_those_of_scipy() -> None:
    freedom = range(MIN_BLOCKS - 1, MIN_BLOCKS - 1 + len(STUDENT_975))
    assert pytest.approx([student.ppf(0.975, k) for k in freedom], abs=5e-4) == STUDENT_975


@pytest.mark.parametrize("together", [0.0, 0.5])
def test_the_interval_covers_the_true_mean_in_about_95_of_100_streams(together: float) -> None:
    covered = 0
    for seed in range(400):
        rng = np.random.default_rng(seed)
        shared, own = rng.standard_normal(200), rng.standard_normal((200, PER_BLOCK))
        for i in range(1, 200):
            shared[i] = together * shared[i - 1] + shared[i]
        difference = (0.3 + shared[:, None] + own).ravel()
        block = np.repeat(np.arange(200), PER_BLOCK)
        weight = np.where(rng.random(len(block)) < 0.05, 20.0, 1.0)
        mean, half = interval(block, weight, difference)
        covered += abs(mean - 0.3) <= half
    assert 370 <= covered <= 396


def test_a_regression_is_compared_on_rows_for_which_both_have_a_number() -> None:
    found = rows(label=np.zeros(300))
    one, other = np.full(300, 1.0), np.full(300, 3.0)
    one[:10] = np.inf
    said = compared(found, side("a", one), side("b", other), contract("regression"))
    assert (said.rows, said.measures.rows, said.better_by) == (290, 290, 2.0)


def test_several_classes_are_compared_with_slices() -> None:
    label = np.arange(300) % 3
    found = rows(label=label * 1.0, labels='{"site":"x"}')
    right, thirds = np.eye(3)[label], np.full((300, 3), 1 / 3)
    said = compared(
        found, side("a", right), side("b", thirds), contract("multiclass", 3, ("site",))
    )
    assert said.better_by == pytest.approx(1 / 3)
    assert said.measures.accuracy == 1.0
    (one,), (other,) = said.slices, said.other_slices
    assert (one.label, one.value, one.measures.rows) == ("site", "x", 300)
    assert other.measures.loss == pytest.approx(1 / 3, rel=1e-5)


def test_a_model_that_fails_has_the_largest_loss() -> None:
    found = rows()
    failed, bad = np.full(300, np.inf), np.full(300, 0.5)
    assert compared(found, side("a", bad), side("b", failed), contract()).better_by == 0.75


@pytest.mark.parametrize(
    ("blocks", "score", "words"),
    [
        (9, 0.5, r"90 recent labelled rows .* 100 are needed"),
        (4, 0.5, "40 recent labelled rows"),
        (30, np.nan, "gives no scores"),
    ],
)
def test_what_cannot_be_compared_is_refused_in_words(blocks: int, score: float, words: str) -> None:
    found = rows(blocks)
    both = [side(name, np.full(len(found), score)) for name in "ab"]
    with pytest.raises(IncomparableError, match=words):
        compared(found, both[0], both[1], contract())


def test_rows_in_too_few_blocks_give_no_interval() -> None:
    found = sampled(0, 1, samples([i for i in range(4) for _ in range(50)]))
    both = [side(name, np.full(200, 0.5)) for name in "ab"]
    with pytest.raises(IncomparableError, match=r"200 rows .* 1 blocks; 5 are needed"):
        compared(found, both[0], both[1], contract())
