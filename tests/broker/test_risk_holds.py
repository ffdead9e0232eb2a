"""People answer decisions that wait: exactly once in effect, whatever is killed."""

import asyncio
from typing import Any

import pytest
from nats.aio.client import Client
from nats.errors import NoRespondersError
from tests.broker.risk_world import PATIENCE_S, actions, risk_process, risk_service, stored, until
from tests.unit.risk_rows import Row, batch, pipeline

from flyball_kit.clock import utc_now
from flyball_local.audit import Ledger
from flyball_proto.acts import Act
from flyball_proto.columns import Outcome, Result, decode_verdicts, encode_decisions
from flyball_proto.commands import AnswerHold, HoldReply
from flyball_proto.holds import Answer, Hold

pytestmark = pytest.mark.broker

RISKY = {
    "action": "offload",
    "score_at_least": 0.5,
    "severity": "high",
    "reversible": False,
    "cooldown": "60s",
}
SCORE = 0.7
"""Of high risk under `RISKY`: a person is asked."""


async def apply(client: Client, **risk: Any) -> None:
    given = pipeline(RISKY, hold={"expires": "120s"}, **risk)
    data = given.model_dump_json().encode()
    await client.jetstream().publish("$KV.pipelines.pipeline.congestion", data)


async def feed(client: Client, *rows: Row, first: int = 1) -> None:
    data = encode_decisions(batch(rows, first=first))
    await client.jetstream().publish("decisions.congestion.0", data)


async def records(client: Client) -> dict[str, Hold]:
    found = await stored(client, "KV_holds")
    return {h.id: h for h in (Hold.model_validate_json(m.data) for m in found)}


async def until_held(client: Client, count: int) -> None:
    async def there() -> bool:
        return len(await records(client)) >= count

    await until(there)


async def ask(client: Client, hold: str, answer: str, by: str = "ana", why: str = "") -> HoldReply:
    command = AnswerHold(hold=hold, answer=answer, by=by, why=why)  # type: ignore[arg-type]
    data = command.model_dump_json().encode()
    async with asyncio.timeout(20):
        while True:
            try:
                reply = await client.request("cmd.risk.answer-hold", data, timeout=10)
            except NoRespondersError:  # the service is not up yet
                await asyncio.sleep(0.02)
            else:
                return HoldReply.model_validate_json(reply.data)


async def events(client: Client, what: str) -> list[str]:
    subject = f"risk.congestion.{what}"
    return [m.data.decode() for m in await stored(client, "EVENTS") if m.subject == subject]


async def released(client: Client) -> list[tuple[str, Outcome]]:
    found = [decode_verdicts(m.data) for m in await stored(client, "VERDICTS") if m.data]
    return [(end.hold.decision, end.outcome) for v in found for end in v.released]


async def acts(client: Client) -> list[tuple[str, str, str, str]]:
    found = [Act.model_validate_json(m.data) for m in await stored(client, "AUDIT")]
    return [(a.verb, a.object, a.by, a.outcome) for a in found]


async def test_people_approve_deny_and_contradict_each_other_and_each_action_goes_out_once(
    provisioned: Client, nats_url: str
) -> None:
    await apply(provisioned)
    async with risk_service(nats_url):
        await feed(provisioned, Row("a", 1000, SCORE), Row("a", 2000, SCORE), Row("b", 2000, SCORE))
        await until_held(provisioned, 2)
        approved = await ask(provisioned, "congestion.1.0", "approve", why="it is needed")
        assert approved.error is None
        assert approved.hold is not None
        assert (approved.hold.state, approved.hold.answered_by) == ("approved", "ana")
        assert (await records(provisioned))["congestion.1.0"] == approved.hold
        again = await ask(provisioned, "congestion.1.0", "deny", by="ben")
        assert again.error is not None
        assert again.error.kind == "conflict"
        assert "was approved by ana at" in again.error.message
        assert "it is needed" in again.error.message
        contrary = await asyncio.gather(
            ask(provisioned, "congestion.3.0", "approve", by="ana"),
            ask(provisioned, "congestion.3.0", "deny", by="ben"),
        )
        (won,) = [r for r in contrary if r.ok]
        (lost,) = [r for r in contrary if r.error]
        assert won.hold is not None
        assert lost.error is not None
        assert lost.error.kind == "conflict"
        assert f"was {won.hold.state} by {won.hold.answered_by}" in lost.error.message
        unknown = await ask(provisioned, "congestion.9.0", "approve")
        assert unknown.error is not None
        assert unknown.error.kind == "not-found"
        expected = ["congestion.1.0"] + ["congestion.3.0"] * (won.hold.state == "approved")

        async def sent() -> bool:
            return len(await actions(provisioned)) >= len(expected)

        await until(sent)
    found = await actions(provisioned)
    assert [(a.decision, a.verdict) for a in found] == [(d, "approved") for d in expected]
    assert len(await events(provisioned, "held")) == 2
    assert len(await events(provisioned, "hold-answered")) == 2
    assert sorted(await acts(provisioned)) == sorted(
        [
            ("approve", "hold congestion.1.0", "ana", "done"),
            ("deny", "hold congestion.1.0", "ben", "refused"),
            ("approve", "hold congestion.9.0", "ana", "refused"),
            ("approve", "hold congestion.3.0", "ana", "done" if len(expected) > 1 else "refused"),
            ("deny", "hold congestion.3.0", "ben", "refused" if len(expected) > 1 else "done"),
        ]
    )
    ledger = Ledger("congestion")
    for message in await stored(provisioned, "VERDICTS"):
        if message.data:
            judged = decode_verdicts(message.data)
            for sequence in judged.rows.sequence.tolist():
                ledger.received(0, sequence, 1)
            ledger.judged(0, judged)
    for action in found:
        ledger.acted((int(action.decision.split(".")[1]), 0), action.element, action.action)
    assert ledger.account().closes


