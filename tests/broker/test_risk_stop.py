"""A person stops a pipeline: nothing goes out after the reply, and what was held back is named."""

import asyncio
from typing import Any

import pytest
from nats.aio.client import Client
from tests.broker.risk_world import actions, risk_service, stored, until
from tests.broker.test_risk_holds import SCORE, acts, apply, ask, feed, records, until_held
from tests.unit.risk_rows import Row

from flyball_kit.clock import utc_now
from flyball_local.audit import Account, Ledger
from flyball_local.audit.ledger import key_of
from flyball_proto.columns import Verdict, decode_verdicts
from flyball_proto.commands import ResumePipeline, StopPipeline, StopReply
from flyball_proto.holds import ActionsStopped, Stop

pytestmark = pytest.mark.broker
SURE = 0.999


async def command(client: Client, verb: str, by: str = "ana", why: str = "smoke") -> StopReply:
    kind = StopPipeline if verb == "stop" else ResumePipeline
    data = kind(pipeline="congestion", by=by, why=why).model_dump_json().encode()
    reply = await client.request(f"cmd.risk.{verb}", data, timeout=20)
    return StopReply.model_validate_json(reply.data)


async def judged(client: Client) -> list[Any]:
    return [decode_verdicts(m.data) for m in await stored(client, "VERDICTS") if m.data]


async def until_judged(client: Client, rows: int) -> None:
    async def there() -> bool:
        return sum(len(v.rows) for v in await judged(client)) >= rows

    await until(there)


async def stopped_decisions(client: Client) -> list[str]:
    found = [
        ActionsStopped.model_validate_json(m.data)
        for m in await stored(client, "EVENTS")
        if m.subject == "risk.congestion.actions-stopped"
    ]
    return [decision for event in found for decision in event.decisions]


async def account(client: Client) -> Account:
    ledger = Ledger("congestion")
    for batch in await judged(client):
        for sequence in batch.rows.sequence.tolist():
            ledger.received(0, sequence, 1)
        ledger.judged(0, batch)
    for action in await actions(client):
        ledger.acted(key_of(action.decision), action.element, action.action)
    for decision in await stopped_decisions(client):
        ledger.stopped(key_of(decision))
    return ledger.account()


def sure_rows(first: int, count: int) -> list[Row]:
    return [Row(f"cell-{i}", 1000, SURE) for i in range(first, first + count)]


async def test_under_load_nothing_goes_out_after_the_reply_and_the_books_close(
    provisioned: Client, nats_url: str
) -> None:
    await apply(provisioned, budgets={"actions_per_minute": 1_000_000})
    js = provisioned.jetstream()
    arrived = asyncio.Event()

    async def on_action(_: Any) -> None:
        arrived.set()

    await provisioned.subscribe("actions.>", cb=on_action)
    async with risk_service(nats_url):
        await feed(provisioned, *sure_rows(0, 1500))
        async with asyncio.timeout(30):
            await arrived.wait()
        reply = await command(provisioned, "stop")
        sent = (await js.stream_info("ACTIONS")).state.last_seq
        await feed(provisioned, *sure_rows(1500, 10), first=1501)
        assert reply.changed
        assert reply.state is not None
        assert (reply.state.stopped, reply.state.by) == (True, "ana")
        again = await command(provisioned, "stop", by="ben")
        assert not again.changed
        assert again.state == reply.state
        await until_judged(provisioned, 1510)

        async def all_named() -> bool:
            return (await account(provisioned)).closes

        await until(all_named)
        assert (await js.stream_info("ACTIONS")).state.last_seq == sent < 1500
        newest = [v for v in await judged(provisioned) if len(v.rows)][-1]
        assert set(newest.verdict.tolist()) == {Verdict.DENY}
        assert newest.reason == ("offload: denied, the pipeline is stopped by ana: smoke",)
        assert newest.flow.revisions["stop"] > 0
        resumed = await command(provisioned, "resume", by="ben", why="clear")
        assert resumed.changed
        await feed(provisioned, *sure_rows(2000, 3), first=1511)

        async def goes_on() -> bool:
            return (await js.stream_info("ACTIONS")).state.last_seq >= sent + 3

        await until(goes_on)
    found = await account(provisioned)
    assert found.closes
    assert found.actions == sent + 3
    assert found.actions_stopped == 1500 - sent == len(set(await stopped_decisions(provisioned)))
    newest_actions = [a.element for a in (await actions(provisioned))[-3:]]
    assert sorted(newest_actions) == ["cell-2000", "cell-2001", "cell-2002"]
    subjects = [m.subject for m in await stored(provisioned, "EVENTS")]
    assert subjects.count("risk.congestion.stopped") == 1
    assert subjects.count("risk.congestion.resumed") == 1
    assert [a[:3] for a in await acts(provisioned)] == [
        ("stop", "pipeline congestion", "ana"),
        ("stop", "pipeline congestion", "ben"),
        ("resume", "pipeline congestion", "ben"),
    ]


