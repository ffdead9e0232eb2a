"""Proposals as they are stored: with what the bundle in S3 says of novelty, and the fallback's score."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nats.aio.client import Client
from tests.broker import chain
from tests.broker.inference_world import World, inference_world
from tests.conftest import BUCKET
from tests.unit.inference_models import Made, deployment

from flyball_inference.app import build
from flyball_proto.bundles import novelty_key
from flyball_proto.columns import F32, Decisions
from flyball_proto.novelty import encode_novelty
from flyball_trainer.training.novelty import novelty

pytestmark = pytest.mark.broker

ROWS = np.random.default_rng(0).uniform(0.4, 0.6, size=(200, 2)).astype(F32)
LIKENESS = encode_novelty(novelty(ROWS, ROWS[:19]))


@pytest.fixture
async def world(
    provisioned: Client, tmp_path: Path, unique: str, common: dict[str, Any]
) -> AsyncIterator[World]:
    async with inference_world(provisioned, tmp_path, unique, common) as made:
        yield made


def with_novelty(made: Made) -> Made:
    changes = {
        "novelty_digest": hashlib.sha256(LIKENESS).hexdigest(),
        "trained_through_ms": 60_000,
    }
    return replace(made, manifest=made.manifest.model_copy(update=changes))


def doubted(batches: list[Decisions], name: str) -> list[float]:
    return [x for b in batches for x in getattr(b.doubts, name).tolist()]


async def test_proposals_carry_doubts_also_after_a_restart_without_s3(
    world: World, tmp_path: Path
) -> None:
    active, fallback = with_novelty(world.another(0.75)), world.another(0.5)
    await world.store(active, fallback)
    await world.objects.put(novelty_key(active.digest), LIKENESS)
    await world.point(deployment(1, active, baseline=fallback))
    settings = world.settings(bundle_dir=tmp_path / "bundles")
    await chain.publish_features(world.client, world.name, [0.5, 99.0])
    async with chain.running(build(settings)):
        batches = await chain.decisions(world.client, world.name, 2)
        async with asyncio.timeout(chain.WAIT_S):
            while len(list((tmp_path / "bundles").iterdir())) < 2:
                await asyncio.sleep(0)
    usual, strange = doubted(batches, "novelty")
    assert usual > 0.1
    assert strange == pytest.approx(1 / 20)
    assert doubted(batches, "disagreement") == [0.25, 0.25]
    assert doubted(batches, "feature") == [[0.5, 0.5], [99.0, 99.0]]
    assert {m.trained_ms for b in batches for m in b.model} == {60_000}
    await asyncio.to_thread(world.s3.stop)
    await chain.publish_features(world.client, world.name, [99.0], first=3)
    async with chain.running(build(settings)):
        again = await chain.decisions(world.client, world.name, 3)
    assert doubted(again, "novelty")[2:] == pytest.approx([1 / 20])
    assert doubted(again, "disagreement") == [0.25] * 3


async def test_statistics_that_are_damaged_in_s3_keep_nobody_from_answering(world: World) -> None:
    active = with_novelty(world.another(0.75))
    await world.store(active)
    path = world.s3.objects / BUCKET / novelty_key(active.digest)
    path.write_bytes(LIKENESS[:-8] + b"\0" * 8)
    await world.point(deployment(1, active))
    await chain.publish_features(world.client, world.name, [0.5])
    async with chain.running(build(world.settings())):
        batches = await chain.decisions(world.client, world.name, 1)
    assert np.isnan(doubted(batches, "novelty")).tolist() == [True]
    assert np.isnan(doubted(batches, "disagreement")).tolist() == [True]
    assert doubted(batches, "feature") == [[0.5, 0.5]]