async def test_an_answer_that_was_stored_while_risk_was_dead_counts_once(
    provisioned: Client, nats_url: str
) -> None:
    await apply(provisioned)
    fed = 0
    for round_ in range(3):
        async with risk_process(nats_url) as process:
            await feed(provisioned, Row(f"cell-{round_}", 1000 * round_, SCORE), first=fed + 1)
            fed += 1
            await until_held(provisioned, fed)
            process.kill()
            await process.wait()
        answer = Answer(
            hold=f"congestion.{fed}.0", answer="approve", by="ana", why="", at=utc_now()
        )
        data = answer.model_dump_json().encode()
        for _ in range(2):  # a person is impatient
            await provisioned.jetstream().publish("decisions.congestion.0.answers", data)
        async with risk_process(nats_url) as process:
            # Killed as soon as the answer is judged: its action or its record may still be missing.
            async def judged(count: int = fed) -> bool:
                return len(await released(provisioned)) >= count

            await until(judged)
            process.kill()
            await process.wait()
    async with risk_process(nats_url) as process:

        async def all_told() -> bool:
            told = await events(provisioned, "hold-answered")
            states = [h.state for h in (await records(provisioned)).values()]
            sent = await actions(provisioned)
            return len(told) == len(sent) == states.count("approved") == fed

        await until(all_told)
        await feed(provisioned, Row("cell-9", 300_000, SCORE), first=fed + 1)
        await until_held(provisioned, fed + 1)
        process.terminate()
        await asyncio.wait_for(process.wait(), PATIENCE_S)
    decisions = [f"congestion.{i}.0" for i in range(1, fed + 1)]
    assert sorted(a.decision for a in await actions(provisioned)) == decisions
    assert sorted(d for d, _ in await released(provisioned)) == decisions
    assert len(await events(provisioned, "held")) == fed + 1
    assert len(await events(provisioned, "hold-answered")) == fed
    found = [decode_verdicts(m.data) for m in await stored(provisioned, "VERDICTS") if m.data]
    results = [a.result for v in found for a in v.answered]
    assert results == [Result.ENDED, Result.UNKNOWN] * 3


async def test_a_hold_expires_in_event_time_and_is_refused_then_and_after_a_restart(
    provisioned: Client, nats_url: str
) -> None:
    await apply(provisioned)
    async with risk_service(nats_url):
        await feed(provisioned, Row("a", 1000, SCORE))
        await until_held(provisioned, 1)
        await feed(provisioned, Row("b", 121_000, 0.1, None), first=2)

        async def expired() -> bool:
            return (await records(provisioned))["congestion.1.0"].state == "expired"

        await until(expired)
        late = await ask(provisioned, "congestion.1.0", "approve")
    async with risk_service(nats_url):
        later = await ask(provisioned, "congestion.1.0", "approve")
    for refused in (late, later):
        assert refused.error is not None
        assert refused.error.kind == "expired"
    assert await actions(provisioned) == []
    assert await released(provisioned) == [("congestion.1.0", Outcome.EXPIRED)]
