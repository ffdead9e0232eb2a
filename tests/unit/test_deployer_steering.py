"""The table of what people may ask of a deployment, and of what evidence may do behind them."""

from dataclasses import replace
from typing import Any

import pytest
from tests.unit.test_deployer_rollout import (
    A2,
    BOLD,
    DAY_MS,
    NOW,
    after,
    canary,
    degraded,
    deployment,
    looked,
    model,
    placed,
    refreshed,
    rolled,
    superior,
    told,
    trip,
)

from flyball_deployer.moves import Transition
from flyball_deployer.rollout import Seat, decide
from flyball_deployer.steering import Order, steer
from flyball_proto.commands import Failure, PinSeat, PromoteModel, RollBackSeat, UnpinSeat
from flyball_proto.deployments import ActiveModel, Pin

WHO: dict[str, Any] = {"pipeline": "p", "by": "ann", "why": "storm"}
OTHER_FEATURES = deployment("a1").model_copy(update={"feature_digest": "other"})
PINNED = Pin(by="bob", why="audit", at=NOW)


def promote(digest: str) -> PromoteModel:
    return PromoteModel(digest=digest, **WHO)


def done(seat: Seat, order: Order) -> Transition:
    made = steer(seat, order, now=NOW)
    assert isinstance(made, Transition), made
    return made


def refused(seat: Seat, order: Order) -> Failure:
    made = steer(seat, order, now=NOW)
    assert isinstance(made, Failure), made
    return made


@pytest.mark.parametrize(
    ("before", "order", "who", "epoch", "announced"),
    [
        (deployment("b1"), promote("a1"), "a1", 5, ["promotion a1 for b1"]),
        (A2, promote("c1"), "c1", 5, ["promotion c1 for a2"]),
        (
            deployment("a1", canary("c1", 25)),
            promote("c1"),
            "c1",
            5,
            ["promotion c1 for a1", "canary c1 0"],
        ),
        (rolled("a1", rolled_back=("a2", "a3")), promote("a2"), "a2", 5, ["promotion a2 for a1"]),
        (deployment("a1", frozen=True), promote("c1"), "c1", 5, ["promotion c1 for a1"]),
        (A2, RollBackSeat(**WHO), "a1", 5, ["rollback a1 for a2"]),
        (deployment("a1"), RollBackSeat(**WHO), "b1", 5, ["rollback b1 for a1"]),
        (deployment("a1"), PinSeat(**WHO), "a1", 4, []),
        (deployment("a1", canary("c1")), PinSeat(**WHO), "a1", 5, ["canary c1 0"]),
        (deployment("a1", pinned=PINNED), UnpinSeat(**WHO), "a1", 4, []),
        (deployment("a1", frozen=True), UnpinSeat(**WHO), "a1", 4, []),
    ],
)
def test_an_order_moves_the_seat(
    before: ActiveModel, order: Order, who: str, epoch: int, announced: list[str]
) -> None:
    named = model(order.digest) if isinstance(order, PromoteModel) else None
    made = done(Seat(before, model("b1"), named), order)
    assert (made.record.digest, made.record.epoch) == (who, epoch)
    assert told(made.announcements) == announced
    assert "ann: storm" in made.reason
    assert not made.record.frozen
    assert made.record.canary is None


@pytest.mark.parametrize(
    ("seat", "order", "kind", "words"),
    [
        (Seat(), promote("a1"), "not-found", "has no deployment"),
        (Seat(deployment("a1")), promote("c1"), "not-found", "no admitted model"),
        (
            Seat(deployment("a1"), named=model("c1", stage="refused")),
            promote("c1"),
            "conflict",
            "refused admission",
        ),
        (Seat(deployment("a1"), named=model("a1")), promote("a1"), "conflict", "active already"),
        (
            Seat(OTHER_FEATURES, named=model("c1")),
            promote("c1"),
            "conflict",
            "made for features f",
        ),
        (Seat(deployment("b1")), RollBackSeat(**WHO), "conflict", "last fallback"),
        (Seat(deployment("a1", pinned=PINNED)), PinSeat(**WHO), "conflict", "by bob: audit"),
        (Seat(deployment("a1")), UnpinSeat(**WHO), "conflict", "nothing to do"),
    ],
)
def test_an_order_that_cannot_be_carried_out_says_why(
    seat: Seat, order: Order, kind: str, words: str
) -> None:
    found = refused(seat, order)
    assert found.kind == kind
    assert words in found.message


def test_what_a_person_promoted_is_its_own_anchor_and_may_be_refreshed() -> None:
    made = done(Seat(rolled("a1", rolled_back=("c1",)), named=model("c1")), promote("c1"))
    record = made.record
    assert (record.anchor, record.set_by, record.may_refresh) == (None, "ann", True)
    assert record.rolled_back == ()
    assert made.announcements[0].reason == "promoted by ann: storm"
    assert after(record, refreshed("c2", "c1"), BOLD)[:2] == ("c2", 6)


def test_a_person_s_rollback_is_remembered_and_does_not_count_as_an_automatic_one() -> None:
    record = done(Seat(A2, model("b1")), RollBackSeat(**WHO)).record
    assert record.rolled_back == ("a2",)
    assert record.rollback_ms == 0
    assert after(record, refreshed("a2", "a1"))[0] == "a1"


@pytest.mark.parametrize("event", [superior("c1", "recent"), refreshed("a9", "a2")])
def test_nothing_moves_a_pinned_seat_by_itself(event: Any) -> None:
    before = A2.model_copy(update={"pinned": PINNED})
    who, epoch, announced, reason = after(before, event, BOLD)
    assert (who, epoch, announced) == ("a2", 4, [])
    assert "pinned by bob: audit" in reason


@pytest.mark.parametrize("fields", [{"set_by": "ann"}, {"pinned": PINNED}])
def test_the_watch_does_not_undo_a_person_s_decision_but_asks_once(fields: dict[str, Any]) -> None:
    before = A2.model_copy(update=fields)
    made = after(before, degraded("a2"))
    assert made[:3] == ("a2", 4, ["asked a2"])
    assert "a person decides" in made[3]


def test_evidence_may_succeed_what_a_person_promoted_and_then_it_is_nobody_s_choice() -> None:
    record = done(Seat(deployment("b1"), named=model("a1")), promote("a1")).record
    seat = Seat(record, model("b1"), model("c1"))
    made = decide(seat, superior("c1", "recent"), BOLD, now=NOW)
    assert isinstance(made, Transition)
    assert (made.record.digest, made.record.set_by) == ("c1", "")


def test_a_person_s_choice_that_cannot_answer_leaves_and_a_person_is_told() -> None:
    before = A2.model_copy(update={"set_by": "ann", "heard_ms": DAY_MS})
    who, _, announced, reason = after(before, trip("a2"))
    assert who == "a1"
    assert announced == ["rollback a1 for a2", "asked a1"]
    assert "cannot answer" in reason


def test_an_old_canary_judgement_does_not_move_a_seat_that_was_pinned_meanwhile() -> None:
    record = done(Seat(deployment("a1", canary("c1", 5)), model("b1")), PinSeat(**WHO)).record
    assert after(replace_epoch(record), looked("c1", "pass"), BOLD)[0] == "a1"


def replace_epoch(record: ActiveModel) -> ActiveModel:
    """The record as read back."""
    return ActiveModel.model_validate_json(record.model_dump_json())


def test_an_anchor_is_where_a_rollback_by_a_person_leads() -> None:
    before = deployment("a2", anchor=placed("c1"))
    seat = replace(Seat(before), baseline=model("b1"))
    assert done(seat, RollBackSeat(**WHO)).record.digest == "c1"
