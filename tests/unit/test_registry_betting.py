"""The betting test: words by table, numbers by hand, and what cuts must not change."""

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.test_registry_null_streams import noise

from flyball_registry.evidence.betting import (
    LAMBDAS,
    Bets,
    autocorrelation,
    bounds,
    evidence,
    expected_blocks,
    extend,
    factor_of,
    verdict,
)


def after(values: list[float], margin: float = 0.0) -> Bets:
    return extend(Bets(margin=margin), values)[0]


def around(mean: float, spread: float, blocks: int) -> list[float]:
    """Blocks that alternate in pairs around a mean, without correlation at lag 1."""
    return [mean + spread * sign for sign in (1, 1, -1, -1) * (blocks // 4)]


WORDS = [
    # mean, spread, margin, blocks -> word
    (0.1, 0.1, 0.0, 100, "superior"),
    (0.1, 0.1, 0.0, 39, "continue"),  # whatever the evidence, not before 40 blocks
    (0.1, 0.1, 0.2, 100, "equivalent"),  # better, but shown to be so by less than the margin
    (0.1, 0.1, 0.1, 100, "continue"),  # better by just the margin: neither more nor less
    (0.01, 0.3, 0.0, 100, "continue"),
    (-0.1, 0.1, 0.0, 100, "inferior"),
    (-0.3, 0.1, 0.1, 100, "inferior"),
    (0.0, 0.02, 0.05, 100, "equivalent"),
    (0.0, 0.02, 0.0, 400, "continue"),  # without a margin nothing can lie within it
    (0.0, 0.0, 0.05, 60, "equivalent"),
]


@pytest.mark.parametrize(("mean", "spread", "margin", "blocks", "word"), WORDS)
def test_the_word_for_the_evidence(
    mean: float, spread: float, margin: float, blocks: int, word: str
) -> None:
    assert verdict(after(around(mean, spread, blocks + 3)[:blocks], margin), 0.05) == word


def test_no_verdict_before_forty_blocks_however_strong_the_evidence() -> None:
    early = after(around(0.0, 0.01, 20) + [0.1] * 19)
    assert evidence(early)[0] > math.log(1 / 0.05)
    assert verdict(early, 0.05) == "continue"
    assert verdict(Bets(**{**early.model_dump(), "blocks": 40}), 0.05) == "superior"


def test_the_evidence_by_hand() -> None:
    pilot, bet = [0.3, 0.1] * 10, [0.2, -0.1, 0.4]
    s = math.sqrt((0.3**2 + 0.1**2) / 2)
    wealth = [math.prod(1 + step * v / (4 * s) for v in bet) for step in LAMBDAS.tolist()]
    assert evidence(after(pilot + bet))[0] == pytest.approx(math.log(sum(wealth) / 6))


def test_one_catastrophe_costs_no_more_than_the_clip() -> None:
    before, catastrophe = after(around(0.1, 0.1, 80)), -1.0
    then = evidence(extend(before, [catastrophe])[0])[0]
    assert then >= evidence(before)[0] + math.log(1 - 0.8) - 1e-12


@given(st.integers(0, 300))
def test_identical_models_have_evidence_of_exactly_one(blocks: int) -> None:
    assert evidence(after([0.0] * blocks)) == (0.0, 0.0, 0.0, 0.0)


@given(st.integers(21, 300), st.floats(1e-5, 0.5))
def test_identical_models_never_beat_a_margin(blocks: int, margin: float) -> None:
    assert evidence(after([0.0] * blocks, margin))[0] < 0


@given(st.integers(0, 2**32), st.lists(st.integers(0, 250), max_size=8), st.booleans())
def test_cuts_change_nothing(seed: int, cuts: list[int], correlated: bool) -> None:
    values = (noise(seed, 1, 250, 0.7 if correlated else 0.0)[0] * 0.1 + 0.01).tolist()
    whole, path = extend(Bets(margin=0.0), values)
    pieces, points, start = Bets(margin=0.0), list[tuple[int, int, float]](), 0
    for cut in [*sorted(cuts), 250]:
        pieces, piece = extend(pieces, values[start:cut])
        pieces = Bets.model_validate_json(pieces.model_dump_json())
        points += zip(piece.base_blocks, piece.blocks, piece.log_e, strict=True)
        start = cut
    assert pieces == whole
    assert points == list(zip(path.base_blocks, path.blocks, path.log_e, strict=True))


def test_blocks_double_until_their_neighbours_are_hardly_correlated() -> None:
    found = [factor_of(noise(3, 1, 80, phi)[0].tolist()) for phi in (0.0, 0.5, 0.9)]
    assert found[0] == 1 < found[1] <= found[2]
    assert factor_of([float(i // 40) for i in range(80)]) == 16  # four doublings and no more


def test_when_blocks_double_all_kept_ones_are_folded_again() -> None:
    pairs = [v for v in around(0.1, 0.1, 80) for _ in range(2)][:80]
    doubled = after(pairs)
    assert doubled.factor > 1
    assert doubled.base_blocks == 80
    means = np.array(pairs).reshape(-1, doubled.factor).mean(1)
    assert doubled.blocks == len(means)
    assert verdict(doubled, 0.05) == "continue"  # 40 blocks of the new size are needed


def test_autocorrelation_by_hand() -> None:
    assert autocorrelation(np.array([1.0, 2, 3, 4])) == pytest.approx(0.25)
    assert autocorrelation(np.array([1.0, -1, 1, -1])) == pytest.approx(-0.75)
    assert autocorrelation(np.ones(9)) == 0.0


def test_the_confidence_sequence_holds_the_mean_and_narrows() -> None:
    early, late = (bounds(after(around(0.1, 0.1, n)), 0.05) for n in (48, 2_000))
    assert early[0] <= late[0] <= 0.1 <= late[1] <= early[1]
    assert late[1] - late[0] < 0.5 * (early[1] - early[0])
    assert bounds(after([0.1] * 19), 0.05) == (-1.0, 1.0)


def test_expected_blocks_shrink_as_evidence_grows() -> None:
    expected = [expected_blocks(after(around(0.03, 0.1, n)), 0.001) for n in (100, 200)]
    assert expected[0] is not None
    assert expected[1] is not None
    assert 0 < expected[1] < expected[0]
    assert expected_blocks(after(around(-0.1, 0.1, 100)), 0.05) is None
