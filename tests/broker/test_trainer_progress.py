"""Trainers tell how far they are in KV `progress`, and nothing depends on it."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from nats.aio.client import Client
from tests.broker import learning
from tests.broker.learning import LINEAR, RECENT, World, first

from flyball_kit.kv import Kv
from flyball_proto import streams
from flyball_proto.events import ModelTrained
from flyball_proto.progress import TrainerProgress

pytestmark = pytest.mark.broker


def records(client: Client) -> Kv[TrainerProgress]:
    return Kv(lambda: client, streams.PROGRESS, TrainerProgress)


async def until(client: Client, key: str, so: Callable[[TrainerProgress], bool]) -> TrainerProgress:
    """The first record that is so."""
    async with asyncio.timeout(learning.WAIT_S):
        changes = records(client).watch(key)
        async for change in changes:
            if change.value is not None and so(change.value):
                await changes.aclose()
                return change.value
    raise AssertionError("a watch never ends")


async def until_deleted(client: Client, key: str) -> None:
    async with asyncio.timeout(learning.WAIT_S):
        changes = records(client).watch(key)
        async for change in changes:
            if change.value is None:
                break
        await changes.aclose()


async def test_a_trainer_tells_what_it_gathers_then_what_it_delivered_and_after_a_restart_too(
    provisioned: Client, common: dict[str, Any], unique: str
) -> None:
    world, key = World(provisioned, unique, RECENT), f"{unique}.recent"
    await world.apply()
    await world.rows(40)
    async with learning.trainer(common):
        found = await until(provisioned, key, lambda p: p.rows == 40)
        assert (found.state, found.rows_needed, found.models) == ("gathering", 100, 0)
        assert found.feature_digest == world.digest
        await world.rows(100)
        found = await until(provisioned, key, lambda p: p.models == 1)
        await until(provisioned, key, lambda p: p.state == "waiting")
        event = (await first(provisioned, ModelTrained, unique, 1, trainer="recent"))[0]
        assert (found.last_digest, found.trained_through_ms) == (event.digest, 141_000)
        assert found.due_ms == 241_000
        await world.rows(30)
        await until(provisioned, key, lambda p: p.rows == 30)
    async with learning.trainer(common):
        await world.rows(5)
        found = await until(provisioned, key, lambda p: p.rows == 35)
    assert (found.state, found.models, found.last_digest) == ("waiting", 1, event.digest)


async def test_a_trainer_that_gives_no_model_says_why(
    provisioned: Client, common: dict[str, Any], unique: str
) -> None:
    world = World(provisioned, unique, RECENT)
    await world.apply()
    await world.rows(150, label=0.0)
    async with learning.trainer(common):
        found = await until(
            provisioned, f"{unique}.recent", lambda p: bool(p.failed) and p.state == "gathering"
        )
    assert found.failed.startswith("found label 0 in all")
    assert "both classes" in found.failed


async def test_a_lost_race_and_a_foreign_record_are_overwritten_later(
    provisioned: Client, common: dict[str, Any], unique: str
) -> None:
    world, key = World(provisioned, unique, RECENT), f"{unique}.recent"
    await world.apply()
    await provisioned.jetstream().publish(
        f"$KV.{streams.PROGRESS.name}.{key}", b"of a later version"
    )
    async with learning.trainer(common):
        await world.rows(10)
        await until(provisioned, key, lambda p: p.rows == 10)
        await provisioned.jetstream().publish(f"$KV.{streams.PROGRESS.name}.{key}", b"a rival's")
        await world.rows(10)
        await until(provisioned, key, lambda p: p.rows == 20)


async def test_the_record_of_a_trainer_that_is_taken_out_goes_and_comes_back_with_it(
    provisioned: Client, common: dict[str, Any], unique: str
) -> None:
    both = World(provisioned, unique, RECENT, LINEAR)
    await both.apply()
    async with learning.trainer(common):
        await both.rows(10)
        await until(provisioned, f"{unique}.linear", lambda p: p.rows == 10)
        await World(provisioned, unique, RECENT).apply()
        await until_deleted(provisioned, f"{unique}.linear")
        await both.apply()
        await until(provisioned, f"{unique}.linear", lambda p: p.rows == 10)
