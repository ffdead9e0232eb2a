"""Behind a mark nothing is decided until what the data up to it decided is in force."""

import asyncio
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from tests.broker import chain
from tests.broker.inference_world import World, inference_world
from tests.unit.inference_models import deployment

from flyball_inference.app import build
from flyball_inference.desk import Desk, Flip
from flyball_inference.gate import Gate
from flyball_inference.hot import Hot
from flyball_inference.store import Bundles
from flyball_inference.trips import Trip
from flyball_kit import clock
from flyball_kit.fold import Output
from flyball_kit.lockstep import Settlements
from flyball_kit.objects import Objects
from flyball_proto.columns import Decisions
from flyball_proto.deployments import DeployerSettled

pytestmark = pytest.mark.broker


@pytest.fixture
async def world(
    provisioned: Client, tmp_path: Path, unique: str, common: dict[str, Any]
) -> AsyncIterator[World]:
    async with inference_world(provisioned, tmp_path, unique, common) as made:
        await made.store()
        await made.point(deployment(1, made.made))
        yield made


async def settle(world: World, mark: str, epoch: int) -> None:
    """What the deployer says."""
    event = DeployerSettled(pipeline=world.name, at=clock.utc_now(), mark=mark, epoch=epoch)
    await world.client.jetstream().publish(event.subject, event.model_dump_json().encode())


def epochs(batches: list[Decisions]) -> list[int]:
    """Of each row."""
    return [b.model[i].epoch for b in batches for i in b.model_index]


async def test_rows_behind_a_mark_are_decided_by_what_the_mark_led_to(world: World) -> None:
    models = [world.made, *(world.another(s) for s in (0.1, 0.2, 0.3))]
    await world.store(*models)
    for mark in ("m-1", "m-2", "m-3"):
        await world.feed(["a", "b"], mark)
    rows = await world.feed(["a", "b"])
    async with chain.running(build(world.settings())):
        for place, mark in enumerate(("m-1", "m-2", "m-3"), start=1):
            await world.marked(mark)
            if place % 2:  # the pointer may be seen before the answer or after it
                await settle(world, mark, place + 1)
                await world.point(deployment(place + 1, models[place]))
            else:
                await world.point(deployment(place + 1, models[place]))
                await settle(world, mark, place + 1)
        batches = await world.decided(rows)
    assert epochs(batches) == [1, 1, 2, 2, 3, 3, 4, 4]


async def test_an_epoch_that_is_in_force_already_and_none_at_all_hold_nobody_up(
    world: World,
) -> None:
    await world.feed(mark="m-1")
    await world.feed(mark="m-2")
    rows = await world.feed()
    async with chain.running(build(world.settings())):
        for mark, epoch in (("m-1", 0), ("m-2", 1)):
            await world.marked(mark)
            await settle(world, mark, epoch)
        await world.decided(rows)


async def test_behind_the_last_mark_nobody_waits(world: World) -> None:
    await world.feed(mark="m-1", last=True)
    rows = await world.feed()
    async with chain.running(build(world.settings())):
        await world.decided(rows)


@asynccontextmanager
async def inference_process(world: World) -> AsyncIterator[asyncio.subprocess.Process]:
    """The service as a process; killed at the end."""
    common = world.common
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "flyball_inference",
        env={
            "FLYBALL_NATS_URL": common["nats_url"],
            "FLYBALL_S3_ENDPOINT": common["s3_endpoint"],
            "FLYBALL_S3_ACCESS_KEY": common["s3_access_key"],
            "FLYBALL_S3_SECRET_KEY": common["s3_secret_key"].get_secret_value(),
            "FLYBALL_LOG_FORMAT": "text",
        },
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        process.kill()
        await process.wait()


async def test_killed_behind_a_mark_it_waits_there_again(world: World) -> None:
    later = world.another(0.25)
    await world.store(later)
    await world.feed(["a", "b"], "m-1")
    rows = await world.feed(["a", "b"])
    async with inference_process(world):
        await world.marked("m-1")
    async with inference_process(world):
        await world.flipped(nth=2)
        await settle(world, "m-1", 2)
        await world.point(deployment(2, later))
        batches = await world.decided(rows)
    assert epochs(batches) == [1, 1, 2, 2]
    assert [s for b in batches for s in b.rows.sequence] == [1, 2, 3, 4]


async def test_killed_behind_a_mark_that_was_settled_meanwhile_it_goes_on(world: World) -> None:
    await world.feed(mark="m-1")
    async with inference_process(world):
        await world.marked("m-1")
    await settle(world, "m-1", 2)
    await world.point(deployment(2, world.made))
    rows = await world.feed()
    async with inference_process(world):
        assert epochs(await world.decided(rows)) == [1, 2]


async def test_killed_behind_the_last_mark_it_takes_the_answer_that_was_given_to_it(
    world: World,
) -> None:
    await world.feed(mark="m-1", last=True)
    async with inference_process(world):
        await world.marked("m-1")
    await settle(world, "m-1", 1)
    rows = await world.feed()
    async with inference_process(world):
        await world.decided(rows)


async def test_a_gate_says_for_what_it_waits(world: World) -> None:
    objects = Objects(world.settings())

    async def told(_: Flip | Trip) -> None:
        return

    async def until(gate: Gate, what: str) -> None:
        async with asyncio.timeout(chain.WAIT_S):
            while what not in (gate.waits_for() or ""):
                await asyncio.sleep(0.01)

    hot = Hot(world.name, Bundles(objects, None, 1 << 20))
    desk = Desk(world.name, hot=hot, seated=told, tripped=told, retry_s=0.01)
    desk.specify(chain.catalogue(world.name).pipelines[world.name], 1)
    working = asyncio.create_task(desk.run())
    gate = Gate(desk, 3, Settlements(lambda: world.client, DeployerSettled))
    passing = asyncio.ensure_future(gate(Output(b"", mark="m-7")))
    await until(gate, "partition 3 waits behind mark m-7 for the deployer")
    missing = world.another(0.25)
    desk.want(deployment(2, missing))
    await settle(world, "m-7", 2)
    await until(gate, "partition 3 waits behind mark m-7 until epoch 2 is in force")
    await world.store(missing)
    async with asyncio.timeout(chain.WAIT_S):
        await passing
    assert gate.waits_for() is None
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)
