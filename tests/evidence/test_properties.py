"""What must not change the evidence: the order inside a block, and how often it was stored."""

import dataclasses
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.evidence.streams import noise
from tests.unit.evidence_rows import BLOCK_MS, design, folded, scored, seat, times

from flyball_registry.evidence.account import Entry
from flyball_registry.evidence.betting import evidence
from flyball_registry.evidence.comparison import Comparison
from flyball_registry.evidence.evaluation import Scored, standing
from flyball_registry.evidence.gate import GateRows, examine
from flyball_registry.evidence.slices import Labelled

SEASON = 37
PLAN = design(season_ms=SEASON * BLOCK_MS, slices=("site",), min_block_rows=10)


def world(seed: int, blocks: int = 90) -> Scored:
    """Two trainers beside the seat's, three sites, weights, censored rows."""
    rng, time_ms = np.random.default_rng(seed), times(blocks, 24)
    n = len(time_ms)
    label = (rng.random(n) < 0.3) * 1.0
    columns = {
        name: np.clip(0.3 + skill * (label - 0.3) + rng.normal(0, 0.1, n), 0, 1)
        for name, skill in {"active": 0.2, "anchor": 0.25, "good": 0.4, "weak": 0.1}.items()
    }
    return scored(
        time_ms,
        label,
        columns,
        weight=np.where(rng.random(n) < 0.1, 20.0, 1.0),
        censored=rng.random(n) < 0.1,
        slices={"site": rng.choice(["a", "b", "c"], n).tolist()},
    )


def shuffled(rows: Scored, seed: int) -> Scored:
    """In another order within each block; every row keeps its own time."""
    rng = np.random.default_rng(seed)
    order = np.lexsort((rng.random(len(rows.time_ms)), rows.time_ms // BLOCK_MS))
    taken: dict[str, Any] = {}
    for field in dataclasses.fields(rows):
        value = getattr(rows, field.name)
        if field.name == "score":
            taken["score"] = {name: column[order] for name, column in value.items()}
        elif field.name == "slices":
            taken["slices"] = {k: [v[i] for i in order.tolist()] for k, v in value.items()}
        else:
            taken[field.name] = value[order]
    return Scored(**taken)


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32 - 1))
def test_the_order_inside_a_block_does_not_matter(seed: int) -> None:
    rows, held = world(3), seat(digest="baseline-2")
    state, findings = folded(rows, held, PLAN)
    other, found = folded(shuffled(rows, seed), held, PLAN)
    assert [(type(f), f.at_ms) for f in findings] == [(type(f), f.at_ms) for f in found]
    for one, two in zip(standing(state, PLAN), standing(other, PLAN), strict=True):
        assert (one.trainer, one.word, one.blocks) == (two.trainer, two.word, two.blocks)
        assert one.log_e == pytest.approx(two.log_e, rel=1e-9, abs=1e-9)
    assert state.watch is not None
    assert other.watch is not None
    assert state.watch.relative_evidence == pytest.approx(other.watch.relative_evidence)


def closed(comparison: Comparison, block: int, value: float) -> tuple[Comparison, str]:
    """One block more, and what was said at its end."""
    site = Labelled("site", ("a", "b"), np.arange(20, dtype=np.int64) % 2)
    nothing = np.zeros(20)
    comparison = comparison.gather(
        block * BLOCK_MS, np.ones(20), nothing + 0.5 + value, nothing + 0.5, [site]
    )
    comparison, said = comparison.close((block + 1) * BLOCK_MS, PLAN)
    return comparison, type(said).__name__ if said else ""


@settings(max_examples=15, deadline=None)
@given(st.integers(0, 10_000), st.sets(st.integers(0, 199)), st.sampled_from([0.0, 0.5]))
def test_a_comparison_that_is_killed_and_resumed_says_the_same(
    seed: int, kills: set[int], phi: float
) -> None:
    values = (0.05 * (noise(f"ar {phi}", seed, 1, 200)[0] + 0.4)).tolist()
    entry = Entry(comparison=1, trainer="t", over="s", alpha=0.05, opened_ms=0)
    whole = resumed = Comparison.begin("t", "s", PLAN).entered(entry)
    for block, value in enumerate(values):
        whole, said = closed(whole, block, value)
        if block in kills:
            resumed = Comparison.model_validate_json(resumed.model_dump_json())
        resumed, again = closed(resumed, block, value)
        assert said == again
    assert resumed == whole
    assert evidence(resumed.bets) == evidence(whole.bets)


@settings(max_examples=25, deadline=None)
@given(st.integers(0, 10_000), st.integers(0, 10_000))
def test_the_gate_does_not_mind_the_order_within_an_instant(seed: int, other: int) -> None:
    rng, n = np.random.default_rng(seed), 600
    time_ms = np.repeat(np.arange(60), 10)
    columns = {
        "label": (rng.random(n) < 0.3) * 1.0,
        "new": rng.random(n),
        "anchor": rng.random(n),
        "replaced": rng.random(n),
        "weight": rng.integers(1, 4, n) * 1.0,
    }
    order = np.lexsort((np.random.default_rng(other).random(n), time_ms))
    usable = np.zeros(n, np.bool_)
    first, second = (
        examine(GateRows(time_ms=time_ms, censored=usable, **one), design())
        for one in (columns, {name: column[order] for name, column in columns.items()})
    )
    assert (first.outcome, first.rows) == (second.outcome, second.rows)
    assert first.upper_bound == pytest.approx(second.upper_bound)
    assert first.difference == pytest.approx(second.difference)
