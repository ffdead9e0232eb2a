"""The law of deployments: its table is the README's, and no sequence of anything breaks it."""

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.test_deployer_rollout import (
    A2,
    DAY_MS,
    NOW,
    canary,
    degraded,
    deployment,
    looked,
    model,
    numbered,
    placed,
    refreshed,
    rolled,
    superior,
    trip,
)
from tests.unit.test_deployer_steering import PINNED, WHO, promote

import flyball_deployer
from flyball_deployer.law import LAW, State, breach, state_of
from flyball_deployer.moves import Move, Stay, Transition
from flyball_deployer.policy import ATTRIBUTION_MS, Policy
from flyball_deployer.rollout import Seat, decide
from flyball_deployer.steering import steer
from flyball_proto.commands import Failure, PinSeat, RollBackSeat, UnpinSeat
from flyball_proto.deployments import ActiveModel
from flyball_proto.events import ModelTripped

README = Path(flyball_deployer.__file__).parents[1] / "README.md"
ORDERS = (PinSeat, UnpinSeat, RollBackSeat)


def words(states: frozenset[State]) -> set[str]:
    if states == frozenset(State) - {State.EMPTY}:
        return {"any"}
    return {str(state) for state in states}


def test_the_table_of_moves_in_the_readme_is_the_one_in_force() -> None:
    rows = re.findall(
        r"^\| `([a-z-]+)` \| ([a-z, ]+) \| ([a-z, ]+) \|", README.read_text(), re.MULTILINE
    )
    found = {name: (set(begins.split(", ")), set(ends.split(", "))) for name, begins, ends in rows}
    assert found == {
        str(move): (words(law.begins), {"same"} if law.same else words(law.ends))
        for move, law in LAW.items()
    }
    assert set(LAW) == set(Move)


@pytest.mark.parametrize(
    ("record", "state"),
    [
        (None, "empty"),
        (deployment("a1"), "steady"),
        (deployment("a1", canary("c1")), "canary"),
        (deployment("a1", frozen=True), "frozen"),
        (deployment("a1", frozen=True, pinned=PINNED), "pinned"),
    ],
)
def test_a_deployment_is_in_one_state(record: ActiveModel | None, state: str) -> None:
    assert state_of(record) == state


def moved(before: ActiveModel, move: Move, **fields: Any) -> str | None:
    fields = {"epoch": before.epoch + 1} | fields
    return breach(before, Transition(before.model_copy(update=fields), (), "", move))


C1 = placed("c1").model_dump()


@pytest.mark.parametrize(
    ("before", "move", "fields", "words"),
    [
        (deployment("a1", frozen=True), Move.SUCCESSION, C1, "from frozen to frozen"),
        (deployment("a1", pinned=PINNED), Move.REFRESH, C1, "from pinned to pinned"),
        (deployment("a1"), Move.CANARY_END, {}, "from steady to steady"),
        (deployment("a1"), Move.FREEZE, {"frozen": True, "canary": canary("c1")}, "canary cannot"),
        (deployment("a1"), Move.NOTE, {}, "epoch would go from 4 to 5"),
        (deployment("a1"), Move.SUCCESSION, C1 | {"epoch": 4}, "epoch would go from 4 to 4"),
        (deployment("a1"), Move.SUCCESSION, C1 | {"epoch": 6}, "epoch would go from 4 to 6"),
        (deployment("a1"), Move.NOTE, {"epoch": 4, "handled": 3}, "judgement 7 was acted on"),
        (deployment("a1", rolled_back=("c1",)), Move.SUCCESSION, C1, "c1 was rolled back"),
        (
            deployment("a1", rolled_back=("c1",)),
            Move.CANARY_STEP,
            {"canary": canary("c1")},
            "c1 was rolled back",
        ),
        (
            rolled("a1"),
            Move.ROLLBACK,
            placed("b1").model_dump() | {"rollback_ms": 2 * DAY_MS - 1},
            "would not be frozen",
        ),
    ],
)
def test_a_move_against_the_law_is_named(
    before: ActiveModel, move: Move, fields: dict[str, Any], words: str
) -> None:
    assert words in (moved(before, move, **fields) or "")


