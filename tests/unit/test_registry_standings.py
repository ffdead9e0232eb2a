"""What people see of a scoreboard."""

import dataclasses
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from tests.broker import chain
from tests.unit.evidence_rows import BLOCK_MS, design, scored, seat, times

from flyball_registry.contract import Contract, contract
from flyball_registry.evidence.design import MAX_TRAINERS, Design, Scored
from flyball_registry.evidence.evaluation import MAX_COLUMNS, State, fold
from flyball_registry.records.figures import MAX_FULL
from flyball_registry.records.pacing import Pace
from flyball_registry.records.pacing import scored as scored_event
from flyball_registry.records.scoreboard import Effect, Mean, Scoreboard
from flyball_registry.records.standings import standings

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def contract_of(found: Design | None) -> Contract:
    return Contract("p", "f", frozenset(), found, "", (), BLOCK_MS, 100, 1, "binary", "brier")


def judged(
    found: Design, blocks: int, *trainers: str, slices: dict[str, list[str]] | None = None
) -> Scoreboard:
    """A scoreboard after so many blocks; every trainer says what the seat's says, and noise."""
    rows = rows_of(blocks, "anchor", *trainers, slices=slices)
    state, _ = fold(State(), rows, blocks * BLOCK_MS, seat(), found)
    board = Scoreboard(pipeline="p", feature_digest="f", state=state, folded_ms=blocks * BLOCK_MS)
    return board.shown(found)


def rows_of(
    blocks: int, *columns: str, slices: dict[str, list[str]] | None = None, start_ms: int = 0
) -> Scored:
    """25 rows a block."""
    time_ms = times(blocks, 25, start_ms)
    rng, n = np.random.default_rng(1), len(time_ms)
    label = (rng.random(n) < 0.3) * 1.0
    score = {name: np.clip(0.3 + rng.normal(0, 0.05, n), 0, 1) for name in ("active", *columns)}
    values = {name: (value * n)[:n] for name, value in (slices or {}).items()}
    return scored(time_ms, label, score, slices=values)


def test_before_anything_is_known_a_whole_season_is_left_and_nothing_is_labelled() -> None:
    found = standings(
        Scoreboard(pipeline="p", feature_digest="f"),
        contract_of(design(season_ms=100 * BLOCK_MS)),
        NOW,
    )
    assert (found.season_left_ms, found.labelled, found.now_ms) == (100 * BLOCK_MS, 0, 0)
    assert (found.figures, found.comparisons, found.seat_trainer) == ((), (), "")
    assert (found.task, found.metric, found.block_ms) == ("binary", "brier", BLOCK_MS)


@pytest.mark.parametrize(
    ("season", "blocks", "left"), [(0, 30, 0), (100, 30, 90), (100, 120, 0), (100, 140, 0)]
)
def test_the_season_is_used_up_by_the_comparison_that_runs_longest(
    season: int, blocks: int, left: int
) -> None:
    found = design(season_ms=season * BLOCK_MS)
    shown = standings(judged(found, blocks, "recent"), contract_of(found), NOW)
    assert abs(shown.season_left_ms - left * BLOCK_MS) < BLOCK_MS


def test_figures_and_comparisons_are_those_of_the_scoreboard() -> None:
    found = design()
    board = judged(found, 60, "recent", "linear")
    shown = standings(board, contract_of(found), NOW)
    assert [one.column for one in shown.figures] == ["active", "anchor", "linear", "recent"]
    assert shown.labelled == 60 * 25
    assert [one.trainer for one in shown.comparisons] == ["linear", "recent"]
    for one, of_board in zip(shown.comparisons, board.comparisons, strict=True):
        assert one.model_dump() == of_board.model_dump()


def test_the_effect_of_actions_is_a_mean_of_labels_or_unknown() -> None:
    board = Scoreboard(
        pipeline="p",
        feature_digest="f",
        effect=Effect(withheld=Mean(rows=4, weight=8.0, total=2.0)),
        number=7,
        share=0.5,
        unlabelled=3,
    )
    shown = standings(board, contract_of(None), NOW)
    assert (shown.effect.withheld_mean, shown.effect.acted_mean) == (0.25, None)
    assert (shown.judgements, shown.share, shown.unlabelled, shown.season_ms) == (7, 0.5, 3, 0)


