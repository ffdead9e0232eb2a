"""What a runtime says of itself, and how it comes by a smaller form of a model."""

import asyncio
import hashlib
from collections.abc import AsyncIterator, Callable
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from tests.broker import chain
from tests.broker.inference_world import World, inference_world
from tests.unit.inference_models import Made, deployment
from tests.unit.test_inference_bundle import seed

from flyball_inference.app import build
from flyball_kit.kv import Kv
from flyball_proto import streams
from flyball_proto.bundles import variant_key
from flyball_proto.deployments import ActiveModel
from flyball_proto.events import Variant
from flyball_proto.runtimes import RuntimeState

pytestmark = pytest.mark.broker


@pytest.fixture
async def world(
    provisioned: Client, tmp_path: Path, unique: str, common: dict[str, Any]
) -> AsyncIterator[World]:
    async with inference_world(provisioned, tmp_path, unique, common) as made:
        yield made


async def said(world: World, so: Callable[[RuntimeState], object]) -> RuntimeState:
    """Wait until a runtime of the pipeline says so."""
    kv: Kv[RuntimeState] = Kv(lambda: world.client, streams.RUNTIMES, RuntimeState)
    async with asyncio.timeout(chain.WAIT_S), aclosing(kv.watch()) as changes:
        async for change in changes:
            state = change.value
            if state is not None and state.pipeline == world.name and so(state):
                return state
    raise AssertionError


async def left(world: World) -> list[str]:
    kv: Kv[RuntimeState] = Kv(lambda: world.client, streams.RUNTIMES, RuntimeState)
    return [key for key in await kv.items() if key.endswith(f".{world.name}")]


def with_variant(made: Made, smaller: Made, digest: str = "") -> Made:
    """`made` whose int8 form is another model, so that one can see which of them answers."""
    found = Variant(
        precision="int8",
        digest=digest or hashlib.sha256(smaller.onnx).hexdigest(),
        size_bytes=len(smaller.onnx),
        difference=0.0,
        tolerance=1.0,
    )
    return Made(made.manifest.model_copy(update={"variants": (found,)}), made.onnx)


def int8(epoch: int, made: Made) -> ActiveModel:
    return deployment(epoch, made).model_copy(update={"precision": "int8"})


async def put_variant(world: World, made: Made, smaller: Made) -> None:
    await world.objects.put(variant_key(made.digest, "int8"), smaller.onnx)


async def test_a_runtime_says_what_it_can_and_what_is_in_force_and_leaves_nothing_behind(
    world: World,
) -> None:
    other = world.another(0.25)
    await world.store(world.made, other)
    settings = world.settings(precisions="int8, float32", model_memory_mb=30)
    async with chain.running(build(settings)):
        found = await said(world, lambda state: state.epoch == 0)
        assert (found.precisions, found.memory_mb) == (("int8", "float32"), 30)
        assert found.providers == ("CPUExecutionProvider",)
        await world.point(deployment(1, world.made))
        first = await said(world, lambda state: state.epoch == 1)
        await world.point(deployment(2, other))
        second = await said(world, lambda state: state.epoch == 2)
        assert (first.digest, second.digest) == (world.made.digest, other.digest)
        assert (second.instance, second.wanted_epoch) == (first.instance, 2)
        assert second.trouble == ""
        assert await left(world) == [f"{first.instance}.{world.name}"]
    assert await left(world) == []


async def test_a_key_that_somebody_took_away_comes_back_with_the_next_change(world: World) -> None:
    await world.store(world.made)
    await world.point(deployment(1, world.made))
    kv: Kv[RuntimeState] = Kv(lambda: world.client, streams.RUNTIMES, RuntimeState)
    async with chain.running(build(world.settings())):
        found = await said(world, lambda state: state.epoch == 1 and not state.trouble)
        key = f"{found.instance}.{world.name}"
        _, revision = await kv.load(key)
        await kv.delete(key, revision=revision)
        await world.point(deployment(2, world.made))
        assert (await said(world, lambda state: state.epoch == 2)).instance == found.instance


async def test_what_cannot_be_loaded_is_said_until_something_else_is_in_force(world: World) -> None:
    await world.store(world.made)
    await world.point(deployment(1, world.made))
    async with chain.running(build(world.settings(precisions="float32"))):
        await said(world, lambda state: state.epoch == 1)
        await world.point(deployment(2, world.another(0.25)))
        found = await said(world, lambda state: state.trouble)
        assert "does not exist" in found.trouble
        assert (found.epoch, found.wanted_epoch) == (1, 2)
        await world.point(int8(3, world.made))
        found = await said(world, lambda state: "int8" in state.trouble)
        assert "int8 is wanted, this runtime may run float32" in found.trouble
        await world.point(deployment(4, world.made))
        found = await said(world, lambda state: state.epoch == 4)
        found = await said(world, lambda state: not state.trouble)


async def test_a_variant_answers_is_named_in_every_row_and_kept_on_disk(
    world: World, tmp_path: Path
) -> None:
    ours, key = seed(tmp_path)
    smaller = world.another(0.25)
    made = with_variant(world.made, smaller)
    await world.store(made, signed_by=ours)
    await put_variant(world, made, smaller)
    await world.point(int8(1, made))
    folder = tmp_path / "bundles"
    settings = world.settings(bundle_dir=folder, trainer_keys=key)
    async with chain.running(build(settings)):
        found = await said(world, lambda state: state.epoch == 1)
        assert (found.digest, found.precision) == (made.digest, "int8")
        (batch,) = await world.decided(await world.feed())
        assert batch.score.tolist() == [0.25]
        assert [(m.digest, m.precision) for m in batch.model] == [(made.digest, "int8")]
        async with asyncio.timeout(chain.WAIT_S):
            while not list(folder.glob("*.bundle")):
                await asyncio.sleep(0.01)
    assert [p.name for p in folder.iterdir()] == [f"{world.name}.{made.digest}.int8.bundle"]
    await asyncio.to_thread(world.s3.stop)
    async with chain.running(build(settings)):
        await said(world, lambda state: state.epoch == 1)


@pytest.mark.parametrize("how", ["damaged", "unknown"])
async def test_a_variant_that_the_signed_manifest_does_not_vouch_for_never_answers(
    world: World, tmp_path: Path, how: str
) -> None:
    ours, key = seed(tmp_path)
    smaller = world.another(0.25)
    made = with_variant(world.made, smaller, "0" * 64) if how == "damaged" else world.made
    await world.store(made, signed_by=ours)
    await put_variant(world, made, smaller)
    await world.point(deployment(1, made))
    words = {"damaged": "SHA-256 of the ONNX file", "unknown": "names no int8 variant"}
    async with chain.running(build(world.settings(trainer_keys=key))):
        await said(world, lambda state: state.epoch == 1)
        await world.point(int8(2, made))
        found = await said(world, lambda state: state.trouble)
        assert words[how] in found.trouble
        (batch,) = await world.decided(await world.feed())
        assert [(m.epoch, m.precision) for m in batch.model] == [(1, "")]


async def test_a_model_larger_than_its_share_of_the_memory_is_not_loaded(world: World) -> None:
    await world.store(world.made)
    await world.point(deployment(1, world.made))
    async with chain.running(build(world.settings(model_memory_mb=0.000_3))):
        found = await said(world, lambda state: state.trouble)
        assert "a third of MODEL_MEMORY_MB = 0.0003" in found.trouble
