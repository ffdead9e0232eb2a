"""The trainer in lockstep: every mark is answered, and nothing depends on how fast it is."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from typing import Any

import psutil
import pytest
from nats.aio.client import Client
from tests.broker import chain, learning
from tests.broker.learning import LINEAR, RECENT, World, first, played
from tests.conftest import delete_streams

from flyball_local.embedded.provision import provision_streams
from flyball_proto.events import ModelTrained, TrainerSettled
from flyball_proto.judgements import Drifted

pytestmark = pytest.mark.broker

STRETCHES = (60, 60, 60, 60, 60, 60)
"""Seconds: `recent` is due behind the second, fourth and sixth mark, `linear` at the second, sixth."""


async def test_every_mark_is_answered_also_when_nothing_was_due(
    provisioned: Client, common: dict[str, Any], unique: str
) -> None:
    world = World(provisioned, unique, RECENT, LINEAR)
    await world.apply()
    async with learning.trainer(common):
        answers = await played(world, STRETCHES)
        recent = await first(provisioned, ModelTrained, unique, 3, trainer="recent")
        linear = await first(provisioned, ModelTrained, unique, 2, trainer="linear")
    assert [len(answer.digests) for answer in answers] == [0, 0, 2, 0, 1, 0, 2]
    assert answers[2].digests == (recent[0].digest, linear[0].digest)
    assert [event.mark for event in recent] == ["mark-2", "mark-4", "mark-6"]
    assert [event.trained_through for event in recent] == [{"0": 120}, {"0": 240}, {"0": 360}]


async def test_neither_workers_nor_delays_nor_borders_change_a_model(
    provisioned: Client, common: dict[str, Any], unique: str
) -> None:
    runs = []
    for more, cut in (
        ({"workers": 1}, False),
        ({"workers": 2}, False),
        ({"workers": 2, "delay_ms_max": 300}, True),
    ):
        await delete_streams(provisioned)
        await provision_streams(provisioned)
        world = World(provisioned, unique, RECENT, LINEAR)
        await world.apply()
        async with learning.trainer(common, **more):
            answers = []
            for number, rows in enumerate((0, *STRETCHES)):
                for _ in range(rows if cut else 0):
                    await world.rows(1)
                await world.rows(0 if cut else rows, mark=f"mark-{number}")
                answers.append((await world.settled(f"mark-{number}")).digests)
            runs.append(answers)
    assert sum(map(len, runs[0])) == 5
    assert runs[1] == runs[0]
    assert runs[2] == runs[0]


async def test_a_mark_is_complete_when_every_partition_has_delivered_it(
    provisioned: Client, common: dict[str, Any], unique: str
) -> None:
    world = World(provisioned, unique)
    await world.apply()
    async with learning.trainer(common, partitions=2):
        await world.mark("mark-0", partitions=2)
        await world.settled("mark-0")
        await world.rows(100, partition=1, mark="mark-1")
        await world.rows(100, partition=0, mark="mark-1")
        answer = await world.settled("mark-1")
        told = (await first(provisioned, ModelTrained, unique, 1, trainer="recent"))[0]
    assert answer.digests == (told.digest,)
    assert told.trained_through == {"0": 100, "1": 100}
    assert told.rows > 100


async def test_drift_that_was_judged_at_one_mark_is_answered_at_the_next(
    provisioned: Client, common: dict[str, Any], unique: str
) -> None:
    world = World(provisioned, unique, RECENT | {"retrain_on_drift": True})
    await world.apply()
    async with learning.trainer(common):
        await played(world, (60, 60), end=False)
        drift = Drifted(
            pipeline=unique,
            at=datetime.now(UTC),
            on="loss",
            event_ms=120_000,
            mark="mark-2",
            detail="x",
        )
        await provisioned.jetstream().publish(drift.subject, drift.model_dump_json().encode())
        answers = await played(world, (60,), first_mark=2)
        told = await first(provisioned, ModelTrained, unique, 2, trainer="recent")
    assert len(answers[0].digests) == 1
    assert [event.because for event in told] == ["cadence", "drift"]


async def test_a_restarted_trainer_answers_the_newest_mark_again_and_announces_nothing_twice(
    provisioned: Client, common: dict[str, Any], unique: str
) -> None:
    world = World(provisioned, unique, RECENT, LINEAR)
    await world.apply()
    async with learning.trainer(common):
        before = await played(world, (60, 60), end=False)
    models = await first(provisioned, ModelTrained, unique, 3)
    await only(provisioned, models)
    async with learning.trainer(common):
        again = await world.settled("mark-2")
        assert again.digests == before[-1].digests
        assert await chain.count(provisioned, TrainerSettled, unique) == 1
        undisturbed = await played(world, (60, 60), first_mark=2)
    assert await chain.count(provisioned, ModelTrained, unique) == 1 + 2 + 1
    assert [len(answer.digests) for answer in undisturbed] == [0, 1]


async def only(client: Client, events: list[ModelTrained]) -> None:
    """As if the trainer had been killed behind these announcements, before its answer."""
    await client.jetstream().delete_stream("EVENTS")
    await provision_streams(client)
    for event in events:
        await client.jetstream().publish(event.subject, event.model_dump_json().encode())


@asynccontextmanager
async def process(common: dict[str, Any], **more: Any) -> AsyncIterator[psutil.Process]:
    """The trainer as a process; killed at the end."""
    secret = common["s3_secret_key"].get_secret_value()
    variables = {**common, **more, "s3_secret_key": secret}
    made = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "flyball_trainer",
        env={**os.environ, **{f"FLYBALL_{k.upper()}": str(v) for k, v in variables.items()}},
    )
    try:
        yield psutil.Process(made.pid)
    finally:
        if made.returncode is None:
            made.kill()
        await made.wait()


async def test_a_trainer_killed_during_a_training_leaves_no_worker_and_trains_again(
    provisioned: Client, common: dict[str, Any], unique: str
) -> None:
    world = World(provisioned, unique, RECENT, LINEAR)
    await world.apply()
    async with learning.trainer(common):
        undisturbed = await played(world, (60, 60), end=False)
    await delete_streams(provisioned)
    await provision_streams(provisioned)
    world = World(provisioned, unique, RECENT, LINEAR)
    await world.apply()
    async with process(common) as service:
        await played(world, (60,), end=False)
        await world.rows(60, mark="mark-2")
        worker = await child_of(service)
        worker.send_signal(signal.SIGSTOP)  # it cannot be done before the service is killed
        service.kill()
    worker.send_signal(signal.SIGCONT)
    await asyncio.to_thread(worker.wait, learning.WAIT_S)
    assert await chain.count(provisioned, TrainerSettled, unique) == 2
    async with process(common):
        assert (await world.settled("mark-2")).digests == undisturbed[-1].digests


async def child_of(service: psutil.Process) -> psutil.Process:
    """Wait until the service has a worker."""
    async with asyncio.timeout(learning.WAIT_S):
        while not (children := service.children()):
            await asyncio.sleep(0.01)
    return children[0]
