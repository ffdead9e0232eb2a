"""How inference comes by its models when something is away, damaged or foreign."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from tests.broker import chain
from tests.broker.inference_world import World, inference_world, logged
from tests.conftest import BUCKET
from tests.unit.inference_models import deployment

from flyball_inference.app import build
from flyball_kit.kv import Kv
from flyball_proto import streams
from flyball_proto.bundles import encode_manifest, onnx_key
from flyball_proto.deployments import ActiveModel
from flyball_proto.events import InputLost
from flyball_proto.spec import Pipeline

pytestmark = pytest.mark.broker


@pytest.fixture
async def world(
    provisioned: Client, tmp_path: Path, unique: str, common: dict[str, Any]
) -> AsyncIterator[World]:
    async with inference_world(provisioned, tmp_path, unique, common) as made:
        yield made


async def test_while_s3_is_away_inference_waits_and_then_recovers(
    world: World,
) -> None:
    await world.store()
    await asyncio.to_thread(world.s3.stop)
    async with chain.running(build(world.settings())):
        async with logged("does not answer"):
            await world.point(deployment(1, world.made))
        await asyncio.to_thread(world.s3.start)
        assert (await world.flipped()).epoch == 1


async def test_the_last_bundle_on_disk_serves_while_s3_is_away(
    world: World, tmp_path: Path
) -> None:
    await world.store()
    await world.point(deployment(1, world.made))
    settings = world.settings(bundle_dir=tmp_path / "bundles")
    async with chain.running(build(settings)):
        await world.flipped()
    await asyncio.to_thread(world.s3.stop)
    await chain.publish_features(world.client, world.name, [0.1, 0.2])
    async with chain.running(build(settings)):
        await world.flipped(nth=2)
        await chain.decisions(world.client, world.name, 2)


async def nothing_there(world: World) -> ActiveModel:
    return deployment(2, world.another(0.25))


async def truncated(world: World) -> ActiveModel:
    """S3 holds fewer bytes than the digest says."""
    other = world.another(0.25)
    path = world.s3.objects / BUCKET / onnx_key(other.digest)
    path.parent.mkdir(parents=True)
    path.write_bytes(other.onnx[:-7])
    (path.parent / "manifest.json").write_bytes(encode_manifest(other.manifest))
    return deployment(2, other)


async def of_other_features(world: World) -> ActiveModel:
    return deployment(2, world.made).model_copy(update={"feature_digest": "2" * 64})


@pytest.mark.parametrize(
    ("damage", "said"),
    [
        (nothing_there, "does not exist"),
        (truncated, "SHA-256 of the ONNX file"),
        (of_other_features, "the model in force stays"),
    ],
)
async def test_a_model_that_cannot_be_loaded_leaves_the_active_one_in_force(
    world: World,
    damage: Callable[[World], Awaitable[ActiveModel]],
    said: str,
) -> None:
    await world.store()
    await world.point(deployment(1, world.made))
    async with chain.running(build(world.settings())):
        await world.flipped()
        async with logged(said):
            await world.point(await damage(world))
        await chain.publish_features(world.client, world.name, [0.3])
        (batch,) = await chain.decisions(world.client, world.name, 1)
        assert [m.epoch for m in batch.model] == [1]
        other = world.another(0.75)
        await world.store(other)
        await world.point(deployment(3, other))
        assert (await world.flipped(nth=2)).epoch == 3


async def test_a_flip_falls_between_two_messages_and_every_row_names_its_model(
    world: World,
) -> None:
    made = [world.made, world.another(0.25)]
    await world.store(*made)
    await world.point(deployment(1, made[0]))
    rows = 0
    async with chain.running(build(world.settings())):
        await world.flipped()
        for epoch in range(2, 6):
            await world.point(deployment(epoch, made[(epoch + 1) % 2]))
            flipping = asyncio.ensure_future(world.flipped(nth=epoch))
            while not flipping.done():
                await chain.publish_features(world.client, world.name, [0.5] * 3, first=rows + 1)
                rows += 3
            await flipping
        await chain.publish_features(world.client, world.name, [0.5] * 3, first=rows + 1)
        batches = await chain.decisions(world.client, world.name, rows + 3)
    assert [s for b in batches for s in b.rows.sequence] == list(range(1, rows + 4))
    assert all(len(b.model) == 1 for b in batches)
    epochs = [b.model[0].epoch for b in batches]
    assert epochs == sorted(epochs)
    assert epochs[-1] == 5
    for batch in batches:
        (model,) = batch.model
        assert batch.flow.revisions["deployment"] == model.epoch
        assert model.digest == made[(model.epoch + 1) % 2].digest
        assert set(batch.score) <= {(0.5, 0.25)[(model.epoch + 1) % 2]}


async def test_features_that_the_model_was_not_made_for_stop_the_fold_and_are_told(
    world: World,
) -> None:
    await world.store()
    await world.point(deployment(1, world.made))
    async with chain.running(build(world.settings())):
        await world.flipped()
        await chain.publish_features(world.client, world.name, [0.5], digest="f" * 64)
        told = await chain.event(world.client, InputLost, world.name)
    assert "f" * 64 in told.detail
    assert world.made.manifest.feature_digest in told.detail


async def test_other_decision_rules_hold_from_the_next_output_on(world: World) -> None:
    await world.store()
    await world.point(deployment(1, world.made))
    specs: Kv[Pipeline] = Kv(lambda: world.client, streams.PIPELINES, Pipeline)
    rules = [{"action": "reboot", "score_at_least": 0.01}]
    changed = chain.catalogue(world.name, decisions=rules).pipelines[world.name]
    async with chain.running(build(world.settings())):
        await world.flipped()
        _, before = await specs.load(f"pipeline.{world.name}")
        after = await specs.save(f"pipeline.{world.name}", changed, revision=before)
        found, rows = [], 0
        async with asyncio.timeout(chain.WAIT_S):
            while not found or found[-1].flow.revisions["decisions"] != after:
                await chain.publish_features(world.client, world.name, [0.9], first=rows + 1)
                rows += 1
                found = await chain.decisions(world.client, world.name, rows)
    assert tuple(found[-1].action) == ("reboot",)
    assert found[-1].action_index.tolist() == [1]
