"""Which model answers for a row, who held the seat then, and what memory a restart needs."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball_proto.columns import F32, F64, I64, U8, U16, U32, U64, Flow, Mark, Model, Rows, Samples
from flyball_proto.deployments import ActiveModel, Canary, Placed
from flyball_proto.events import ModelRecord
from flyball_registry.contract import Contract
from flyball_registry.evidence.design import ACTIVE, ANCHOR
from flyball_registry.judging.intake import Intake, first_times
from flyball_registry.judging.placing import stage
from flyball_registry.records.scoreboard import Scoreboard
from flyball_registry.scoring.rows import Sampled, joined, sampled
from flyball_registry.scoring.scoring import plan, scored
from flyball_registry.scoring.seats import Turn, active_of, noted, reached
from flyball_registry.scoring.timelines import Timelines, valid_from

NOW = datetime(2026, 1, 1, tzinfo=UTC)


def record(digest: str, trainer: str = "recent", **changes: Any) -> ModelRecord:
    facts: dict[str, Any] = {
        "pipeline": "p",
        "digest": digest,
        "manifest_digest": "m",
        "trainer": trainer,
        "feature_digest": "f",
        "stage": "challenger",
        "size_bytes": 1,
        "admitted_at": NOW,
    }
    return ModelRecord(**facts | changes)


def samples(
    times: list[int],
    *,
    first: int = 1,
    elements: list[str] | None = None,
    models: list[Model] | None = None,
    labels: str = "{}",
    **changes: Any,
) -> Samples:
    n = len(times)
    names = elements or ["e"] * n
    decided = models or [Model("a", 1, "active", "recent")] * n
    known, table = list(dict.fromkeys(names)), list(dict.fromkeys(decided))
    facts: dict[str, Any] = {
        "pipeline": "p",
        "feature_digest": "f",
        "flow": Flow("hub.METRICS", first, first + n - 1),
        "rows": Rows(
            known,
            np.array([known.index(name) for name in names], U32),
            np.arange(first, first + n, dtype=U64),
            np.zeros(n, U16),
            np.array(times, I64),
            (labels,),
            np.zeros(len(known), U32),
        ),
        "feature": np.arange(n, dtype=F32)[:, None],
        "label": np.ones(n, F64),
        "known_ms": np.array(times, I64) + 10,
        "weight": np.ones(n, F64),
        "censored": np.zeros(n, U8),
        "model": table,
        "model_index": np.array([table.index(model) for model in decided], U8),
        "score": np.full(n, 0.5),
        "verdict": np.zeros(n, U8),
        "quality": np.zeros(n, U8),
    }
    return Samples(**facts | changes)


def rows(times: list[int], **how: Any) -> Sampled:
    return sampled(0, 1, samples(times, **how))


def said(digest: str, features: Any) -> Any:
    return np.full(len(features), {"a": 0.1, "b": 0.2, "c": 0.3, "z": 0.9}[digest])


def column(found: Any) -> list[float]:
    return [round(float(value), 3) for value in found]


def test_a_row_is_scored_by_the_newest_model_that_was_admitted_before_it() -> None:
    lines = Timelines.of(
        [
            record("b", valid_from={"0": 3}),
            record("c", valid_from={"0": 5}),
            record("a"),
            record("bad", stage="refused", valid_from={"0": 4}),
        ]
    )
    found = rows(list(range(7)), models=[Model("z", 1, "active", "other")] * 7)
    planned = plan(found, lines, "", {})
    scores = scored(found, planned, lines, "", (), said).score
    assert column(scores["recent"]) == [0.1, 0.1, 0.1, 0.2, 0.2, 0.3, 0.3]
    assert planned.digests == ("a", "b", "c")


def test_a_row_before_a_trainer_s_first_model_does_not_count_for_it() -> None:
    lines = Timelines.of([record("b", valid_from={"0": 2})])
    found = rows([0, 1, 2], models=[Model("z", 1, "active", "other")] * 3)
    scores = scored(found, plan(found, lines, "", {}), lines, "", (), said).score
    assert np.isnan(scores["recent"][:2]).all()
    assert column(scores["recent"][2:]) == [0.2]


def test_each_partition_has_its_own_sequences() -> None:
    lines = Timelines.of([record("a"), record("b", valid_from={"0": 100, "1": 2})])
    found = joined([sampled(p, 1, samples([0, 1, 2])) for p in (0, 1, 2)])
    answers = {
        a.digest: a.rows.tolist() for a in lines.answers("recent", found.partition, found.sequence)
    }
    assert answers == {"a": [0, 1, 2, 3, 4], "b": [5, 6, 7, 8]}


def test_a_score_as_decided_is_taken_and_not_computed_again() -> None:
    lines = Timelines.of([record("a")])
    found = rows([0, 1])
    planned = plan(found, lines, "a", {1: "a"})
    assert planned.digests == ()
    scores = scored(found, planned, lines, "a", (), said).score
    assert {name: column(c) for name, c in scores.items()} == {
        ACTIVE: [0.5, 0.5],
        ANCHOR: [0.5, 0.5],
        "recent": [0.5, 0.5],
    }


def test_with_several_classes_every_row_is_scored_by_the_model_that_decided_it() -> None:
    lines = Timelines.of([record("a"), record("z", trainer="other")])
    models = [
        Model("a", 1, "active", "recent"),
        Model("b", 1, "canary", "other"),
        Model("c", 2, "active", "recent"),
    ]
    found = rows([0, 1, 2], models=models)

    def three(digest: str, features: Any) -> Any:
        first = said(digest, features)
        if digest == "c":
            return np.full(len(features), np.inf)  # it fails
        if digest == "z":
            return np.zeros((len(features), 4))  # it is of other classes
        return np.stack([first, 1 - first, 0 * first], axis=1)

    planned = plan(found, lines, "b", {1: "a"}, classes=3)
    assert planned.digests == ("a", "b", "c", "z")
    scores = scored(found, planned, lines, "b", (), three, classes=3).score
    assert {column.shape for column in scores.values()} == {(3, 3)}
    assert scores[ACTIVE][:2].tolist() == [[0.1, 0.9, 0.0]] * 2
    assert np.isinf(scores[ACTIVE][2]).all()
    assert scores[ANCHOR].tolist() == [[0.2, 0.8, 0.0]] * 3
    assert np.isnan(scores["other"]).all()


def test_a_canary_s_row_counts_for_the_active_model_of_its_epoch() -> None:
    models = [
        Model("a", 1, "active", "recent"),
        Model("c", 2, "canary", "long"),
        Model("c", 3, "canary", "long"),
        Model("c", 9, "canary", "long"),
    ]
    found = rows([0, 1, 2, 3], models=models)
    lines = Timelines.of([])
    planned = plan(found, lines, "z", {1: "a", 2: "a", 3: "b"})
    scores = scored(found, planned, lines, "z", (), said).score
    assert column(scores[ACTIVE][:3]) == [0.5, 0.1, 0.2]
    assert np.isnan(scores[ACTIVE][3]), "nobody knows who was active then"
    assert column(scores[ANCHOR]) == [0.9] * 4


def test_a_score_that_is_no_number_has_the_largest_loss() -> None:
    found = rows([0, 1], score=np.array([np.nan, 0.5]))
    lines = Timelines.of([])
    scores = scored(found, plan(found, lines, "", {}), lines, "", (), said).score
    assert np.isinf(scores[ACTIVE]).tolist() == [True, False]


def test_slices_come_from_the_labels_of_the_elements() -> None:
    found = rows([0], labels='{"site": "north"}')
    lines = Timelines.of([])
    made = scored(found, plan(found, lines, "", {}), lines, "", ("site", "band"), said)
    assert {name: list(values) for name, values in made.slices.items()} == {
        "site": ["north"],
        "band": [""],
    }


def test_rows_are_put_in_order_of_time_element_and_sequence() -> None:
    found = rows([5, 3, 5, 3], elements=["b", "b", "a", "a"]).ordered()
    assert list(zip(found.time_ms, found.element, strict=True)) == [
        (3, "a"), (3, "b"), (5, "a"), (5, "b"),
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("through", "position", "wanted"),
    [
        ({"0": 5}, {}, {"0": 5}),
        ({"0": 5}, {"0": 7, "1": 2}, {"0": 7, "1": 2}),
        ({"0": 9}, {"0": 7}, {"0": 9}),
        ({}, {}, {}),
    ],
)
def test_a_model_answers_behind_what_it_learnt_from_and_what_was_read(
    through: dict[str, int], position: dict[str, int], wanted: dict[str, int]
) -> None:
    assert valid_from(through, position) == wanted


def test_the_newest_model_is_one_that_was_not_rolled_back_if_there_is_any() -> None:
    lines = Timelines.of([record("a", valid_from={"0": 1}), record("b", valid_from={"0": 2})])
    found = [
        lines.newest("recent"),
        lines.newest("recent", ["b"]),
        lines.newest("recent", ["a", "b"]),
    ]
    assert [model.digest if model else None for model in found] == ["b", "a", "b"]
    assert lines.newest("nobody") is None


def turn(epoch: int, trainer: str = "recent", digest: str = "a") -> Turn:
    return Turn(
        epoch=epoch, trainer=trainer, digest=digest, anchor_trainer=trainer, anchor_digest=digest
    )


def test_the_seat_moves_when_rows_of_the_next_turn_are_seen_and_only_forward() -> None:
    turns = noted(noted((), turn(3, "long", "b")), turn(1))
    first = reached(None, turns, [Model("a", 1, "active", "recent")], {1: 50})
    assert first == turn(1)
    assert reached(first, turns, [Model("a", 2, "active", "recent")], {2: 60}) == turn(1)
    second = reached(
        first, turns, [Model("a", 1, "active", "recent"), Model("b", 3, "active", "long")],
        {1: 50, 3: 70},
    )  # fmt: skip
    assert second == turn(3, "long", "b").model_copy(update={"since_ms": 70})
    assert reached(second, turns, [Model("a", 1, "active", "recent")], {1: 50}) == second
    assert reached(second, turns, [], {}) == second


def test_a_turn_that_only_its_decisions_remember_is_its_own_anchor() -> None:
    found = reached(None, (), [Model("a", 4, "active", "recent")], {4: 1})
    assert found == turn(4)
    assert reached(None, (), [Model("a", 4, "canary", "recent")], {4: 1}) is None


def test_the_active_model_of_an_epoch_is_known_from_turns_and_from_decisions() -> None:
    models = [Model("b", 2, "active", "x"), Model("c", 3, "canary", "x")]
    assert active_of([turn(1)], models) == {1: "a", 2: "b"}


def test_first_times_are_told_by_epoch() -> None:
    models = [Model("a", 2, "active", "x"), Model("a", 1, "active", "x")] * 2
    assert first_times(rows([5, 4, 3, 2], models=models)) == {1: 2, 2: 3}


CONTRACT = Contract("p", "f", frozenset({"recent"}), None, "", (), 100, 100, 1, "binary", "brier")


def board() -> Scoreboard:
    return Scoreboard(pipeline="p", feature_digest="f")


def intake(found: Scoreboard | None = None, partitions: int = 1) -> Intake:
    return Intake(found or board(), CONTRACT, partitions)


def test_rows_wait_until_every_partition_has_passed_them() -> None:
    held = intake(partitions=2)
    held.take(0, 1, samples([10, 20, 30]))
    held.take(1, 2, samples([5, 10]))
    clock_ms = held.board.clock_ms(2, 400)
    assert clock_ms == 20
    found = held.due(clock_ms)
    assert found is not None
    assert found.time_ms.tolist() == [5, 10, 10, 20]
    assert held.due(clock_ms) is None
    assert held.board.position == {"0": 3, "1": 2}


def test_a_partition_far_behind_or_silent_is_not_waited_for() -> None:
    held = intake(partitions=2)
    held.take(0, 1, samples([100]))
    assert held.board.clock_ms(2, 400) == 100
    held.take(0, 2, samples([600]))
    assert held.board.clock_ms(2, 400) == 610


def test_a_mark_counts_when_every_partition_reached_it_and_once() -> None:
    held, mark = intake(partitions=2), Mark("m", 9)
    flow = Flow("hub.METRICS", 1, 1, mark=mark)
    held.take(0, 1, samples([1], flow=flow))
    assert held.mark() is None
    held.take(1, 2, samples([1], flow=flow))
    assert held.mark() == mark
    assert held.mark() is None


def test_an_empty_commit_moves_the_position_alone() -> None:
    held = intake()
    held.take(0, 7, None)
    assert held.places()["0"].model_dump() == {
        "samples": 7, "needed": 8, "metrics": 0, "time_ms": 0,
    }  # fmt: skip


@given(
    times=st.lists(st.integers(0, 500), min_size=1, max_size=40),
    cut=st.integers(0, 12),
    clock_ms=st.integers(0, 500),
)
def test_memory_filled_again_from_the_oldest_needed_message_is_what_it_was(
    times: list[int], cut: int, clock_ms: int
) -> None:
    messages = [samples([t] * 30, first=1 + 30 * i) for i, t in enumerate(times)]
    before = intake()
    for i, message in enumerate(messages, 1):
        before.take(0, i, message)
        if i == cut:
            before.due(clock_ms)
            before.board = before.board.model_copy(update={"folded_ms": clock_ms})
    saved = before.board.model_copy(update={"places": before.places()})
    after = intake(saved)
    for i in range(saved.places["0"].needed, len(messages) + 1):
        after.take(0, i, messages[i - 1])
    assert after.board == saved
    assert list_of(after.recent()) == list_of(before.recent())
    if cut == len(messages):
        assert list_of(after.due(10**6)) == list_of(before.due(10**6))


def list_of(found: Sampled | None) -> list[tuple[int, int]]:
    return (
        []
        if found is None
        else list(zip(found.time_ms.tolist(), found.sequence.tolist(), strict=True))
    )


def placed(digest: str) -> Placed:
    return Placed(digest=digest, trainer="recent", feature_digest="f")


@pytest.mark.parametrize(
    ("digest", "was", "wanted"),
    [
        ("a", "challenger", "active"),
        ("n", "challenger", "fallback"),
        ("b", "active", "fallback"),
        ("c", "challenger", "canary"),
        ("r", "active", "rolled-back"),
        ("o", "active", "retired"),
        ("o", "fallback", "retired"),
        ("o", "canary", "challenger"),
        ("o", "challenger", "challenger"),
        ("o", "retired", "retired"),
        ("a", "refused", "refused"),
    ],
)
def test_a_stage_follows_the_deployment(digest: str, was: str, wanted: str) -> None:
    pointer = ActiveModel(
        digest="a",
        trainer="recent",
        feature_digest="f",
        epoch=3,
        since=NOW,
        reason="",
        anchor=placed("n"),
        baseline=placed("b"),
        canary=Canary(**placed("c").model_dump(), step=0, percent=5, since=NOW),
        rolled_back=("r",),
    )
    assert stage(record(digest, stage=was), pointer) == wanted
