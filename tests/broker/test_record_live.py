"""From a decision to its story: judged, answered, sent, told, labelled, chained, exported."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from datetime import timedelta
from pathlib import Path

import pytest
from nats.aio.client import Client
from nats.errors import NoRespondersError
from tests.broker.risk_world import risk_service, stored, until
from tests.unit.risk_rows import Row, batch, pipeline

from flyball_gateway.archiving.archive import Archive
from flyball_kit.acts import Acts
from flyball_kit.checkpoints import Checkpoints
from flyball_kit.objects import Objects
from flyball_kit.settings import KitSettings
from flyball_local.explaining.archived import explain_from
from flyball_local.explaining.finding import explain
from flyball_local.explaining.story import Story, lines
from flyball_local.record.folders import about, chains, verify_folder
from flyball_local.record.live import export, verify_live
from flyball_proto import streams
from flyball_proto.chains import Head, Place
from flyball_proto.columns import encode_decisions
from flyball_proto.commands import AnswerHold, HoldReply
from flyball_proto.headers import CHAIN
from flyball_proto.outcomes import told_key

pytestmark = pytest.mark.broker

RISKY = {
    "action": "offload",
    "score_at_least": 0.5,
    "severity": "high",
    "reversible": False,
    "cooldown": "60s",
}
DECISION = "congestion.1.0"


async def approve(client: Client) -> HoldReply:
    command = AnswerHold(hold=DECISION, answer="approve", by="ana", why="it is needed")
    async with asyncio.timeout(60):
        while True:
            try:
                data = command.model_dump_json().encode()
                reply = await client.request("cmd.risk.answer-hold", data, timeout=10)
            except NoRespondersError:
                await asyncio.sleep(0.02)
                continue
            found = HoldReply.model_validate_json(reply.data)
            if found.error is None or found.error.kind != "not-found":
                return found


async def vouch(client: Client) -> None:
    """A checkpoint of what VERDICTS holds, as risk writes one within ten minutes."""
    last = await client.jetstream().get_last_msg("VERDICTS", "verdicts.congestion.0")
    place = Place.parse((last.headers or {})[CHAIN])
    head = Head(
        stream="VERDICTS",
        subject="verdicts.congestion.0",
        number=place.number,
        sequence=last.seq or 0,
        hash=place.hash,
    )
    checkpoints = Checkpoints(Acts(lambda: client, "risk"), None, lambda: [head])
    assert await checkpoints.once(1e12)


def there(client: Client, stream: str, count: int) -> Callable[[], Awaitable[bool]]:
    async def ready() -> bool:
        return len(await stored(client, stream)) >= count

    return ready


def told(story: Story) -> str:
    return "\n".join(lines(story))


async def test_the_whole_story_of_a_decision_is_told_live_and_from_an_export(
    provisioned: Client, nats_url: str, kit_settings: KitSettings, tmp_path: Path
) -> None:
    js, objects = provisioned.jetstream(), Objects(kit_settings)
    for key in await objects.keys("archive/", 10_000):  # of other streams' lives
        await objects.remove(key)
    given = pipeline(RISKY, hold={"expires": "120s"})
    await js.publish("$KV.pipelines.pipeline.congestion", given.model_dump_json().encode())
    async with risk_service(nats_url):
        rows = [Row("a", 1000, 0.7), Row("b", 1500, 0.1)]
        await js.publish("decisions.congestion.0", encode_decisions(batch(rows, first=1)))
        await until(there(provisioned, "KV_holds", 1))
        reply = await approve(provisioned)
        assert reply.error is None
        await until(there(provisioned, "ACTIONS", 1))
    hold = reply.hold
    assert hold is not None
    assert hold.answered_at is not None
    due = (hold.answered_at + timedelta(seconds=60)).isoformat()
    awaited = {
        "kind": "awaited",
        "pipeline": "congestion",
        "decision": DECISION,
        "element": "a",
        "action": "offload",
        "sent_at": hold.answered_at.isoformat(),
        "due_at": due,
    }
    spoken = {
        "kind": "told",
        "decision": DECISION,
        "element": "a",
        "result": "applied",
        "effect": {"load": 0.62},
        "at": hold.answered_at.isoformat(),
    }
    await js.publish(f"$KV.acknowledged.{DECISION}", json.dumps(awaited).encode())
    await js.publish(f"$KV.acknowledged.{told_key(DECISION, 'a')}", json.dumps(spoken).encode())
    before = await explain(provisioned, objects, DECISION)
    assert "no checkpoint covers it yet" in told(before)
    await vouch(provisioned)
    story = await explain(provisioned, objects, DECISION)
    words = told(story)
    assert "congestion.1.0: a" in words
    assert "score 0.7 → offload" in words
    assert "hold: " in words
    assert "approved by ana" in words
    assert "it is needed" in words
    assert "offload was sent to a " in words
    assert "applied, told " in words
    assert "load 0.62" in words
    assert "number 1, hash " in words
    assert "covered by act 2 of audit.risk" in words
    assert story.as_json()["chain"]["checkpoint"]["act"] == 2

    live = await verify_live(provisioned, {})
    assert live.problems == []
    await Archive(
        streams.VERDICTS,
        lambda: provisioned,
        objects,
        Acts(lambda: provisioned, "gateway"),
        every_s=0.0,
        keep_days=30,
    ).step()
    folder = tmp_path / "exported"
    found = await export(provisioned, objects, folder, {})
    assert found["archived_files"] >= 2
    assert found["archives_away"] == 0
    assert {"audit.risk", "verdicts.congestion.0"} <= {c.subject for c in chains(folder)}
    export_said = about(folder)
    assert export_said is not None
    assert export_said.chains == chains(folder)
    away = Objects(kit_settings.model_copy(update={"s3_endpoint": "127.0.0.1:1"}))
    found = await export(provisioned, away, tmp_path / "without", {})
    assert (found["archived_files"], found["archives_away"]) == (0, 2)
    checked = await asyncio.to_thread(verify_folder, folder, {})
    assert checked.problems == []
    assert {c.subject: c.vouched for c in checked.chains}["verdicts.congestion.0"] >= 2
    offline = told(await asyncio.to_thread(explain_from, folder, DECISION))
    assert "approved by ana" in offline
    assert "covered by act 2 of audit.risk" in offline
