"""`cmd.gateway.status`: what people are told of a pipeline, from what other services show."""

import asyncio
from datetime import UTC, datetime
from typing import Any

import pytest
from nats.aio.client import Client
from tests.broker import chain

from flyball_gateway.app import build
from flyball_gateway.settings import Settings
from flyball_kit.kv import Kv
from flyball_proto import streams, subjects
from flyball_proto.commands import PipelineStatus, StatusReply, StatusRequest
from flyball_proto.deployments import ActiveModel
from flyball_proto.holds import Hold, Stop
from flyball_proto.progress import TrainerProgress
from flyball_proto.spec import feature_digest

pytestmark = pytest.mark.broker

NOW = datetime.now(UTC)


class World:
    """One applied pipeline, and what others would write about it."""

    def __init__(self, client: Client, name: str) -> None:
        self.client, self.name = client, name
        found = chain.catalogue(name, trainers=[{"name": "recent", "kind": "lightgbm"}])
        self.pipeline, self.source = found.pipelines[name], found.sources[name]
        self.digest = feature_digest(self.pipeline, self.source)

    async def put(self, bucket: streams.Bucket, key: str, value: Any) -> None:
        """Write a record over whatever there is."""
        records: Kv[Any] = Kv(lambda: self.client, bucket, type(value))
        _, revision = await records.load(key)
        await records.save(key, value, revision=revision)

    async def apply(self) -> None:
        await self.put(streams.PIPELINES, f"source.{self.name}", self.source)
        await self.put(streams.PIPELINES, f"pipeline.{self.name}", self.pipeline)

    async def status(self) -> PipelineStatus:
        body = StatusRequest().model_dump_json().encode()
        reply = await chain.ask(self.client, "gateway", "status", body, StatusReply)
        assert reply.ok
        (found,) = [p for p in reply.pipelines if p.pipeline == self.name]
        return found

    async def until_open(self, holds: int) -> PipelineStatus:
        """Records of holds are followed, so the count comes a little later."""
        async with asyncio.timeout(chain.WAIT_S):
            while (found := await self.status()).open_holds != holds:
                await asyncio.sleep(0)
        return found

    def progress(self, **given: Any) -> TrainerProgress:
        now = datetime.now(UTC)  # not when this file was read: a whole run may lie between
        facts: dict[str, Any] = {
            "pipeline": self.name,
            "trainer": "recent",
            "feature_digest": self.digest,
            "at": now,
            "state": "gathering",
            "now_ms": round(now.timestamp() * 1000),
            "rows": 40,
            "rows_needed": 100,
            "span_ms": 40_000,
            "span_needed_ms": 300_000,
            "due_ms": 0,
            "rows_per_s": 1.0,
        }
        return TrainerProgress(**facts | given)

    def hold(self, number: int, state: str = "open") -> Hold:
        facts: dict[str, Any] = {
            "id": f"{self.name}.{number}.0", "pipeline": self.name, "partition": 0,
            "element": "cell-1", "action": "offload", "score": 0.9, "risk": 0.5,
            "category": "medium", "reason": "test", "model": "d", "trainer": "recent", "epoch": 1,
            "time_ms": 1, "expires_ms": 2, "opened_at": NOW, "state": state,
        }  # fmt: skip
        return Hold(**facts)


async def test_status_tells_what_is_awaited_from_the_first_minute_on(
    provisioned: Client, common: dict[str, Any], unique: str
) -> None:
    world = World(provisioned, unique)
    await world.apply()
    async with chain.running(build(Settings(**common))):
        found = await world.status()
        assert found.awaited == (
            f"no metric has arrived yet: flyball publish {unique} element-1 load=0.5",
        )
        subject = subjects.stored_metrics(unique, 0, "cell-1")
        await provisioned.jetstream().publish(subject, b"{}")
        await provisioned.jetstream().publish(subjects.quarantine(unique, 1, 2), b"{}")
        found = await world.status()
        assert found.awaited == (
            f"1 report was refused: flyball quarantine list {unique}",
            "no model answers yet: baseline is the first",
        )
        pointer = ActiveModel(
            digest="d", trainer="baseline", feature_digest=world.digest, epoch=1, since=NOW,
            reason="the first model",
        )  # fmt: skip
        await world.put(streams.DEPLOYMENTS, unique, pointer)
        await world.put(streams.PROGRESS, f"{unique}.recent", world.progress())
        found = await world.status()
        assert (found.since, found.reason) == (NOW, "the first model")
        assert found.awaited == (
            "labelled rows: 40 of 100 for the first training of recent, in about 4 min",
        )


async def test_status_counts_open_holds_and_names_who_stopped_the_pipeline(
    provisioned: Client, common: dict[str, Any], unique: str
) -> None:
    world = World(provisioned, unique)
    await world.apply()
    for number, state in ((1, "open"), (2, "denied"), (3, "open")):
        hold = world.hold(number, state)
        await world.put(streams.HOLDS, hold.id, hold)
    stop = Stop(pipeline=unique, stopped=True, by="ann", why="works", at=NOW)
    async with chain.running(build(Settings(**common))):
        assert (await world.until_open(2)).stopped is None
        await world.put(streams.STOPS, unique, stop)
        await world.put(streams.HOLDS, f"{unique}.1.0", world.hold(1, "approved"))
        found = await world.until_open(1)
        assert found.stopped == stop
        assert found.awaited[:2] == (
            f"stopped by ann: nothing is sent until flyball resume {unique}",
            "1 decision waits for a person: flyball holds list",
        )
        await world.put(streams.STOPS, unique, stop.model_copy(update={"stopped": False}))
        assert (await world.status()).stopped is None


async def test_what_cannot_be_read_is_left_out_of_status(
    provisioned: Client, common: dict[str, Any], unique: str
) -> None:
    world = World(provisioned, unique)
    await world.apply()
    js = provisioned.jetstream()
    async with chain.running(build(Settings(**common))):
        await js.publish(f"$KV.{streams.PROGRESS.name}.{unique}.later", b"of a later version")
        await world.put(streams.PROGRESS, f"{unique}.recent", world.progress())
        assert "40 of 100" in " ".join((await world.status()).awaited)
        await js.delete_stream(f"KV_{streams.PROGRESS.name}")
        found = await world.status()
        assert found.pipeline == unique
        assert "40 of 100" not in " ".join(found.awaited)
