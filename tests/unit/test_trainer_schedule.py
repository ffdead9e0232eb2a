"""When trainers are due, in which order messages are taken, and what a restart needs."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from itertools import permutations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball_proto.columns import F32, F64, I64, U8, Flow, Mark, Rows, Samples
from flyball_proto.events import ModelTrained
from flyball_proto.judgements import Drifted
from flyball_trainer.learning.lanes import Lanes, Reached
from flyball_trainer.learning.ledger import Entry, Ledger
from flyball_trainer.learning.pace import Due, Pace
from flyball_trainer.learning.schedule import (
    MIN_NEW_ROWS,
    Cadence,
    Progress,
    due,
    failed,
    known,
    noticed,
    recovered,
    trained,
)
from flyball_trainer.training.split import MIN_ROWS

HORIZON_MS = 1_000
EVERY = Cadence("recent", retrain_every_ms=60_000, on_drift=True)
NEVER_ON_DRIFT = Cadence("recent", retrain_every_ms=60_000, on_drift=False)


def grown(progress: Progress, rows: int, *, first_ms: int = 0, step_ms: int = 1_000) -> Progress:
    time_ms = first_ms + step_ms * np.arange(rows, dtype=I64)
    return known(progress, time_ms + HORIZON_MS, time_ms)


ENOUGH = grown(Progress(), MIN_ROWS)


@pytest.mark.parametrize(
    ("progress", "cadence", "now_ms", "wanted"),
    [
        (Progress(), EVERY, 10**9, None),
        (grown(Progress(), MIN_ROWS - 1), EVERY, 10**9, None),
        (ENOUGH, EVERY, 100_000, "cadence"),
        # a hundred rows of one instant span no horizons
        (grown(Progress(), MIN_ROWS, step_ms=0), EVERY, 100_000, None),
        (grown(Progress(), MIN_ROWS, step_ms=101), EVERY, 100_000, None),
        (grown(trained(0), MIN_NEW_ROWS), EVERY, 60_000, "cadence"),
        (grown(trained(0), MIN_NEW_ROWS), EVERY, 59_999, None),
        (grown(trained(0), MIN_NEW_ROWS - 1), EVERY, 10**9, None),
        (noticed(grown(trained(0), MIN_NEW_ROWS)), EVERY, 15_000, "drift"),
        (noticed(grown(trained(0), MIN_NEW_ROWS)), EVERY, 14_999, None),
        (noticed(grown(trained(0), MIN_NEW_ROWS)), EVERY, 60_000, "cadence"),
        (noticed(grown(trained(0), MIN_NEW_ROWS)), NEVER_ON_DRIFT, 59_999, None),
        (noticed(grown(Progress(), MIN_NEW_ROWS)), EVERY, 10**9, None),
        (failed(ENOUGH, 100_000), EVERY, 159_999, None),
        (failed(ENOUGH, 100_000), EVERY, 160_000, "cadence"),
    ],
)
def test_when_a_trainer_is_due_and_why(
    progress: Progress, cadence: Cadence, now_ms: int, wanted: str | None
) -> None:
    assert due(progress, cadence, now_ms=now_ms, horizon_ms=HORIZON_MS) == wanted


def test_rows_whose_truth_the_last_training_knew_are_not_new() -> None:
    times = np.arange(10, dtype=I64) * 1_000
    assert known(trained(5_000), times, times).rows == 4


@given(st.lists(st.integers(0, 50), min_size=1, max_size=60), st.integers(1, 20))
def test_message_borders_change_nothing_about_progress(times: list[int], cut: int) -> None:
    whole = known(trained(10), np.array(times, I64), np.array(times, I64))
    parts = trained(10)
    for start in range(0, len(times), cut):
        some = np.array(times[start : start + cut], I64)
        parts = known(parts, some, some)
    assert parts == whole


def model(trainer: str, through_ms: int, digest: str = "f") -> ModelTrained:
    return ModelTrained(
        pipeline="p",
        at=datetime.now(UTC),
        digest="d",
        manifest_digest="m",
        trainer=trainer,
        feature_digest=digest,
        size_bytes=1,
        trained_through_ms=through_ms,
    )


def drift(event_ms: int) -> Drifted:
    return Drifted(pipeline="p", at=datetime.now(UTC), on="loss", event_ms=event_ms, detail="")


def test_a_restarted_trainer_knows_what_was_trained_and_which_drift_was_not_answered() -> None:
    events = [model("a", 1), model("b", 1), model("a", 2, "other"), drift(3), model("b", 4)]
    assert recovered(events, "f") == {"a": noticed(trained(1)), "b": trained(4)}


def test_what_came_during_a_training_counts_towards_the_next_one() -> None:
    pace = Pace({})
    feed(pace, 0, MIN_ROWS)
    assert pace.due([EVERY], HORIZON_MS, at_mark=False) == [Due("recent", "cadence")]
    pace.begin("recent")
    began_ms = pace.now_ms
    assert pace.due([EVERY], HORIZON_MS, at_mark=False) == []
    feed(pace, MIN_ROWS, 60)
    pace.end("recent", "trained", began_ms)
    assert pace.due([EVERY], HORIZON_MS, at_mark=False) == [Due("recent", "cadence")]


def test_rows_that_were_refused_are_looked_at_again_at_a_mark_or_when_enough_came() -> None:
    pace = Pace({})
    feed(pace, 0, MIN_ROWS)
    pace.begin("recent")
    pace.end("recent", "refused", pace.now_ms)
    assert pace.due([EVERY], HORIZON_MS, at_mark=False) == []
    assert pace.due([EVERY], HORIZON_MS, at_mark=True) == [Due("recent", "cadence")]
    feed(pace, MIN_ROWS, MIN_NEW_ROWS)
    assert pace.due([EVERY], HORIZON_MS, at_mark=False) == [Due("recent", "cadence")]


def test_rows_that_came_while_others_were_refused_are_looked_at() -> None:
    pace = Pace({})
    feed(pace, 0, MIN_ROWS)
    pace.begin("recent")
    feed(pace, MIN_ROWS, MIN_NEW_ROWS)
    pace.end("recent", "refused", pace.now_ms)
    assert pace.due([EVERY], HORIZON_MS, at_mark=False) == [Due("recent", "cadence")]


def test_a_trainer_that_is_added_later_counts_what_came_before() -> None:
    pace = Pace({})
    feed(pace, 0, MIN_ROWS)
    pace.begin("recent")
    pace.end("recent", "trained", pace.now_ms)
    late = Cadence("late", 60_000, on_drift=False)
    assert pace.due([EVERY, late], HORIZON_MS, at_mark=False) == [Due("late", "cadence")]


def test_censored_rows_count_for_nothing_but_the_time() -> None:
    pace = Pace({})
    feed(pace, 0, MIN_ROWS, usable=False)
    assert pace.now_ms == MIN_ROWS * 1_000
    assert pace.due([EVERY], HORIZON_MS, at_mark=True) == []


def feed(pace: Pace, first: int, rows: int, *, usable: bool = True) -> None:
    time_ms = 1_000 * np.arange(first, first + rows, dtype=I64)
    pace.know(time_ms + HORIZON_MS, time_ms, np.full(rows, usable))


@dataclass(frozen=True)
class Message:
    partition: int
    sequence: int
    samples: Samples | None


def message(
    partition: int, sequence: int, mark: str | None = None, *, last: bool = False
) -> Message:
    none = np.empty(0, I64)
    found = Samples(
        "p",
        "f",
        Flow(mark=None if mark is None else Mark(mark, sequence, last)),
        Rows.none(),
        np.empty((0, 1), F32),
        *(np.empty(0, F64), none, np.empty(0, F64), np.empty(0, U8)),
        (),
        *(np.empty(0, U8), np.empty(0, F64), np.empty(0, U8), np.empty(0, U8)),
    )
    return Message(partition, sequence, found)


def steps(lanes: Lanes, messages: Sequence[Message]) -> list[str]:
    said = []
    for sent in messages:
        for step in lanes.push(sent):
            if isinstance(step, Reached):
                said.append(f"mark {step.mark.id}")
            else:
                said.append(f"{step.partition}:{step.sequence}")
    return said


def lanes_of(partitions: int, *ends: int) -> Lanes:
    lanes = Lanes(partitions)
    for partition in range(partitions):
        lanes.begin(partition, ends[partition] if ends else 0)
    return lanes


def test_live_messages_are_taken_as_they_come() -> None:
    assert steps(lanes_of(2), [message(1, 1), message(0, 2)]) == ["1:1", "0:2"]


def test_in_lockstep_the_order_does_not_depend_on_which_partition_is_faster() -> None:
    left = [message(0, 1, "first"), message(0, 3), message(0, 5, "second")]
    right = [message(1, 2, "first"), message(1, 4), message(1, 6, "second")]
    wanted = ["0:1", "1:2", "mark first", "0:3", "0:5", "1:4", "1:6", "mark second"]
    found = {
        tuple(steps(lanes_of(2), order))
        for order in permutations([*left, *right])
        if in_order(order, left) and in_order(order, right)
    }
    assert found == {tuple(wanted)}


def in_order(order: Sequence[Message], part: Sequence[Message]) -> bool:
    return [m for m in order if m in part] == list(part)


def test_behind_the_last_mark_messages_are_taken_as_they_come_again() -> None:
    lanes = lanes_of(1)
    sent = [message(0, 1, "a"), message(0, 2), message(0, 3, "b", last=True), message(0, 4)]
    assert steps(lanes, sent) == ["0:1", "mark a", "0:2", "0:3", "mark b", "0:4"]
    assert not lanes.in_lockstep


def test_the_last_mark_is_settled_in_lockstep() -> None:
    lanes = lanes_of(1)
    modes = []
    for sent in (message(0, 1, "a"), message(0, 2, "b", last=True)):
        modes += [lanes.in_lockstep for step in lanes.push(sent) if isinstance(step, Reached)]
    assert modes == [True, True]
    assert not lanes.in_lockstep


def test_rows_in_lockstep_wait_for_their_mark_and_are_held() -> None:
    lanes = lanes_of(1)
    assert steps(lanes, [message(0, 1, "a"), message(0, 2), message(0, 3)])[-1] == "mark a"
    assert (lanes.in_lockstep, lanes.held(0)) == (True, 2)


def test_a_restart_settles_only_the_newest_mark_once_it_has_read_everything() -> None:
    lanes = lanes_of(1, 5)
    stored = [message(0, 1, "a"), message(0, 2), message(0, 3, "b"), message(0, 4)]
    assert steps(lanes, stored) == ["0:1"]
    assert not lanes.caught_up
    assert steps(lanes, [message(0, 5, "c")]) == ["0:2", "0:3", "0:4", "0:5", "mark c"]
    assert lanes.in_lockstep


def test_a_restart_that_was_purged_unevenly_settles_what_all_partitions_still_have() -> None:
    lanes = lanes_of(2, 5, 6)
    stored = [message(1, 2, "a"), message(1, 4, "b"), message(0, 5, "c"), message(1, 6, "c")]
    assert steps(lanes, stored) == ["0:5", "1:2", "1:4", "1:6", "mark c"]


def test_positions_without_content_let_a_restart_catch_up() -> None:
    lanes = lanes_of(1, 2)
    assert steps(lanes, [message(0, 1, "a")]) == []
    assert steps(lanes, [Message(0, 2, None)]) == ["0:1", "mark a"]


def test_a_ledger_holds_what_is_in_the_window_and_the_newest_mark() -> None:
    ledger = Ledger(1_000)
    assert ledger.needed() == 0
    for sequence in (3, 5, 7):
        ledger.note(Entry(sequence, 100, newest_ms=sequence * 10))
    assert ledger.needed() == 3
    ledger.forget_before(50)
    assert ledger.needed() == 5
    ledger.mark(5)
    ledger.forget_before(1_000)
    assert ledger.needed() == 5
    ledger.mark(None)
    assert ledger.needed() == 8
    assert ledger.needed(held=6) == 6


def test_a_ledger_never_holds_more_than_its_bytes() -> None:
    ledger = Ledger(250)
    for sequence in (1, 2, 3):
        ledger.note(Entry(sequence, 100, newest_ms=0))
    assert ledger.needed() == 2
