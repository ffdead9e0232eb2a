"""The gateway's picture follows a real broker, also one that dies and comes back."""

import asyncio
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path

import nats
import pytest
from nats.aio.client import Client
from tests.conftest import started

from flyball_gateway.picturing.picture import Loop, Picture
from flyball_gateway.picturing.watching import Watch
from flyball_kit.kv import Kv
from flyball_kit.tasks import Tasks
from flyball_local.embedded.engines import NatsEngine
from flyball_local.embedded.provision import provision_streams
from flyball_proto import streams, subjects
from flyball_proto.events import PipelineApplied
from flyball_proto.holds import Stop
from flyball_proto.progress import Pulse
from flyball_proto.spec import Pipeline, Source, parse_documents

pytestmark = pytest.mark.broker

NOW = datetime(2026, 1, 1, 12, tzinfo=UTC)
CATALOGUE = parse_documents(
    [
        {
            "apiVersion": "flyball/v1",
            "kind": "Pipeline",
            "metadata": {"name": "plant"},
            "spec": {
                "source": {"interval": "1s", "metrics": ["load"]},
                "target": {"task": "binary", "expression": "max(load) > 0.9", "horizon": "30s"},
            },
        }
    ]
)


@dataclass
class World:
    engine: NatsEngine
    client: Client
    watch: Watch

    async def until(self, holds: Callable[[Picture], bool]) -> Picture:
        """Wait for a picture of which this is true."""
        async with asyncio.timeout(30):
            while not holds(self.watch.picture()):
                await self.watch.changed.next()
        return self.watch.picture()

    async def apply(self) -> None:
        sources = Kv(lambda: self.client, streams.PIPELINES, Source)
        pipelines = Kv(lambda: self.client, streams.PIPELINES, Pipeline)
        for source in CATALOGUE.sources.values():
            await sources.save(f"source.{source.name}", source, revision=0)
        for pipeline in CATALOGUE.pipelines.values():
            await pipelines.save(f"pipeline.{pipeline.name}", pipeline, revision=0)

    async def tell(self, revision: int) -> None:
        event = PipelineApplied(
            pipeline="plant",
            at=NOW,
            revision=revision,
            source="plant",
            feature_digest="f",
            by="ada",
        )
        await self.client.jetstream().publish(event.subject, event.model_dump_json().encode())


@pytest.fixture
async def world(tmp_path: Path) -> AsyncIterator[World]:
    engine = NatsEngine(tmp_path)
    with started(engine):
        client = await nats.connect(
            engine.url, max_reconnect_attempts=-1, reconnect_time_wait=0.1, ping_interval=1
        )
        await provision_streams(client)
        watch, tasks = Watch(lambda: client), Tasks("gateway")
        watch.spawn(tasks)
        await tasks.start()
        yield World(engine, client, watch)
        await tasks.stop()
        assert tasks.failure is None
        await client.close()


def revisions(picture: Picture) -> list[str]:
    """What was told, oldest first."""
    loop = picture.loop("plant")
    return [line.text.split(",")[1].split()[1] for line in reversed(loop.lines)] if loop else []


def plant(picture: Picture) -> Loop:
    found = picture.loop("plant")
    assert found is not None
    return found


async def test_records_events_and_pulses_come_together(world: World) -> None:
    await world.apply()
    await world.tell(1)
    stops = Kv(lambda: world.client, streams.STOPS, Stop)
    await stops.save(
        "plant", Stop(pipeline="plant", stopped=True, by="ada", why="", at=NOW), revision=0
    )
    pulse = Pulse(service="risk", at=NOW, pid=1, live=True, ready=False, reasons={"redis": "gone"})
    await world.until(lambda p: p.loop("plant") is not None)
    await world.client.publish(subjects.pulse("risk"), pulse.model_dump_json().encode())
    picture = await world.until(
        lambda p: revisions(p) == ["1"] and plant(p).is_stopped and (_health(p) == "not ready")
    )
    assert plant(picture).target == "max(load) > 0.9"
    assert picture.stale_since is None
    assert [s.stream for s in picture.stored][:2] == ["METRICS", "FEATURES"]


async def test_a_broker_that_dies_leaves_the_picture_as_it_was_and_says_so(world: World) -> None:
    await world.apply()
    await world.tell(1)
    await world.until(lambda p: revisions(p) == ["1"])
    world.engine.kill()
    stale = await world.until(lambda p: p.stale_since is not None)
    assert revisions(stale) == ["1"]
    world.engine.start()
    await world.until(lambda p: p.stale_since is None)
    await world.tell(2)
    fresh = await world.until(lambda p: "2" in revisions(p))
    assert revisions(fresh) == ["1", "2"]


def _health(picture: Picture) -> str:
    part = picture.part("risk")
    return part.health if part else ""
