"""What elements say about actions, against a real broker: heard, told, and missed when it is not said."""

import json
import logging
from datetime import timedelta

import pytest
from faststream.nats import NatsBroker
from nats.aio.client import Client
from tests.broker.risk_world import actions, risk_service, stored, until
from tests.unit.risk_rows import Row, batch, pipeline

from flyball_kit import clock
from flyball_kit.announce import Announcer
from flyball_kit.kv import Change, Kv
from flyball_proto import streams
from flyball_proto.columns import encode_decisions
from flyball_proto.outcomes import (
    ActionOutcome,
    ActionRejected,
    ActionsUnacknowledged,
    AnyRecord,
    Awaited,
    Told,
    action_outcomes,
)
from flyball_risk.acknowledging.following import MAX_REJECTED, Acknowledging

pytestmark = pytest.mark.broker

PATIENT = {"action": "offload", "score_at_least": 0.5, "cooldown": "5s", "acknowledge": "1h"}


async def apply(client: Client, **changed: str) -> None:
    data = pipeline(PATIENT | changed).model_dump_json(by_alias=True).encode()
    await client.jetstream().publish("$KV.pipelines.pipeline.congestion", data)


async def decide(client: Client, *elements: str) -> None:
    rows = [Row(element, 1000 * i, 0.99) for i, element in enumerate(elements)]
    await client.jetstream().publish("decisions.congestion.0", encode_decisions(batch(rows)))


async def found(client: Client) -> dict[str, ActionOutcome]:
    records = await Kv[AnyRecord](lambda: client, streams.ACKNOWLEDGED, AnyRecord).items()
    listed = action_outcomes({key: record for key, (record, _) in records.items()})
    return {one.element: one for one in listed}


async def say(client: Client, element: str, decision: str, result: str) -> None:
    body = json.dumps({"decision": decision, "result": result, "detail": "in maintenance"}).encode()
    await client.jetstream().publish(f"outcomes.congestion.{element}", body)


async def events(client: Client, what: str) -> list[bytes]:
    return [m.data for m in await stored(client, "EVENTS") if m.subject.endswith(f".{what}")]


async def test_an_element_says_that_it_applied_or_rejected_an_action(
    provisioned: Client, nats_url: str
):
    client = provisioned
    await apply(client)
    async with risk_service(nats_url):
        await decide(client, "cell-1", "cell-2", "cell-3")
        await until(lambda: _count(client, 3))
        sent = {action.element: action.decision for action in await actions(client)}
        await say(client, "cell-1", sent["cell-1"], "applied")
        await say(client, "cell-2", sent["cell-2"], "rejected")
        await say(client, "cell-1", sent["cell-3"], "failed")  # not its own

        async def heard() -> bool:
            now = await found(client)
            return {now["cell-1"].state, now["cell-2"].state} == {"applied", "rejected"}

        await until(heard)
        await until(lambda: events(client, "action-rejected"))
    (told,) = map(ActionRejected.model_validate_json, await events(client, "action-rejected"))
    assert (told.element, told.action, told.detail) == ("cell-2", "offload", "in maintenance")
    assert (await found(client))["cell-3"].state == "awaited"


async def test_an_action_without_a_word_in_time_is_visible_and_told_once(
    provisioned: Client, nats_url: str
):
    client = provisioned
    await apply(client, acknowledge="50ms")
    async with risk_service(nats_url):
        await decide(client, "cell-1")
        await until(lambda: events(client, "actions-unacknowledged"))
    async with risk_service(nats_url):  # a restart tells nothing again

        async def overdue() -> bool:
            return (await found(client))["cell-1"].state == "overdue"

        await until(overdue)
        sent = (await actions(client))[0].decision
        await say(client, "cell-1", sent, "applied")

        async def late() -> bool:
            return (await found(client))["cell-1"].state == "applied"

        await until(late)
    said = [
        ActionsUnacknowledged.model_validate_json(x)
        for x in await events(client, "actions-unacknowledged")
    ]
    assert [event.decisions for event in said] == [(sent,)]


async def test_what_is_no_outcome_is_kept_in_quarantine(provisioned: Client, nats_url: str):
    client = provisioned
    await apply(client)
    async with risk_service(nats_url):
        await client.jetstream().publish("outcomes.congestion.cell-1", b"done!")
        await until(lambda: stored(client, "QUARANTINE"))
    (kept,) = await stored(client, "QUARANTINE")
    assert (kept.subject, kept.data) == ("quarantine._outcomes.congestion", b"done!")


async def _count(client: Client, expected: int) -> bool:
    return len(await found(client)) == expected


def reject(following: Acknowledging, number: int) -> None:
    """The record of an action, and the word that it was not done."""
    decision, now = f"congestion.{number}.0", clock.utc_now()
    sent = Awaited(
        pipeline="congestion", decision=decision, element="e", action="offload",
        sent_at=now, due_at=now + timedelta(hours=1),
    )  # fmt: skip
    said = Told(decision=decision, element="e", result="rejected", at=now)
    following._take(Change(decision, sent, 1))
    following._take(Change(f"{decision}.told", said, 2))


async def test_words_beyond_what_may_wait_for_the_broker_are_dropped_and_counted(
    provisioned: Client, nats_url: str, caplog: pytest.LogCaptureFixture
):
    async with NatsBroker(nats_url) as broker:
        announcer = Announcer(broker, ActionRejected)
        await broker.start()
        following = Acknowledging(lambda: provisioned, announcer)
        for number in range(MAX_REJECTED + 3):
            reject(following, number)
        assert following.not_applied("congestion", f"congestion.{MAX_REJECTED + 2}.0")
        with caplog.at_level(logging.WARNING, "flyball.risk.acknowledging"):
            await following._tell(clock.utc_now())
            await following._tell(clock.utc_now())
    assert caplog.messages == ["3 action-rejected events were dropped: 1000 waited already"]
    info = await provisioned.jetstream().stream_info("EVENTS")
    assert info.state.messages == MAX_REJECTED
