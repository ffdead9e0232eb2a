"""A comparison: when it may say `superior`, and what makes it wait."""

from collections.abc import Sequence

import numpy as np
import pytest
from tests.unit.evidence_rows import BLOCK_MS, design

from flyball_registry.evidence import slices
from flyball_registry.evidence.account import Entry
from flyball_registry.evidence.comparison import Comparison
from flyball_registry.evidence.design import Design
from flyball_registry.evidence.findings import Outcome, Superior
from flyball_registry.evidence.slices import Labelled, Slice

ENTRY = Entry(comparison=1, trainer="t", over="s", alpha=0.05, opened_ms=0)


def begun(plan: Design) -> Comparison:
    return Comparison.begin("t", "s", plan).entered(ENTRY)


def after(
    comparison: Comparison, values: Sequence[float], plan: Design, since: int = 0
) -> tuple[Comparison, list[Outcome]]:
    """With blocks of 20 rows that differ by so much, and all that was said."""
    said, one = list[Outcome](), np.ones(20)
    for block, value in enumerate(values, since):
        comparison = comparison.gather(block * BLOCK_MS, one, one / 2 + value, one / 2, ())
        comparison, outcome = comparison.close((block + 1) * BLOCK_MS, plan)
        said += [outcome] if outcome is not None else []
    return comparison, said


def better(blocks: int) -> list[float]:
    return [0.05 + 0.02 * sign for sign in (1, 1, -1, -1) * (blocks // 4 + 1)][:blocks]


@pytest.mark.parametrize(
    ("season", "won_after"),
    [
        (0, 48),  # at once, when it is known
        (5, 50),  # the first whole number of seasons of five behind the pilot's end
        (30, 50),
        (100, 120),
    ],
)
def test_a_succession_comes_with_the_end_of_a_whole_season_of_bets(
    season: int, won_after: int
) -> None:
    plan = design(season_ms=season * BLOCK_MS)
    _, said = after(begun(plan), better(150), plan)
    (won,) = [one for one in said if isinstance(one, Superior)]
    assert won.blocks == won_after


def test_between_two_ends_a_better_one_is_said_to_wait_and_for_how_long() -> None:
    plan = design(season_ms=30 * BLOCK_MS)
    values = [0.01 + 0.05 * sign for sign in (1, 1, -1, -1) * 20]
    waiting, said = after(begun(plan), values[:48], plan)
    assert said == []
    assert waiting.season_left_ms(48 * BLOCK_MS, plan.season_ms) == 2 * BLOCK_MS
    assert begun(plan).season_left_ms(5 * BLOCK_MS, plan.season_ms) == plan.season_ms
    later, said = after(waiting, values[48:] + better(19), plan, 48)
    assert said == []
    assert later.season_left_ms(99 * BLOCK_MS, plan.season_ms) == 0
    assert later.verdict(99 * BLOCK_MS, plan) == (
        "continue",
        "better so far, to be decided when the next season is whole",
    )


def sites(values: Sequence[tuple[float, float]], plan: Design) -> tuple[Comparison, list[Outcome]]:
    """Blocks of 40 rows, half of them at site b; by how much the other is better at a and at b."""
    comparison, said = begun(plan), list[Outcome]()
    code = np.arange(40, dtype=np.int64) % 2
    for block, (at_a, at_b) in enumerate(values):
        difference = np.where(code == 0, at_a, at_b)
        labels = [Labelled("site", ("a", "b"), code)]
        half = np.full(40, 0.5)
        comparison = comparison.gather(
            block * BLOCK_MS, np.ones(40), half + difference, half, labels
        )
        comparison, outcome = comparison.close((block + 1) * BLOCK_MS, plan)
        said += [outcome] if outcome is not None else []
    return comparison, said


def test_a_leaning_slice_makes_a_succession_wait_and_no_longer() -> None:
    plan = design(slices=("site",))
    wobble = [0.02 * sign for sign in (1, 1, -1, -1) * 30]
    leans = [(0.1 + w, -0.005 + w) for w in wobble[:60]]
    fine = [(0.1 + w, 0.02 + w) for w in wobble[:60]]
    waiting, said = sites(leans, plan)
    assert said == []
    assert waiting.verdict(60 * BLOCK_MS, plan)[1] == (
        "better on the whole, but perhaps worse where site=b"
    )
    _, said = sites([*leans, *fine], plan)
    (won,) = said
    assert isinstance(won, Superior)
    assert 60 < won.blocks < 60 + 45


def test_a_slice_leans_by_its_mean_from_its_first_two_hundred_rows_on() -> None:
    worse = Slice(rows=200, blocks=10, mean=0.02, squares=9 * 0.01**2)
    assert worse.leans(0.0)
    assert not worse.leans(0.02)
    assert not worse.model_copy(update={"rows": slices.MIN_ROWS - 1}).leans(0.0)
    assert not worse.model_copy(update={"squares": 9 * 0.1**2}).leans(0.0)
