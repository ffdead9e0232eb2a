"""Percentiles of the latest durations."""

import numpy as np
import pytest

from flyball_kit.latencies import MAX_MS, SLICES, Latencies


def test_nothing_counted_gives_no_figures() -> None:
    assert Latencies().figures() == {}


@pytest.mark.parametrize("size", [1, 100, 10_000])
def test_percentiles_are_within_three_percent(size: int) -> None:
    drawn = np.random.default_rng(3).lognormal(1.0, 1.5, size)
    found = Latencies()
    for ms in drawn.tolist():
        found.add(ms)
    true = np.quantile(drawn, [0.5, 0.99], method="inverted_cdf")
    assert list(found.figures().values()) == pytest.approx(true.tolist(), rel=0.03)


def test_a_duration_is_forgotten_after_ten_slices() -> None:
    found = Latencies()
    found.add(900.0)
    for _ in range(SLICES - 1):
        found.turn()
    assert found.figures()["p99"] == pytest.approx(900, rel=0.03)
    found.turn()
    assert found.figures() == {}


def test_what_is_too_short_or_too_long_counts_as_the_shortest_or_longest() -> None:
    found = Latencies()
    found.add(-5.0)
    assert found.figures()["p50"] < 0.011
    found.turn()
    for _ in range(10):
        found.add(1e12)
    assert found.figures()["p50"] == pytest.approx(MAX_MS, rel=0.03)
