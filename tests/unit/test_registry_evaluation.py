"""The fold as a whole: rows in, findings out, however they are cut and stored."""

import dataclasses
import math
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.evidence_rows import (
    BLOCK_MS,
    HORIZON_MS,
    Array,
    design,
    folded,
    of_kind,
    part,
    scored,
    seat,
    times,
)

from flyball_registry.evidence.account import gamma
from flyball_registry.evidence.design import DesignError
from flyball_registry.evidence.evaluation import (
    Degraded,
    Design,
    Drifted,
    Equivalent,
    Finding,
    Inferior,
    Scored,
    State,
    Superior,
    Undecided,
    fold,
    standing,
)


def world(
    blocks: int = 120, seed: int = 1, start_ms: int = 0, per_block: int = 25, **skill: float
) -> Scored:
    """Labels at a rate of 0.3; a column of skill k says 0.3 + k * (label - 0.3) + noise."""
    rng, time_ms = np.random.default_rng(seed), times(blocks, per_block, start_ms)
    label = (rng.random(len(time_ms)) < 0.3) * 1.0
    score = {
        name: np.clip(0.3 + k * (label - 0.3) + rng.normal(0, 0.05, len(label)), 0, 1)
        for name, k in {"active": 0.0, **skill}.items()
    }
    return scored(time_ms, label, score)


def changed(rows: Scored, **given: Any) -> Scored:
    return dataclasses.replace(rows, **given)


def with_score(rows: Scored, **columns: Array) -> Scored:
    return changed(rows, score={**rows.score, **columns})


# --- words ---------------------------------------------------------------------------------------


def test_a_better_trainer_is_superior_once_and_its_figures_say_why() -> None:
    state, findings = folded(world(blocks=300, good=0.5))
    (found,) = of_kind(findings, Superior, Inferior, Equivalent, Undecided)
    assert isinstance(found, Superior)
    assert (found.trainer, found.over, found.comparison) == ("good", "baseline", 1)
    assert found.threshold == pytest.approx(math.log(1 / (0.05 * gamma(1))))
    assert found.log_e >= found.threshold
    assert 40 <= found.blocks < 80
    assert found.at_ms == found.blocks * BLOCK_MS
    assert 0 <= found.better_by_at_least < 0.21 * 0.75
    assert (state.account.successions, state.account.entries[0].outcome) == (1, "superior")


def test_a_worse_trainer_is_inferior_and_an_equal_one_equivalent() -> None:
    plan = design(margin=0.02)
    rows = world(blocks=200, worse=-0.6, equal=0.0)
    findings = folded(rows, under=plan)[1]
    assert {f.trainer: type(f) for f in findings if not isinstance(f, Drifted)} == {
        "worse": Inferior,
        "equal": Equivalent,
    }


def test_no_verdict_after_many_blocks_is_a_report_and_not_an_end() -> None:
    rows = world(blocks=1_100)
    twin = with_score(rows, twin=rows.score["active"].copy())
    state, findings = folded(twin)
    found = of_kind(findings, Undecided)
    assert [f.blocks for f in found] == [500, 1_000]
    assert {f.log_e for f in found} == {0.0}
    assert [s.word for s in standing(state, design())] == ["continue"]


def test_no_one_is_superior_before_a_whole_season() -> None:
    plan = design(season_ms=150 * BLOCK_MS)
    state, findings = folded(world(blocks=149, good=0.5), under=plan)
    assert of_kind(findings, Superior) == []
    assert "less than one season" in standing(state, plan)[0].detail
    (found,) = of_kind(folded(world(blocks=200, good=0.5), under=plan)[1], Superior)
    assert found.at_ms >= 150 * BLOCK_MS


def test_a_slice_vetoes_a_succession_and_is_named() -> None:
    rows = world(blocks=200, per_block=100, good=0.5)
    plan = design(slices=("site",), season_ms=100 * BLOCK_MS)  # a slice needs its own time to speak
    site = np.where(np.arange(len(rows.time_ms)) % 4 == 0, "b", "a")
    opposite = 0.3 - 0.3 * (rows.label - 0.3)
    bad = with_score(rows, good=np.where(site == "b", opposite, rows.score["good"]))
    vetoed = changed(bad, slices={"site": site.tolist()})
    assert of_kind(folded(bad, under=plan)[1], Superior) != []  # on the whole it is better
    state, findings = folded(vetoed, under=plan)
    assert of_kind(findings, Superior) == []
    assert standing(state, plan)[0].detail.startswith("better on the whole, but worse where site=b")
    allowed = changed(rows, slices={"site": site.tolist()})
    assert of_kind(folded(allowed, under=plan)[1], Superior) != []


