"""A deployment's life as inference sees it: a canary grows, a rollback, what is refused, what is told."""

import asyncio
import shutil
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from tests.broker import chain
from tests.broker.inference_world import World, inference_world, logged
from tests.unit.inference_models import Made, deployment, unusable
from tests.unit.test_inference_bundle import seed

from flyball_inference.app import build
from flyball_proto import sticky
from flyball_proto.columns import Decisions
from flyball_proto.events import ModelMeasured, ModelTripped

pytestmark = pytest.mark.broker

ELEMENTS = [f"cell-{i}" for i in range(40)]


@pytest.fixture
async def world(
    provisioned: Client, tmp_path: Path, unique: str, common: dict[str, Any]
) -> AsyncIterator[World]:
    async with inference_world(provisioned, tmp_path, unique, common) as made:
        yield made


async def feed_until(world: World, epoch: int, elements: Sequence[str] = ELEMENTS) -> None:
    """Feed batches until one of them was decided under an epoch."""
    async with asyncio.timeout(chain.WAIT_S):
        while (await world.decided(await world.feed(elements)))[-1].model[0].epoch < epoch:
            pass


def answered(batches: Sequence[Decisions]) -> dict[int, dict[str, set[str]]]:
    """Epoch to element to the digests of the models that answered for it."""
    found: dict[int, dict[str, set[str]]] = {}
    for batch in batches:
        (epoch,) = {m.epoch for m in batch.model}
        assert batch.flow.revisions["deployment"] == epoch
        for element, model in zip(batch.rows.element_index, batch.model_index, strict=True):
            of_epoch = found.setdefault(epoch, {})
            name = batch.rows.element[element]
            of_epoch.setdefault(name, set()).add(batch.model[model].digest)
    return found


async def test_a_canary_grows_over_the_same_elements_and_becomes_active(world: World) -> None:
    active, canary = world.made, world.another(0.25)
    await world.store(active, canary)
    await world.point(deployment(1, active))
    async with chain.running(build(world.settings())):
        await world.flipped()
        for epoch, percent in enumerate((5, 25, 100), start=2):
            await world.point(deployment(epoch, active, (canary, percent)))
            await feed_until(world, epoch)
        await world.point(deployment(5, canary))
        await feed_until(world, 5)
        rows = await world.feed(ELEMENTS)
        batches = await world.decided(rows)
    assert [s for b in batches for s in b.rows.sequence] == list(range(1, rows + 1))
    epochs = [b.model[0].epoch for b in batches]
    assert epochs == sorted(epochs)
    for epoch, by_element in answered(batches).items():
        percent = {2: 5, 3: 25, 4: 100, 5: 100}.get(epoch, 0)
        for element, digests in by_element.items():
            theirs = sticky.answers_canary(element, canary.digest, percent)
            assert digests == {(canary if theirs else active).digest}
    for batch in batches:
        assert {(m.stage, m.digest) for m in batch.model} <= {
            ("active", active.digest),
            ("canary", canary.digest),
            ("active", canary.digest),
        }
        scores = {
            0.5 if batch.model[i].digest == active.digest else 0.25 for i in batch.model_index
        }
        assert set(batch.score) == scores


async def kept(folder: Path, count: int) -> None:
    """Wait until so many bundles lie on disk; they are written after they were loaded."""
    async with asyncio.timeout(chain.WAIT_S):
        while len(list(folder.glob("*.bundle"))) < count:
            await asyncio.sleep(0.01)


async def test_a_rollback_to_the_anchor_needs_neither_s3_nor_disk(
    world: World, tmp_path: Path
) -> None:
    anchor, active = world.made, world.another(0.25)
    await world.store(anchor, active)
    await world.point(deployment(1, active, anchor=anchor))
    async with chain.running(build(world.settings(bundle_dir=tmp_path / "bundles"))):
        await world.flipped()
        await kept(tmp_path / "bundles", 2)
        shutil.rmtree(tmp_path / "bundles")
        await asyncio.to_thread(world.s3.stop)
        await world.point(deployment(2, anchor))
        assert (await world.flipped(nth=2)).digest == anchor.digest
        (*_, last) = await world.decided(await world.feed())
    assert [(m.digest, m.epoch) for m in last.model] == [(anchor.digest, 2)]


