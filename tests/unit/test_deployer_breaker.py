"""While a pipeline's breaker is not closed nobody comes by itself; afterwards what was put off is done."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.test_deployer_rollout import (
    NOW,
    canary,
    degraded,
    deployment,
    looked,
    model,
    refreshed,
    superior,
)

from flyball_deployer.law import breach
from flyball_deployer.moves import Move, Stay, Transition
from flyball_deployer.policy import Policy
from flyball_deployer.rollout import Seat, decide, take_up
from flyball_deployer.steering import steer
from flyball_proto.breakers import BreakerRecord
from flyball_proto.commands import PromoteModel
from flyball_proto.deployments import ActiveModel
from flyball_proto.judgements import AnyJudgement

BREAKER = BreakerRecord(
    pipeline="p",
    partition=0,
    state="open",
    number=1,
    reason="40% of 100 proposals are high-risk",
    clock_ms=0,
    until_ms=1,
    at=NOW,
)
POLICY = Policy()


def done(seat: Seat, judgement: AnyJudgement) -> Transition:
    made = decide(seat, judgement, POLICY, now=NOW)
    assert isinstance(made, Transition)
    assert breach(seat.record, made) is None
    return made


@pytest.mark.parametrize(
    ("record", "judgement", "then"),
    [
        (deployment("a1"), superior("c1", "recent"), {"canary": "c1", "epoch": 5}),
        (deployment("a1"), refreshed("a2", "a1"), {"active": "a2", "epoch": 5}),
        (deployment("a1", canary("c1")), looked("c1", "pass"), {"canary": "c1", "epoch": 5}),
        (deployment("a1", canary("c1", 25, 1)), looked("c1", "pass"), {"active": "c1", "epoch": 5}),
    ],
)
def test_who_would_come_is_put_off_and_comes_when_the_breaker_closes(
    record: ActiveModel, judgement: AnyJudgement, then: dict[str, Any]
) -> None:
    seat = Seat(record, named=model(judgement.digest), breaker=BREAKER)  # type: ignore[union-attr]
    made = done(seat, judgement)
    assert made.move is Move.NOTE
    assert (made.record.active, made.record.canary) == (record.active, record.canary)
    assert made.record.put_off == (judgement,)
    assert made.record.handled == judgement.number
    assert "put off, the pipeline's breaker is open (40% of 100" in made.record.outcome
    waiting = replace(seat, record=made.record)
    assert take_up(waiting, judgement, POLICY, now=NOW) == Stay("the breaker is open")
    closed = replace(waiting, breaker=None)
    taken = take_up(closed, judgement, POLICY, now=NOW)
    assert isinstance(taken, Transition)
    assert breach(made.record, taken) is None
    assert (taken.record.put_off, taken.record.epoch) == ((), then["epoch"])
    if "active" in then:
        assert taken.record.digest == then["active"]
    else:
        assert taken.record.canary is not None
        assert taken.record.canary.digest == then["canary"]
    again = take_up(replace(closed, record=taken.record), judgement, POLICY, now=NOW)
    assert isinstance(again, Stay)


def test_of_each_kind_the_newest_is_kept_and_a_later_number_stays_handled() -> None:
    record = deployment("a1")
    for judgement in (
        refreshed("a2", "a1", 8),
        superior("c1", "recent", 9),
        refreshed("a3", "a1", 10),
    ):
        record = done(Seat(record, breaker=BREAKER), judgement).record
    assert [j.number for j in record.put_off] == [9, 10]
    taken = take_up(Seat(record, named=model("c1")), record.put_off[0], POLICY, now=NOW)
    assert isinstance(taken, Transition)
    assert breach(record, taken) is None
    assert taken.record.handled == 10
    assert [j.number for j in taken.record.put_off] == [10]


def test_who_does_harm_leaves_a_canary_that_fails_ends_and_a_person_promotes_all_the_same() -> None:
    harmed = done(
        Seat(deployment("a2", anchor=deployment("a1").active), breaker=BREAKER), degraded("a2")
    )
    assert harmed.record.digest == "a1"
    failed = done(Seat(deployment("a1", canary("c1")), breaker=BREAKER), looked("c1", "fail"))
    assert failed.record.canary is None
    order = PromoteModel(pipeline="p", digest="c1", by="ann", why="so")
    made = steer(Seat(deployment("a1"), named=model("c1"), breaker=BREAKER), order, now=NOW)
    assert isinstance(made, Transition)
    assert made.record.digest == "c1"


def test_what_no_longer_fits_when_it_is_taken_up_moves_nothing() -> None:
    record = done(Seat(deployment("a1"), breaker=BREAKER), refreshed("a2", "a1")).record
    moved = record.model_copy(update={"digest": "c1", "trainer": "long"})
    taken = take_up(Seat(moved, named=model("a2")), record.put_off[0], POLICY, now=NOW)
    assert isinstance(taken, Transition)
    assert (taken.move, taken.record.digest, taken.record.put_off) == (Move.NOTE, "c1", ())
