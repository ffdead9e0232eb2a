"""Chi-square by hand, bins, the stability index, false discoveries, and the martingale's promises."""

import numpy as np
import pytest
from scipy import stats

from flyball_registry.evidence import martingale, shift
from flyball_registry.evidence.chisquare import beyond, quantile
from flyball_registry.evidence.martingale import ALARM, Jumper, p_value, uniform


@pytest.mark.parametrize("freedom", [1, 2, 5, 9, 11])
@pytest.mark.parametrize("level", [0.5, 0.9, 0.95, 0.99, 0.999])
def test_quantiles_of_chi_square_are_those_of_scipy(freedom: int, level: float) -> None:
    expected = stats.chi2.ppf(level, freedom)
    rel = 0.05 if freedom < 3 else 0.013
    assert quantile(level, freedom) == pytest.approx(expected, rel=rel)
    assert beyond(expected, freedom) == pytest.approx(1 - level, rel=0.1, abs=0.003)


def test_bins_hold_a_tenth_each_of_what_a_continuous_feature_said() -> None:
    rows = np.random.default_rng(1).standard_normal((5_000, 2)).astype(np.float32)
    found = shift.counts(shift.cuts(rows), rows)
    assert found.shape == (2, shift.BINS)
    assert found.sum(axis=1).tolist() == [5_000, 5_000]
    assert found[:, :9].min() > 450
    assert found[:, 10:].max() == 0, "nothing is missing"


def test_missing_values_have_a_bin_and_a_frequent_lowest_value_has_one_below() -> None:
    zeros = np.array([[0.0], [0.0], [0.0], [0.0], [3.0], [np.nan]], np.float32)
    ends = shift.cuts(zeros)
    usual = shift.counts(ends, zeros)[0]
    assert (usual[0], usual[1], usual[-1]) == (0, 4, 1)
    lower = shift.counts(ends, np.array([[-1.0], [np.inf], [-np.inf]], np.float32))[0]
    assert lower[0] == 2
    assert lower.sum() == 3
    assert np.isinf(shift.cuts(np.full((3, 1), np.nan, np.float32))).all()


def test_the_stability_index_of_still_rows_is_chi_square_and_false_discoveries_are_few() -> None:
    rng, false, features = np.random.default_rng(2), 0, 40
    pilot = rng.standard_normal((1_000, features)).astype(np.float32)
    ends = shift.cuts(pilot)
    for _ in range(50):
        usual = shift.counts(ends, rng.standard_normal((2_000, features)).astype(np.float32))
        now = shift.counts(ends, rng.standard_normal((60, features)).astype(np.float32))
        in_use = (usual + now) > 0
        found = shift.shifted(shift.shares(usual), 2_000, now, np.ones(features), in_use)
        false += bool(found)
    assert false <= 6, "a twentieth of the looks, though most indices lie above the floor"


def test_many_rows_make_a_small_index_certain_and_it_stays_below_the_floor() -> None:
    usual = np.full((1, shift.BINS), 10_000)
    now = usual.copy()
    now[0, 0] += 3_000
    args = (shift.shares(usual), float(usual.sum()), now, np.ones(1), now > 0)
    assert shift.shifted(*args) == ()
    now[0, 0] += 20_000
    (found,) = shift.shifted(args[0], args[1], now, np.ones(1), now > 0)
    assert found.psi > shift.FLOOR
    assert found.chance < 1e-6


def test_rows_that_move_together_count_for_less() -> None:
    usual = np.full((1, shift.BINS), 1_000)
    now = np.full((1, shift.BINS), 10)
    now[0, :3] += 20
    alone = shift.shifted(shift.shares(usual), 12_000.0, now, np.ones(1), now > 0)
    together = shift.shifted(shift.shares(usual), 12_000.0, now, np.array([20.0]), now > 0)
    assert len(alone) == 1
    assert together == ()


def test_discoveries_are_those_of_benjamini_and_hochberg() -> None:
    chances = [0.001, 0.2, 0.018, 0.8, 0.029, 0.02]
    adjusted = stats.false_discovery_control(chances, method="bh")
    expected = {i for i, p in enumerate(adjusted) if p <= shift.LEVEL}
    assert shift.discoveries(chances) == expected
    assert shift.discoveries([0.9, 0.4]) == frozenset()


def test_p_values_are_smoothed_ranks() -> None:
    assert p_value((), 1.0, 0.25) == 0.25
    assert p_value((1.0, 2.0, 2.0, 3.0), 2.0, 0.5) == (1 + 1.5) / 5
    drawn = [uniform(name) for name in range(2_000)]
    assert stats.kstest(drawn, "uniform").pvalue > 0.01


def run(values: list[float], jumper: Jumper | None = None) -> list[Jumper]:
    held, states = jumper or Jumper(), []
    for name, value in enumerate(values):
        held = held.take(value, name)
        states.append(held)
    return states


def test_exchangeable_blocks_alarm_more_rarely_than_promised() -> None:
    alarms = 0
    for seed in range(20):
        values = np.random.default_rng(seed).standard_t(3, 500).tolist()
        alarms += any(state.alarms for state in run(values))
    assert alarms * ALARM <= 20 * 500, "no more than one in ALARM blocks"


def test_strange_blocks_alarm_within_twenty() -> None:
    rng = np.random.default_rng(4)
    states = run([*rng.standard_normal(60).tolist(), *(4 + rng.standard_normal(40)).tolist()])
    alarm = next(at for at, state in enumerate(states) if state.alarms)
    assert 60 < alarm <= 80
    assert states[alarm].again().evidence == 0
    assert states[alarm].again().known == states[alarm].known


def test_a_block_is_compared_with_those_of_its_part_of_the_season() -> None:
    rng, held = np.random.default_rng(6), Jumper()
    for name in range(600):
        part = name // 10 % 4
        held = held.take(100.0 * part + rng.standard_normal(), name, part, 4)
        assert not held.alarms
    assert [len(known) for known in held.known] == [128] * 4


def test_the_martingale_knows_a_bounded_number_of_blocks_and_stays_finite() -> None:
    last = run(np.random.default_rng(5).standard_normal(700).tolist())[-1]
    assert len(last.known[0]) == martingale.MAX_KNOWN
    assert sum(last.capital) == pytest.approx(1)
    burst = run([1e9] * 200, last)[-1]
    assert burst.evidence == martingale.CEILING
    assert len(burst.model_dump_json()) < 12_000