async def test_active_canary_and_anchor_start_from_disk_while_s3_is_away(
    world: World, tmp_path: Path
) -> None:
    active, canary, anchor = world.made, world.another(0.25), world.another(0.75)
    await world.store(active, canary, anchor)
    folder = tmp_path / "bundles"
    settings = world.settings(bundle_dir=folder)
    await world.point(deployment(1, active, (canary, 25), anchor=anchor))
    async with chain.running(build(settings)):
        await world.flipped()
        await kept(folder, 3)
    await asyncio.to_thread(world.s3.stop)
    async with chain.running(build(settings)):
        await world.flipped(nth=2)
        await feed_until(world, 1)
        await world.point(deployment(2, anchor))
        assert (await world.flipped(nth=3)).digest == anchor.digest


async def test_a_model_that_no_trusted_trainer_signed_never_comes_into_force(
    world: World, tmp_path: Path
) -> None:
    ours, key = seed(tmp_path)
    stranger, _ = seed(tmp_path, "stranger")
    unsigned, foreign, later = (world.another(s) for s in (0.1, 0.2, 0.3))
    await world.store(world.made, later, signed_by=ours)
    await world.store(foreign, signed_by=stranger)
    await world.store(unsigned)
    await world.point(deployment(1, world.made))
    async with chain.running(build(world.settings(trainer_keys=key))):
        await world.flipped()
        for epoch, (made, said) in enumerate(
            ((unsigned, "signature.json does not exist"), (foreign, f"trusted: {key}")), start=2
        ):
            async with logged(said):
                await world.point(deployment(epoch, made))
            (*_, last) = await world.decided(await world.feed())
            assert [(m.digest, m.epoch) for m in last.model] == [(world.made.digest, 1)]
        await world.point(deployment(4, later))
        assert (await world.flipped(nth=2)).digest == later.digest


async def test_while_a_canary_answers_the_time_that_both_take_is_told(world: World) -> None:
    active, canary = world.made, world.another(0.25)
    await world.store(active, canary)
    await world.point(deployment(1, active, (canary, 25)))
    async with chain.running(build(world.settings(measure_every_s=0.05))):
        await world.flipped()
        await world.decided(await world.feed(ELEMENTS))
        told = await chain.event(world.client, ModelMeasured, world.name)
    assert (told.partition, told.epoch) == (0, 1)
    assert told.calls == {active.digest: 1, canary.digest: 1}
    assert all(0 < p99_ms < 60_000 for p99_ms in told.p99_ms.values())


async def trips(world: World) -> int:
    return await chain.count(world.client, ModelTripped, world.name)


async def test_a_model_whose_scores_are_no_numbers_trips_once_an_epoch(world: World) -> None:
    good, bad = world.made, world.another(float("nan"))
    await world.store(good, bad)
    await world.point(deployment(1, good, (bad, 100)))
    async with chain.running(build(world.settings())):
        await world.flipped()
        for _ in range(12):
            await world.decided(await world.feed(ELEMENTS))
        told = await chain.event(world.client, ModelTripped, world.name)
        assert (told.digest, told.epoch) == (bad.digest, 1)
        assert "scores in a row are no numbers" in told.detail
        await world.point(deployment(2, bad))
        await feed_until(world, 2)
        for _ in range(6):
            await world.decided(await world.feed(ELEMENTS))
        again = await chain.event(world.client, ModelTripped, world.name, nth=2)
        assert (again.digest, again.epoch) == (bad.digest, 2)
        await world.point(deployment(3, good))
        await feed_until(world, 3)
    assert await trips(world) == 2


def broken(world: World) -> Made:
    return unusable(world.name)


async def test_a_model_that_cannot_be_run_trips_and_the_one_in_force_stays(world: World) -> None:
    await world.store(world.made, broken(world))
    await world.point(deployment(1, world.made))
    async with chain.running(build(world.settings())):
        await world.flipped()
        await world.point(deployment(2, broken(world)))
        told = await chain.event(world.client, ModelTripped, world.name)
        assert (told.digest, told.epoch) == (broken(world).digest, 2)
        (*_, last) = await world.decided(await world.feed())
        assert [m.epoch for m in last.model] == [1]
        await world.point(deployment(3, world.made))
        await feed_until(world, 3)
    assert await trips(world) == 1
