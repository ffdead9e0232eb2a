"""The refresh gate: shown not to be worse than the anchor, or it stays out."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from tests.unit.evidence_rows import design

from flyball_registry.evidence.design import DesignError
from flyball_registry.evidence.gate import GateRows, examine, upper_bound

PLAN = design(not_worse_by=0.01)


def gate_rows(
    worse_by: float = 0.0, instants: int = 100, per_instant: int = 10, seed: int = 1, **given: Any
) -> GateRows:
    """Labels 0; anchor and replaced score sqrt(loss) of about 0.2, the new one is worse by so much."""
    rng, n = np.random.default_rng(seed), instants * per_instant
    loss = np.clip(rng.normal(0.2, 0.05, n), 0, 1)
    plain: dict[str, Any] = {
        "time_ms": np.repeat(np.arange(instants), per_instant),
        "weight": np.ones(n),
        "censored": np.zeros(n, np.bool_),
        "label": np.zeros(n),
        "new": np.sqrt(np.clip(loss + worse_by + rng.normal(0, 0.02, n), 0, 1)),
        "anchor": np.sqrt(loss),
        "replaced": np.sqrt(loss),
    }
    return GateRows(**{**plain, **given})


TABLE = [
    # what was given -> outcome
    ({"worse_by": 0.0}, "accepted"),
    ({"worse_by": -0.1}, "accepted"),
    ({"worse_by": 0.005}, "accepted"),
    ({"worse_by": 0.02}, "worse"),
    ({"worse_by": 0.0, "instants": 9}, "inconclusive"),  # 90 rows
    ({"worse_by": 0.0, "instants": 4, "per_instant": 500}, "inconclusive"),
    ({"worse_by": -0.1, "instants": 4, "per_instant": 500}, "inconclusive"),
    ({"new": np.full(1_000, math.inf)}, "worse"),
    ({"new": np.full(1_000, math.nan)}, "inconclusive"),
    ({"anchor": np.full(1_000, math.nan)}, "inconclusive"),
    ({"label": np.full(1_000, math.nan)}, "inconclusive"),
    ({"censored": np.ones(1_000, np.bool_)}, "inconclusive"),
]


@pytest.mark.parametrize(("given", "outcome"), TABLE)
def test_the_gate_decides(given: dict[str, Any], outcome: str) -> None:
    assert examine(gate_rows(**given), PLAN).outcome == outcome


def test_better_than_the_anchor_is_not_enough_when_the_replaced_model_was_better_still() -> None:
    found = examine(gate_rows(worse_by=-0.1, replaced=np.zeros(1_000)), PLAN)
    assert found.upper_bound < 0
    assert (found.outcome, found.difference > 0.05) == ("worse", True)


def test_small_losses_cannot_add_up_because_the_anchor_counts() -> None:
    crept = gate_rows(worse_by=0.02)
    found = examine(dataclasses.replace(crept, replaced=crept.new), PLAN)
    assert found.difference == 0
    assert found.outcome == "worse"


def test_only_the_newest_rows_count() -> None:
    rows = gate_rows()
    old = np.where(np.arange(1_000) < 500, math.inf, rows.new)
    found = examine(dataclasses.replace(rows, new=old), design(not_worse_by=0.01, gate_rows=500))
    assert (found.outcome, found.rows) == ("accepted", 500)


def test_a_regression_is_judged_in_units_of_the_anchor_s_usual_error() -> None:
    plan = design(task="regression", not_worse_by=0.01)
    rows = gate_rows()
    found = [
        examine(
            dataclasses.replace(
                rows, new=rows.new * s, anchor=rows.anchor * s, replaced=rows.replaced * s
            ),
            plan,
        )
        for s in (1.0, 1e6)
    ]
    assert found[0].upper_bound == pytest.approx(found[1].upper_bound)


def test_a_weight_counts_as_so_many_rows() -> None:
    rng = np.random.default_rng(5)
    difference, copies = rng.normal(size=60), rng.integers(1, 5, 60)
    time_ms = np.arange(60) // 3
    weighted = upper_bound(time_ms, copies * 1.0, difference)
    repeated = upper_bound(
        np.repeat(time_ms, copies), np.ones(copies.sum()), np.repeat(difference, copies)
    )
    assert weighted == pytest.approx(repeated)


def test_the_bound_by_hand() -> None:
    means = np.array([0.1, -0.1, 0.3, 0.0, 0.2])
    error = means.std(ddof=1) / math.sqrt(5)
    bound = upper_bound(np.repeat(np.arange(5), 4), np.ones(20), np.repeat(means, 4))
    assert bound == pytest.approx(0.1 + 2.132 * error)


def coverage(together: float, seed: int) -> float:
    """Share of bounds above the true mean 0 when rows of one instant share so much of their noise."""
    rng, instants, each = np.random.default_rng(seed), 60, 30
    time_ms, hits = np.repeat(np.arange(instants), each), 0
    for _ in range(400):
        shared = np.repeat(rng.standard_normal(instants), each)
        noise = together * shared + (1 - together) * rng.standard_normal(instants * each)
        bound = upper_bound(time_ms, np.ones(len(noise)), noise)
        hits += bound is not None and bound >= 0
    return hits / 400


@pytest.mark.parametrize("together", [0.0, 0.5, 1.0])
def test_the_bound_holds_when_rows_of_one_instant_move_together(together: float) -> None:
    assert coverage(together, 3) >= 0.95 - 3 * math.sqrt(0.95 * 0.05 / 400)


def test_columns_of_different_lengths_are_refused() -> None:
    with pytest.raises(DesignError, match="999, 1000"):
        examine(gate_rows(new=np.zeros(999)), PLAN)