async def test_a_stop_outlives_a_restart_and_what_a_killed_predecessor_did_not_tell_is_told(
    provisioned: Client, nats_url: str
) -> None:
    await apply(provisioned)
    stop = Stop(pipeline="congestion", stopped=True, by="ana", why="", at=utc_now())
    js = provisioned.jetstream()
    await feed(provisioned, *sure_rows(0, 5))  # judged clear: no order has reached them
    await js.publish("$KV.stops.congestion", stop.model_dump_json().encode())
    for _ in range(2):
        async with risk_service(nats_url):

            async def named() -> bool:
                return len(await stopped_decisions(provisioned)) >= 5

            await until(named)
    assert sorted(await stopped_decisions(provisioned)) == [
        f"congestion.{i}.0" for i in range(1, 6)
    ]
    assert await actions(provisioned) == []
    subjects = [m.subject for m in await stored(provisioned, "EVENTS")]
    assert subjects.count("risk.congestion.stopped") == 1
    async with risk_service(nats_url):
        await feed(provisioned, *sure_rows(5, 1), first=6)
        await until_judged(provisioned, 6)
        assert (await judged(provisioned))[-1].verdict.tolist() == [Verdict.DENY]
        await command(provisioned, "resume")
    async with risk_service(nats_url):  # and a resumption, too
        await feed(provisioned, *sure_rows(6, 1), first=7)

        async def sent() -> bool:
            return bool(await actions(provisioned))

        await until(sent)
    assert [a.decision for a in await actions(provisioned)] == ["congestion.7.0"]
    assert (await account(provisioned)).actions_stopped == 5


async def test_while_stopped_holds_stay_open_and_only_a_denial_is_taken(
    provisioned: Client, nats_url: str
) -> None:
    await apply(provisioned)
    async with risk_service(nats_url):
        await feed(provisioned, Row("a", 1000, SCORE), Row("b", 1000, SCORE))
        await until_held(provisioned, 2)
        await command(provisioned, "stop")
        refused = await ask(provisioned, "congestion.1.0", "approve")
        denied = await ask(provisioned, "congestion.2.0", "deny")
        assert refused.error is not None
        assert refused.error.kind == "stopped"
        assert "the pipeline is stopped by ana: smoke" in refused.error.message
        assert denied.ok
        assert (await records(provisioned))["congestion.1.0"].state == "open"
        await command(provisioned, "resume")
        approved = await ask(provisioned, "congestion.1.0", "approve")
        assert approved.ok

        async def sent() -> bool:
            return bool(await actions(provisioned))

        await until(sent)
    assert [a.decision for a in await actions(provisioned)] == ["congestion.1.0"]


async def test_a_pipeline_that_nobody_applied_cannot_be_stopped(
    provisioned: Client, nats_url: str
) -> None:
    async with risk_service(nats_url):
        reply = await command(provisioned, "stop")
    assert reply.error is not None
    assert reply.error.kind == "not-found"