def test_lawful_moves_are_let_through() -> None:
    assert moved(deployment("a1"), Move.SUCCESSION, **C1) is None
    assert moved(deployment("a1", rolled_back=("c1",)), Move.PROMOTION, **C1) is None
    assert moved(A2, Move.NOTE, epoch=4, handled=8) is None


def _anything() -> st.SearchStrategy[list[Any]]:
    digests = st.sampled_from(["a1", "a2", "c1", "c2", "l1", "b1"])
    trainers = st.sampled_from(["baseline", "recent", "long", "linear"])
    outcomes = st.sampled_from(["pass", "pass", "fail", "inconclusive", "error"])
    decisions = st.sampled_from(["roll-back", "roll-back", "retrain", "compare"])
    event_ms = st.integers(1, 4 * DAY_MS)
    orders = st.sampled_from([kind(**WHO) for kind in ORDERS])
    return st.lists(
        st.one_of(
            st.builds(superior, digests, trainers),
            st.builds(refreshed, digests, digests),
            st.builds(looked, digests, outcomes, st.integers(1, 30)),
            st.builds(lambda d, x, t: degraded(d, x, event_ms=t), digests, decisions, event_ms),
            st.builds(trip, digests),
            st.builds(promote, digests),
            orders,
        ),
        max_size=40,
    )


def aimed(event: Any, record: ActiveModel) -> Any:
    """The event as somebody who knows the deployment would send it; else few would do anything."""
    update: dict[str, Any] = {}
    match getattr(event, "kind", ""):
        case "superior":
            update = {"over": record.trainer}
        case "refreshed":
            update = {"trainer": record.trainer, "replaces": record.digest}
        case "degraded":
            update = {"digest": record.digest}
        case "canary-judged" if record.canary is not None:
            update = {"digest": record.canary.digest, "epoch": record.canary.epoch}
    return event.model_copy(update=update)


def apply(record: ActiveModel, event: Any) -> Transition | Stay | Failure:
    digest = getattr(event, "digest", None)
    seat = Seat(record, model("b1"), model(digest) if digest else None)
    if hasattr(event, "why"):
        return steer(seat, event, now=NOW)
    return decide(seat, event, Policy(), now=NOW)


@given(st.lists(st.booleans(), min_size=40, max_size=40), _anything())
@settings(max_examples=300)
def test_whatever_comes_from_evidence_runtimes_and_people_breaks_no_law(
    with_aim: list[bool], events: list[Any]
) -> None:
    record = deployment("b1", epoch=1, handled=0)
    for place, sent in enumerate(events, 1):
        event = aimed(sent, record) if with_aim[place - 1] else sent
        by_person = hasattr(event, "why")
        found = apply(record, event if by_person else numbered(event, place))
        if not isinstance(found, Transition):
            continue
        assert breach(record, found) is None, (record, found)
        check(record, found.record, event, by_person=by_person)
        record = found.record


def check(before: ActiveModel, record: ActiveModel, event: Any, *, by_person: bool) -> None:
    """What the law promises to people, said without it."""
    assert record.epoch in (before.epoch, before.epoch + 1)
    assert (record.epoch == before.epoch) == (
        (before.active, before.canary) == (record.active, record.canary)
    )
    if record.canary is not None:
        assert not record.frozen
        assert record.pinned is None
    if by_person:
        return
    replaced = before.digest != record.digest
    held = before.frozen or before.pinned is not None
    assert not (held and replaced) or isinstance(event, ModelTripped)
    left = replaced and before.digest in set(record.rolled_back) - set(before.rolled_back)
    assert not (before.set_by and left) or isinstance(event, ModelTripped)
    returned = record.digest in before.rolled_back and replaced
    assert not returned or record.trainer == "baseline"
    if record.rollback_ms != before.rollback_ms and before.rollback_ms > 0:
        apart_ms = record.rollback_ms - before.rollback_ms
        assert apart_ms >= ATTRIBUTION_MS or record.frozen
    assert before.pinned == record.pinned
