"""How inference comes by its models when something is away, damaged or foreign."""

import asyncio
import logging
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from minio import Minio
from nats.aio.client import Client
from pydantic import SecretStr
from tests.broker import chain
from tests.conftest import BUCKET
from tests.unit.inference_models import Made, constant, deployment
from typing_extensions import override

from flyball_inference.app import build
from flyball_inference.settings import Settings
from flyball_kit import signing
from flyball_kit.kv import Kv
from flyball_kit.objects import Objects
from flyball_kit.settings import KitSettings
from flyball_local.engines import S3Engine
from flyball_proto import streams
from flyball_proto.bundles import encode_manifest, manifest_key, onnx_key, signature_key
from flyball_proto.deployments import ActiveModel
from flyball_proto.events import InputLost, ModelFlipped
from flyball_proto.spec import Pipeline

pytestmark = pytest.mark.broker


class World:
    """A pipeline that is applied, an S3 server of its own, and the means to move the pointer."""

    def __init__(self, client: Client, s3: S3Engine, name: str, common: dict[str, Any]) -> None:
        self.client, self.s3, self.name = client, s3, name
        self.common = common | {
            "s3_endpoint": s3.endpoint,
            "s3_access_key": s3.access_key,
            "s3_secret_key": SecretStr(s3.secret_key),
            "retry_s": 0.05,
        }
        self.pointers: Kv[ActiveModel] = Kv(lambda: client, streams.DEPLOYMENTS, ActiveModel)
        self.made = constant(0.5, name)

    def settings(self, **more: Any) -> Settings:
        return Settings(**self.common, **more)

    async def apply(self) -> None:
        specs: Kv[Pipeline] = Kv(lambda: self.client, streams.PIPELINES, Pipeline)
        value = chain.catalogue(self.name).pipelines[self.name]
        await specs.save(f"pipeline.{self.name}", value, revision=0)

    def another(self, score: float) -> Made:
        """A model of this pipeline that always says so."""
        return constant(score, self.name)

    async def store(self, *made: Made, signed_by: Path | None = None) -> None:
        objects = Objects(KitSettings(**{k: v for k, v in self.common.items() if k != "retry_s"}))
        for one in made or (self.made,):
            manifest = encode_manifest(one.manifest)
            await objects.put(onnx_key(one.digest), one.onnx)
            await objects.put(manifest_key(one.digest), manifest)
            if signed_by is not None:
                signature = signing.sign(signed_by, manifest).model_dump_json().encode()
                await objects.put(signature_key(one.digest), signature)

    async def point(self, to: ActiveModel) -> None:
        _, revision = await self.pointers.load(self.name)
        await self.pointers.save(self.name, to, revision=revision)

    async def flipped(self, nth: int = 1) -> ModelFlipped:
        return await chain.event(self.client, ModelFlipped, self.name, nth)


@pytest.fixture
async def world(
    provisioned: Client, tmp_path: Path, unique: str, common: dict[str, Any]
) -> AsyncIterator[World]:
    s3 = S3Engine(tmp_path / "s3")
    await asyncio.to_thread(s3.start)
    Minio(s3.endpoint, s3.access_key, s3.secret_key, secure=False, region="us-east-1").make_bucket(
        BUCKET
    )
    made = World(provisioned, s3, unique, common)
    await made.apply()
    yield made
    await asyncio.to_thread(s3.stop)


class Ear(logging.Handler):
    """Hears one sentence in the log."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self._text, self.heard = text, asyncio.Event()

    @override
    def emit(self, record: logging.LogRecord) -> None:
        if self._text in record.getMessage():
            self.heard.set()


@asynccontextmanager
async def logged(text: str) -> AsyncIterator[None]:
    """Wait at the end of the block until something was said in it."""
    ear, log = Ear(text), logging.getLogger("flyball.inference.desk")
    log.addHandler(ear)
    try:
        yield
        async with asyncio.timeout(chain.WAIT_S):
            await ear.heard.wait()
    finally:
        log.removeHandler(ear)


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
