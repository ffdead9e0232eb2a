"""Decisions with other scores than their models give, and drift without labels, with real NATS and S3."""

import dataclasses
import json
from typing import Any

import pytest
from nats.aio.client import Client
from tests.broker import chain
from tests.broker.judged_world import HONEST, SHRUGGING, World, model

from flyball_proto.bundles import report_key
from flyball_proto.columns import Model, decode_samples, encode_samples
from flyball_proto.judgements import Drifted, ScoresSkewed
from flyball_registry.app import build
from flyball_registry.settings import Settings

pytestmark = pytest.mark.broker


@pytest.fixture
async def world(provisioned: Client, common: dict[str, Any], unique: str) -> World:
    made = World(provisioned, common, unique)
    await made.apply()
    return made


@pytest.fixture
def settings(common: dict[str, Any]) -> Settings:
    return Settings(**common, save_every_s=0.001)


def damaged(data: bytes, off: float) -> bytes:
    """Samples whose decisions were made by a runtime that is off by so much."""
    samples = decode_samples(data)
    return encode_samples(dataclasses.replace(samples, score=samples.score + off))


async def test_a_runtime_with_other_scores_is_named_once_and_a_sound_one_never(
    world: World, settings: Settings
) -> None:
    async with chain.running(build(settings)):
        honest = await world.train("recent", HONEST)
        await world.admitted(1)
        await world.seat(honest, 1)
        sound, other = model(honest, "recent", 1), Model(honest, 2, "active", "recent")
        await world.publish(*(world.samples(4, sound) for _ in range(20)))
        await world.read()
        assert await world.judgements(ScoresSkewed) == []
        await world.seat(honest, 2)
        skewed = [damaged(world.samples(4, other), 0.01) for _ in range(20)]
        await world.publish(*skewed, *(world.samples(4, other) for _ in range(5)))
        told = await chain.event(world.client, ScoresSkewed, world.name)
        await world.read()
        board, _ = await world.boards.load(world.name)
    assert (told.digest, told.epoch) == (honest, 2)
    assert told.apart == pytest.approx(0.01, abs=1e-5)
    assert 1 <= told.rows <= told.looked_at
    assert told.decision.startswith(f"{world.name}.")
    assert board is not None
    assert "look at the runtime" in board.skewed[-1].detail
    async with chain.running(build(settings)):
        await world.publish(*(damaged(world.samples(4, other), 0.01) for _ in range(10)))
        await world.read()
    assert len(await world.judgements(ScoresSkewed)) == 1, "once an epoch and an hour"


async def test_features_that_moved_are_told_with_the_most_changed_first(
    world: World, settings: Settings
) -> None:
    async with chain.running(build(settings)):
        shrug = await world.train("baseline", SHRUGGING)
        shares = [{"feature": name, "share": 1 / len(world.features)} for name in world.features]
        report = json.dumps({"importance": shares}).encode()
        await world.objects.put(report_key(shrug), report)
        await world.admitted(1)
        await world.seat(shrug, 1)
        active = model(shrug, "baseline", 1)
        await world.publish(*(world.samples(4, active) for _ in range(80)))
        for _ in range(40):
            samples = decode_samples(world.samples(4, active))
            moved = samples.feature.copy()
            moved[:, 0] += 1
            await world.publish(encode_samples(dataclasses.replace(samples, feature=moved)))
        told = await chain.event(world.client, Drifted, world.name)
    assert (told.on, told.features) == ("features", (world.features[0],))
    assert told.features[0] in told.detail
