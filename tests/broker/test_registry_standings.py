"""The registry shows where models stand in KV `standings`, and nothing depends on it."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from nats.aio.client import Client
from tests.broker import chain
from tests.broker.judged_world import BLOCK_MS, HONEST, SHRUGGING, World, model

from flyball_kit.kv import Kv
from flyball_proto import streams
from flyball_proto.judgements import Superior
from flyball_proto.progress import Standings
from flyball_registry.app import build
from flyball_registry.settings import Settings

pytestmark = pytest.mark.broker


async def until(client: Client, name: str, so: Callable[[Standings], bool]) -> Standings:
    """The first record that is so."""
    records: Kv[Standings] = Kv(lambda: client, streams.STANDINGS, Standings)
    async with asyncio.timeout(chain.WAIT_S):
        changes = records.watch(name)
        async for change in changes:
            if change.value is not None and so(change.value):
                await changes.aclose()
                return change.value
    raise AssertionError("a watch never ends")


async def test_standings_follow_the_evidence_and_a_foreign_write_is_overwritten(
    provisioned: Client, common: dict[str, Any], unique: str
) -> None:
    world = World(provisioned, common, unique)
    await world.apply()
    settings = Settings(**common, save_every_s=0.001)
    await provisioned.jetstream().publish(
        f"$KV.{streams.STANDINGS.name}.{unique}", b"of a later version"
    )
    async with chain.running(build(settings)):
        base = await world.train("baseline", SHRUGGING)
        await world.admitted(1)
        await world.seat(base, 1)
        await world.train("recent", HONEST)
        await world.admitted(2)
        active = model(base, "baseline", 1)
        await world.publish(*(world.samples(4, active) for _ in range(10)))
        early = await until(provisioned, unique, lambda s: s.labelled == 320)
        await provisioned.jetstream().publish(
            f"$KV.{streams.STANDINGS.name}.{unique}", b"a rival's"
        )
        await world.publish(*(world.samples(4, active) for _ in range(110)))
        won = await until(
            provisioned, unique, lambda s: any(c.word == "superior" for c in s.comparisons)
        )
        await world.read()
    assert (early.seat_trainer, early.seat_digest) == ("baseline", base)
    assert (early.block_ms, early.task, early.metric) == (BLOCK_MS, "binary", "brier")
    (recent,) = won.comparisons
    (said,) = await world.judgements(Superior)
    assert (recent.trainer, recent.over, won.judgements) == ("recent", "baseline", said.number)
    assert recent.log_e >= recent.threshold
    losses = {one.column: one.loss for one in won.figures}
    assert losses["recent"] < losses["active"] == 0.25