# --- rows ----------------------------------------------------------------------------------------


def compared(rows: Scored, plan: Design | None = None) -> int:
    """Base blocks that the comparison of `good` has."""
    return folded(rows, under=plan)[0].comparisons["good"].bets.base_blocks


def test_only_labelled_uncensored_rows_known_by_the_end_of_their_block_count() -> None:
    rows = world(blocks=10, good=0.5)
    n = len(rows.time_ms)
    ends = (rows.time_ms // BLOCK_MS + 1) * BLOCK_MS
    assert compared(rows) == 10
    assert compared(changed(rows, known_ms=ends)) == 10
    for nothing in (
        changed(rows, known_ms=ends + 1),
        changed(rows, censored=np.ones(n, np.bool_)),
        changed(rows, label=np.full(n, np.nan)),
        with_score(rows, active=np.full(n, np.nan)),
        with_score(rows, good=np.full(n, np.nan)),
    ):
        comparison = folded(nothing)[0].comparisons.get("good")
        assert comparison is None or comparison.bets.base_blocks == 0


def test_a_model_without_finite_numbers_loses_instead_of_being_left_out() -> None:
    rows = world(blocks=100, good=0.5)
    state, findings = folded(with_score(rows, good=np.full(len(rows.time_ms), np.inf)))
    assert of_kind(findings, Inferior) != []
    assert state.board["good"].not_finite == len(rows.time_ms)
    assert state.board["good"].loss() == 1.0


def test_blocks_with_too_few_rows_are_merged_with_what_follows() -> None:
    assert compared(world(blocks=12, per_block=7, good=0.5)) == 4
    assert compared(world(blocks=12, per_block=20, good=0.5)) == 12


def test_the_number_of_a_block_is_its_weighted_mean_difference() -> None:
    time_ms = times(1, 20)
    label = np.zeros(20)
    weight = np.r_[np.full(19, 1.0), 20.0]
    active, good = np.full(20, 0.5), np.r_[np.zeros(19), 1.0]
    state, _ = folded(scored(time_ms, label, {"active": active, "good": good}, weight=weight))
    (number,) = state.comparisons["good"].bets.kept
    assert number == pytest.approx((19 * 0.25 + 20 * (0.25 - 1.0)) / 39)


def test_rows_of_the_future_are_refused_in_words() -> None:
    with pytest.raises(DesignError, match="a row of 9040 ms lies after the clock, 5000 ms"):
        fold(State(), part(world(blocks=10), slice(0, 228)), 5_000, seat(), design())


def test_late_rows_count_on_the_scoreboard_and_nowhere_else() -> None:
    early, late = world(blocks=10, good=0.5), world(blocks=10, seed=2, good=0.5)
    state, _ = folded(early)
    again, _ = fold(state, late, 10 * BLOCK_MS, seat(), design())
    assert again.comparisons == state.comparisons
    assert again.board["good"].rows == 2 * state.board["good"].rows


def test_too_many_trainers_are_refused_in_words() -> None:
    rows = world(blocks=1, **{f"t{i}": 0.0 for i in range(17)})
    with pytest.raises(DesignError, match="17 trainers beside 'baseline'; at most 16"):
        folded(rows)


def test_the_scoreboard_by_hand() -> None:
    time_ms, label = times(1, 4), np.array([1.0, 0, 1, 0])
    columns = {"active": np.array([0.9, 0.1, 0.4, np.nan]), "good": np.array([1.0, 0, 1, 0])}
    binary = folded(scored(time_ms, label, columns))[0].board
    assert binary["active"].rows == 3
    assert binary["active"].loss() == pytest.approx((0.01 + 0.01 + 0.36) / 3)
    assert binary["active"].accuracy("binary") == pytest.approx(2 / 3)
    assert binary["good"].accuracy("binary") == 1.0
    plan = design(task="regression")
    regression = folded(scored(time_ms, 10 * label, columns), under=plan)[0].board
    assert regression["active"].loss() == pytest.approx((9.1 + 0.1 + 9.6) / 3)
    assert regression["active"].accuracy("regression") is None


# --- seat, account and watch ---------------------------------------------------------------------


def test_a_refresh_changes_nothing() -> None:
    rows = world(blocks=60, good=0.3, anchor=0.0)
    state, _ = folded(rows)
    refreshed = seat(epoch=2, digest="baseline-2", since_ms=55_000)
    after, _ = fold(state, part(rows, slice(0, 0)), 60_000, refreshed, design())
    assert (after.comparisons, after.watch) == (state.comparisons, state.watch)
    assert after.seat is not None
    assert (after.seat.digest, after.seat.since_ms) == ("baseline-2", 0)


def test_a_succession_closes_all_comparisons_and_opens_new_ones_with_new_numbers() -> None:
    state, _ = folded(world(blocks=60, good=0.5, other=0.1, baseline=0.0))
    assert {c.number for c in state.comparisons.values()} == {1, 2}
    moved = seat("good", epoch=2, since_ms=60_000)
    rows = world(blocks=60, start_ms=60_000, seed=3, good=0.5, other=0.1, baseline=0.0)
    after, _ = folded(with_score(rows, active=rows.score["good"]), moved, state=state)
    assert {n: c.number for n, c in after.comparisons.items()} == {"baseline": 3, "other": 4}
    assert {c.over for c in after.comparisons.values()} == {"good"}
    assert after.comparisons["other"].alpha == pytest.approx(2 * 0.05 * gamma(4))
    assert [e.outcome for e in after.account.entries][:2] == ["superior", "closed"]
    assert after.watch is not None
    assert after.watch.tolerated is not None  # the comparison that won says what is usual


def test_rows_decided_before_the_seat_changed_are_no_evidence_about_it() -> None:
    state, _ = folded(world(blocks=10, good=0.5, baseline=0.0))
    moved = seat("good", epoch=2, since_ms=15_000)
    rows = world(blocks=10, start_ms=10_000, good=0.5, baseline=0.0)
    after, _ = folded(rows, moved, state=state)
    assert after.comparisons["baseline"].bets.base_blocks == 5


def test_another_design_opens_new_comparisons_and_keeps_the_account() -> None:
    state, _ = folded(world(blocks=60, good=0.2))
    plan = design(margin=0.01, block_ms=2_000)
    after, _ = folded(world(blocks=60, start_ms=60_000, good=0.2), under=plan, state=state)
    assert (after.comparisons["good"].number, after.account.opened) == (2, 2)
    assert after.comparisons["good"].bets.base_blocks == 30
    assert after.design == plan.digest() != state.design


def harmed(anchor_too: bool) -> tuple[Finding, ...]:
    """300 calm blocks under a refreshed model, then it says the opposite; does the anchor as well?"""
    calm = world(blocks=300, per_block=50, anchor=0.5, active=0.5)
    after = world(blocks=300, per_block=50, start_ms=300_000, seed=2, anchor=0.5, active=-1.5)
    if anchor_too:
        after = with_score(after, anchor=np.clip(after.score["active"] + 0.01, 0, 1))
    refreshed = seat("good", digest="good-2", anchor_digest="good-1")
    state, findings = folded(calm, refreshed)
    assert of_kind(findings, Degraded) == []
    return folded(after, refreshed, state=state)[1]


def test_harm_with_a_better_anchor_is_a_rollback_and_the_loss_has_drifted() -> None:
    findings = harmed(anchor_too=False)
    assert of_kind(findings, Degraded)[-1].decision == "roll-back"
    assert of_kind(findings, Drifted) != []
    assert [f.at_ms for f in findings] == sorted(f.at_ms for f in findings)


def test_harm_that_the_anchor_would_do_as_well_is_a_reason_to_train() -> None:
    assert {f.decision for f in of_kind(harmed(anchor_too=True), Degraded)} == {"retrain"}


def test_a_rollback_starts_the_evidence_of_the_watch_anew() -> None:
    rows = world(blocks=200, per_block=50, anchor=0.5, active=-0.5)
    refreshed = seat("good", epoch=2, digest="good-2", anchor_digest="good-1")
    state, _ = folded(rows, refreshed)
    assert state.watch is not None
    assert state.watch.relative_evidence > 0
    back = seat("good", epoch=3, digest="good-1", anchor_digest="good-1", since_ms=200_000)
    after, _ = fold(state, part(rows, slice(0, 0)), 200_000, back, design())
    assert after.watch is not None
    assert after.watch.relative_evidence == 0
    assert after.watch.tolerated == state.watch.tolerated
    assert after.seat is not None
    assert after.seat.since_ms == 200_000


# --- regression ----------------------------------------------------------------------------------


def measured(
    blocks: int, growth_at: int | None = None, unit: float = 1.0, start_ms: int = 0
) -> Scored:
    """A regression in which `good` has half the active's error; errors may grow tenfold."""
    rng, time_ms = np.random.default_rng(4), times(blocks, 40, start_ms)
    label, error = rng.standard_normal(len(time_ms)), rng.standard_normal(len(time_ms))
    if growth_at is not None:
        error = np.where(time_ms >= growth_at * BLOCK_MS, 10 * error, error)
    score = {"active": label + error, "good": label + error / 2}
    return scored(time_ms, unit * label, {k: unit * v for k, v in score.items()})


def test_a_regression_is_compared_in_units_of_its_usual_error() -> None:
    plan = design(task="regression")
    found = [folded(measured(120, unit=unit), under=plan) for unit in (1.0, 1e6)]
    superior = [of_kind(findings, Superior)[0] for _, findings in found]
    assert superior[0].at_ms == superior[1].at_ms
    assert superior[0].log_e == pytest.approx(superior[1].log_e)
    assert superior[0].saturated_ratio < 0.1
    assert found[0][0].comparisons["good"].scale.reference == pytest.approx(2.5, rel=0.3)


def test_errors_that_outgrow_their_scale_open_a_new_comparison() -> None:
    plan = design(task="regression", margin=0.3)
    state, _ = folded(measured(120, growth_at=30), under=plan)
    assert state.account.entries[0].outcome == "outgrown"
    assert state.comparisons["good"].number == 2
    assert state.comparisons["good"].scale.reference == pytest.approx(25, rel=0.3)


# --- cuts, records, size -------------------------------------------------------------------------

TASKS = ("binary", "regression", "multiclass")


def rich(task: str) -> tuple[Scored, Design]:
    """Rows in which much happens: gaps, censoring, weights, slices, drift, sparse columns."""
    rng = np.random.default_rng(8)
    rows = world(blocks=150, per_block=16, anchor=0.2, good=0.5, weak=-0.2)
    n = len(rows.time_ms)
    label = rows.label + rng.standard_normal(n) if task == "regression" else rows.label
    late = np.where(np.arange(n) > n // 2, 1.0, 0.0)
    rows = with_score(
        rows,
        active=np.where(rng.random(n) < 0.05, np.nan, rows.score["active"] + late / 3),
        weak=np.where(np.arange(n) < 300, np.nan, rows.score["weak"]),
        good=np.where(rng.random(n) < 0.01, np.inf, rows.score["good"]),
    )
    rows = changed(
        rows,
        label=label,
        weight=np.where(rng.random(n) < 0.05, 20.0, 1.0),
        censored=rng.random(n) < 0.1,
        known_ms=rows.time_ms + rng.integers(0, 2 * HORIZON_MS, n),
        slices={"site": rng.choice(["a", "b", "c"], n).tolist()},
    )
    classes = 3 if task == "multiclass" else 0
    plan = design(task=task, classes=classes, slices=("site",), season_ms=30 * BLOCK_MS)
    return (in_classes(rows) if classes else rows), plan


def in_classes(rows: Scored) -> Scored:
    """Events are of two kinds, and each column says nine times as much of the first."""
    rare = np.arange(len(rows.time_ms)) % 10 == 0
    label = np.where(rows.label > 0.5, 1.0 + rare, 0.0)
    score = {
        name: np.stack([1 - said, said * 0.9, said * 0.1], axis=1)
        for name, said in rows.score.items()
    }
    return changed(rows, label=label, score=score)


REFRESHED = seat(digest="baseline-2")


def in_pieces(rows: Scored, plan: Design, cuts: list[int]) -> tuple[State, list[Finding]]:
    """Cut anywhere, stored as JSON between calls; the clock is what the rows so far allow."""
    state, findings, start = State(), list[Finding](), 0
    n = len(rows.time_ms)
    for cut in [*sorted(cuts), n]:
        clock_ms = int(rows.time_ms[cut - 1]) if cut else 0
        clock_ms = (clock_ms // BLOCK_MS + 1) * BLOCK_MS if cut == n else clock_ms
        state, found = fold(state, part(rows, slice(start, cut)), clock_ms, REFRESHED, plan)
        state = State.model_validate_json(state.model_dump_json())
        findings += found
        start = cut
    return state, findings


@pytest.mark.parametrize("task", TASKS)
@settings(max_examples=8, deadline=None)
@given(cuts=st.lists(st.integers(1, 2_399), max_size=12))
def test_cuts_and_records_change_nothing_to_the_bit(task: str, cuts: list[int]) -> None:
    rows, plan = rich(task)
    whole, findings = folded(rows, REFRESHED, plan)
    state, found = in_pieces(rows, plan, cuts)
    assert state == whole
    assert found == list(findings)
    assert findings != ()
    assert all(1 <= len(score.recent) <= 5 for score in state.board.values())


def test_row_by_row_is_the_same_as_all_at_once() -> None:
    rows, plan = rich("binary")
    rows = part(rows, slice(0, 900))
    state, found = in_pieces(rows, plan, list(range(1, 900)))
    whole, findings = folded(rows, REFRESHED, plan)
    assert (state, found) == (whole, list(findings))


@settings(max_examples=20, deadline=None)
@given(st.integers(0, 2**32), st.integers(1, 120))
def test_identical_models_have_evidence_of_exactly_one(seed: int, blocks: int) -> None:
    rows = world(blocks=blocks, seed=seed)
    state, findings = folded(with_score(rows, twin=rows.score["active"].copy()))
    assert [s.log_e for s in standing(state, design())] == [0.0]
    assert of_kind(findings, Superior, Inferior, Equivalent) == []


def test_the_largest_state_fits_its_record() -> None:
    rng, rows = np.random.default_rng(1), world(blocks=50, per_block=64)
    n = len(rows.time_ms)
    plan = design(
        task="regression", slices=tuple(f"label{i}" for i in range(8)), season_ms=24 * BLOCK_MS
    )
    slices = {label: rng.integers(0, 9, n).astype(str).tolist() for label in plan.slices}
    names = [f"trainer-{i:02}-{'x' * 40}" for i in range(16)]
    rows = with_score(changed(rows, slices=slices), **{m: rng.standard_normal(n) for m in names})
    state, _ = folded(rows, under=plan)
    assert len(state.model_dump_json()) < 800_000
    assert len(folded(changed(rows, slices={}), under=plan)[0].model_dump_json()) < 400_000


# --- negative controls ---------------------------------------------------------------------------


def test_trainers_that_differ_only_in_seed_hardly_ever_succeed_each_other() -> None:
    won = 0
    for seed in range(20):
        rows = world(blocks=400, seed=seed, active=0.4, twin=0.4)
        won += bool(of_kind(folded(rows, seat("first"))[1], Superior))
    assert won <= 3


def acting(seed: int, *, censor: bool) -> Scored:
    """A perfect model acts on each event; the action prevents four in five, one in twenty would-be
    actions is withheld. `always-calm` says the base rate."""
    rng, time_ms = np.random.default_rng(seed), times(90, 60)
    event = rng.random(len(time_ms)) < 0.1
    withheld = rng.random(len(time_ms)) < 0.05
    acted = event & ~withheld
    label = event & ~(acted & (rng.random(len(time_ms)) < 0.8))
    return scored(
        time_ms,
        label * 1.0,
        {"active": event * 1.0, "always-calm": np.full(len(time_ms), 0.02)},
        weight=np.where(event & withheld, 20.0, 1.0) if censor else None,
        censored=acted if censor else None,
    )


def test_a_perfect_acting_model_is_never_replaced_by_a_constant() -> None:
    for seed in range(200):
        findings = folded(acting(seed, censor=True), seat("perfect"))[1]
        assert of_kind(findings, Superior, Degraded) == []


def test_it_would_be_if_acted_rows_counted() -> None:
    found = [folded(acting(seed, censor=False), seat("perfect"))[1] for seed in range(10)]
    won = sum(bool(of_kind(findings, Superior)) for findings in found)
    assert won >= 8  # one stream in ten doubles its blocks by chance, and then 90 are too few


def test_without_a_planted_change_there_is_no_rollback() -> None:
    refreshed = seat("good", digest="good-2", anchor_digest="good-1")
    for seed in range(20):
        rows = world(blocks=500, seed=seed, active=0.4, anchor=0.4)
        decisions = {f.decision for f in of_kind(folded(rows, refreshed)[1], Degraded)}
        assert "roll-back" not in decisions