def test_with_sixteen_trainers_and_every_slice_the_record_stays_under_200_kb() -> None:
    board, found = fullest()
    shown = standings(board, contract_of(found), NOW)
    assert len(shown.comparisons) == MAX_TRAINERS
    assert len(shown.figures) == MAX_COLUMNS
    full = [one for one in shown.figures if one.whole.rows]
    assert len(full) == MAX_FULL
    assert all(one.slices and one.whole.calibration for one in full)
    assert {"active", "anchor"} < {one.column for one in full}
    assert len(shown.model_dump_json()) < 200_000


def test_the_event_of_the_fullest_record_is_small() -> None:
    board, found = fullest()
    event = scored_event(board, contract_of(found), NOW)
    assert len(event.figures) == MAX_FULL
    assert len(event.model_dump_json()) < 50_000


def fullest() -> tuple[Scoreboard, Design]:
    """As many columns as a scoreboard has, most of trainers that are gone, and every slice."""
    names = [f"t{number:02}" + "x" * 60 for number in range(MAX_TRAINERS)]
    values = [f"{number:03}" + "y" * 80 for number in range(64)]
    found = design(slices=("site",))
    board = judged(found, 60, *names, slices={"site": values})
    score = board.state.board["active"].model_copy(update={"recent": {}})
    gone = {f"{number:03}" + "z" * 60: score for number in range(MAX_COLUMNS - len(names) - 2)}
    state = board.state.model_copy(update={"board": {**board.state.board, **gone}})
    return board.model_copy(update={"state": state}).shown(found), found


def test_measures_are_those_of_the_rows_whole_recent_and_since_the_succession() -> None:
    found = design()
    board = judged(found, 60, "recent")
    active = standings(board, contract_of(found), NOW).figures[0]
    assert (active.whole.rows, active.recent.rows) == (60 * 25, 16 * 25)
    assert active.since_succession == active.whole
    assert active.whole.loss == pytest.approx(active.loss, rel=1e-5)
    assert sum(map(sum, active.whole.confusion)) == 60 * 25
    moved = seat("recent", epoch=2, since_ms=55 * BLOCK_MS)
    state, _ = fold(board.state, rows_of(10, "recent", start_ms=60_000), 70_000, moved, found)
    board = board.model_copy(update={"state": state}).shown(found)
    shown = standings(board, contract_of(found), NOW)
    assert shown.figures[0].since_succession.rows == 10 * 25
    assert shown.figures[0].whole.rows == 70 * 25
    assert (shown.opened, shown.successions) == (1, 0)


def test_why_a_pipeline_cannot_be_evaluated_is_shown() -> None:
    made = dataclasses.replace(contract_of(None), why_not="a block is too short")
    found = standings(Scoreboard(pipeline="p", feature_digest="f"), made, NOW)
    assert found.why_not == "a block is too short"


def test_an_event_is_due_at_a_judgement_and_else_a_minute_and_a_block_apart() -> None:
    found = contract_of(design())
    board = judged(design(), 60, "recent")
    pace = Pace.behind(board)
    at_ms = board.folded_ms
    cases = [(59_999, 0, False), (60_000, 0, True), (1, 1, True)]
    for later_ms, number, due in cases:
        update = {"folded_ms": at_ms + later_ms, "number": number, "first_ms": at_ms}
        assert pace.is_due(board.model_copy(update=update), found) is due
    long_ago = {"folded_ms": at_ms + 60_000, "first_ms": at_ms - 1_000 * 60_000}
    assert not pace.is_due(board.model_copy(update=long_ago), found)
    assert Pace().is_due(board, found)
    assert not Pace().is_due(Scoreboard(pipeline="p", feature_digest="f"), found)


@pytest.mark.parametrize(
    ("target", "task", "metric"),
    [
        ({"task": "binary", "expression": "max(load) > 0.9", "horizon": "1s"}, "binary", "brier"),
        (
            {"task": "regression", "expression": "mean(load)", "horizon": "1s"},
            "regression",
            "absolute_error",
        ),
    ],
)
def test_task_and_metric_are_the_specification_s(
    target: dict[str, Any], task: str, metric: str
) -> None:
    found = chain.catalogue("p", target=target, decisions=[], trainers=[])
    made = contract(found.pipelines["p"], found.sources["p"])
    assert (made.task, made.metric) == (task, metric)
