import asyncio
import shutil
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from tests.broker.chain import catalogue
from tests.unit.inference_models import Made, constant, deployment, unusable

from flyball_inference.desk import Desk, Flip, Standing
from flyball_inference.hot import Hot
from flyball_inference.scoring import score
from flyball_inference.store import Bundles
from flyball_inference.trips import Trip
from flyball_kit.errors import PermanentError, TransientError
from flyball_kit.objects import Objects
from flyball_kit.settings import KitSettings
from flyball_proto.columns import F32, Model

PIPELINE = catalogue("p").pipelines["p"]
SEAT_ZERO, FIRST, SECOND, THIRD = (constant(s) for s in (0.5, 0.1, 0.2, 0.3))
NOBODY = "127.0.0.1:1"
PATIENCE_S = 10


class Told:
    """Hears of flips and trips; fails as often as asked to."""

    def __init__(self, failures: int = 0) -> None:
        self.flips: asyncio.Queue[Flip] = asyncio.Queue()
        self.trips: asyncio.Queue[Trip] = asyncio.Queue()
        self.failures = failures

    async def flip(self, flip: Flip) -> None:
        self._fail()
        await self.flips.put(flip)

    async def trip(self, trip: Trip) -> None:
        self._fail()
        await self.trips.put(trip)

    async def epoch(self) -> int:
        async with asyncio.timeout(PATIENCE_S):
            return (await self.flips.get()).pointer.epoch

    async def tripped(self) -> Trip:
        async with asyncio.timeout(PATIENCE_S):
            return await self.trips.get()

    def _fail(self) -> None:
        if self.failures:
            self.failures -= 1
            raise TransientError("the broker does not answer")


class World:
    """A desk at work, the bundles that its disk holds from the start, and its S3 away."""

    def __init__(self, folder: Path, told: Told, endpoint: str) -> None:
        self.folder, self.told = folder, told
        bundles = Bundles(Objects(KitSettings(s3_endpoint=endpoint)), folder, 1 << 20)
        self.hot = Hot("p", bundles)
        self._bundles = bundles
        self.noticed = 0
        self.desk = Desk(
            "p",
            hot=self.hot,
            seated=told.flip,
            tripped=told.trip,
            retry_s=0.01,
            noticed=self.notice,
        )

    def notice(self) -> None:
        self.noticed += 1

    async def keep(self, *made: Made) -> None:
        await self._bundles.keep("p", [m.bundle for m in made], {m.digest for m in made})

    def on_disk(self) -> set[str]:
        return {path.name.split(".")[1] for path in self.folder.iterdir()}

    async def until(self, ready: Any) -> None:
        """Wait for what is done after a flip."""
        async with asyncio.timeout(PATIENCE_S):
            while not ready():
                await asyncio.sleep(0)

    async def flip_to(self, *how: Any, **more: Any) -> None:
        """Change the deployment and wait until it is in force and tidied up after."""
        pointer = deployment(*how, **more)
        used = {p.digest for p in (pointer, pointer.canary, pointer.anchor, pointer.baseline) if p}
        self.desk.want(pointer)
        async with asyncio.timeout(PATIENCE_S):
            await self.desk.in_force(pointer.epoch)
        await self.until(lambda: self.hot.names == used)


@asynccontextmanager
async def at_work(
    folder: Path, told: Told, *made: Made, endpoint: str = NOBODY
) -> AsyncIterator[World]:
    world = World(folder, told, endpoint)
    await world.keep(*(made or (SEAT_ZERO,)))
    working = asyncio.create_task(world.desk.run())
    yield world
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)


async def test_a_desk_says_what_it_waits_for_until_a_model_is_in_force(tmp_path: Path) -> None:
    told = Told()
    async with at_work(tmp_path, told) as world:
        desk = world.desk
        assert "waits for its specification" in (desk.waits_for() or "")
        desk.specify(PIPELINE, 7)
        assert "waits for an active model" in (desk.waits_for() or "")
        with pytest.raises(PermanentError, match="no model is in force"):
            _ = desk.seat
        desk.want(deployment(1, SEAT_ZERO))
        assert f"loads {SEAT_ZERO.digest[:12]}" in (desk.waits_for() or "")
        assert await told.epoch() == 1
        assert desk.waits_for() is None
        assert (desk.seat.epoch, desk.seat.rules_revision) == (1, 7)


async def test_an_older_epoch_is_ignored(tmp_path: Path) -> None:
    told = Told()
    async with at_work(tmp_path, told, FIRST, SECOND) as world:
        world.desk.specify(PIPELINE, 7)
        world.desk.want(deployment(2, FIRST))
        assert await told.epoch() == 2
        world.desk.want(deployment(1, SECOND))
        assert world.desk.seat.epoch == 2


async def test_a_flip_is_told_until_somebody_heard_and_loaded_once(tmp_path: Path) -> None:
    told = Told(failures=2)
    async with at_work(tmp_path, told) as world:
        world.desk.specify(PIPELINE, 7)
        world.desk.want(deployment(1, SEAT_ZERO))
        assert await told.epoch() == 1
        assert world.desk.seat.epoch == 1
        assert told.flips.empty()


async def test_a_pointer_that_moves_on_overtakes_one_that_cannot_be_loaded(tmp_path: Path) -> None:
    told = Told()
    async with at_work(tmp_path, told) as world:
        world.desk.specify(PIPELINE, 7)
        world.desk.want(deployment(1, FIRST))
        await world.until(lambda: world.desk.trouble)
        world.desk.want(deployment(2, SEAT_ZERO))
        assert await told.epoch() == 2
        await world.until(lambda: world.desk.trouble is None)


async def test_rules_that_change_hold_at_once_and_load_nothing(tmp_path: Path) -> None:
    told = Told()
    async with at_work(tmp_path, told) as world:
        world.desk.specify(PIPELINE, 7)
        await world.flip_to(1, SEAT_ZERO)
        shutil.rmtree(tmp_path)
        world.desk.specify(PIPELINE, 8)
        assert world.desk.seat.rules_revision == 8
        assert world.desk.trouble is None


async def test_a_canary_comes_into_force_with_its_epoch_and_only_other_active_models_are_told(
    tmp_path: Path,
) -> None:
    told = Told()
    async with at_work(tmp_path, told, SEAT_ZERO, FIRST) as world:
        world.desk.specify(PIPELINE, 7)
        await world.flip_to(1, SEAT_ZERO, anchor=FIRST)  # else its file would go
        for epoch, percent in enumerate((5, 25, 100), start=2):
            await world.flip_to(epoch, SEAT_ZERO, (FIRST, percent))
            seat = world.desk.seat
            assert seat.canary is not None
            assert seat.active.model == Model(SEAT_ZERO.digest, epoch, "active", "baseline")
            assert seat.canary.model == Model(FIRST.digest, epoch, "canary", "baseline")
            assert seat.percent == percent
        await world.flip_to(5, FIRST)
        assert world.desk.seat.canary is None
        assert [await told.epoch(), await told.epoch()] == [1, 5]
        assert told.flips.empty()


async def test_a_canary_that_cannot_be_loaded_leaves_everything_as_it_is(tmp_path: Path) -> None:
    told = Told()
    async with at_work(tmp_path, told, SEAT_ZERO, FIRST) as world:
        world.desk.specify(PIPELINE, 7)
        await world.flip_to(1, SEAT_ZERO)
        world.desk.want(deployment(2, FIRST, (SECOND, 5)))
        await world.until(lambda: "does not answer" in (world.desk.trouble or ""))
        assert world.desk.seat.active.model.digest == SEAT_ZERO.digest
        assert world.desk.epoch == 1


async def test_a_canary_of_other_features_is_refused(tmp_path: Path) -> None:
    told = Told()
    async with at_work(tmp_path, told, SEAT_ZERO, FIRST) as world:
        world.desk.specify(PIPELINE, 7)
        await world.flip_to(1, SEAT_ZERO)
        wanted = deployment(2, SEAT_ZERO, (FIRST, 5))
        assert wanted.canary is not None
        foreign = wanted.canary.model_copy(update={"feature_digest": "f" * 64})
        world.desk.want(wanted.model_copy(update={"canary": foreign}))
        await world.until(lambda: "model of features ffffffff" in (world.desk.trouble or ""))
        assert world.desk.epoch == 1


async def test_a_rollback_to_the_anchor_needs_neither_s3_nor_disk(tmp_path: Path) -> None:
    told = Told()
    async with at_work(tmp_path, told, FIRST, SECOND) as world:
        world.desk.specify(PIPELINE, 7)
        await world.flip_to(1, SECOND, anchor=FIRST)
        shutil.rmtree(tmp_path)
        await world.flip_to(2, FIRST)
        assert world.desk.seat.active.model.digest == FIRST.digest


async def test_without_an_anchor_the_baseline_is_kept_hot(tmp_path: Path) -> None:
    told = Told()
    async with at_work(tmp_path, told, SEAT_ZERO, FIRST) as world:
        world.desk.specify(PIPELINE, 7)
        await world.flip_to(1, FIRST, baseline=SEAT_ZERO)
        tmp_path.rename(tmp_path.with_name(f"{tmp_path.name}-gone"))
        await world.flip_to(2, SEAT_ZERO, baseline=SEAT_ZERO)


async def test_another_anchor_in_the_same_epoch_is_loaded_and_told_to_nobody(
    tmp_path: Path,
) -> None:
    told = Told()
    async with at_work(tmp_path, told, SEAT_ZERO, FIRST, SECOND) as world:
        world.desk.specify(PIPELINE, 7)
        await world.flip_to(1, SECOND, (SEAT_ZERO, 5), anchor=FIRST)
        world.desk.want(deployment(1, SECOND, (SEAT_ZERO, 5), anchor=SEAT_ZERO))
        await world.until(lambda: world.hot.names == {SECOND.digest, SEAT_ZERO.digest})
        assert await told.epoch() == 1
        assert told.flips.empty()


async def test_deployments_that_move_faster_than_anybody_is_told_leave_no_models_loaded(
    tmp_path: Path,
) -> None:
    told = Told(failures=1_000_000)
    async with at_work(tmp_path, told, SEAT_ZERO, FIRST, SECOND, THIRD) as world:
        world.desk.specify(PIPELINE, 7)
        for epoch, made in enumerate((SEAT_ZERO, FIRST, SECOND, THIRD), start=1):
            world.desk.want(deployment(epoch, made))
            async with asyncio.timeout(PATIENCE_S):
                await world.desk.in_force(epoch)
            assert world.hot.names == {made.digest}


async def test_what_runs_is_noticed_when_it_changes_and_says_why_it_does_not(
    tmp_path: Path,
) -> None:
    told = Told()
    async with at_work(tmp_path, told, SEAT_ZERO) as world:
        world.desk.specify(PIPELINE, 7)
        await world.flip_to(1, SEAT_ZERO)
        assert world.desk.standing == Standing(SEAT_ZERO.digest, "float32", 1, 1, "")
        world.desk.want(deployment(2, FIRST))
        await world.until(lambda: world.desk.standing.trouble)
        found = world.desk.standing
        assert (found.digest, found.epoch, found.wanted_epoch) == (SEAT_ZERO.digest, 1, 2)
        assert "does not answer" in found.trouble
    assert world.noticed >= 4  # wanted, in force, wanted, in trouble


async def test_an_anchor_that_cannot_be_loaded_is_said_and_keeps_nobody_from_answering(
    tmp_path: Path,
) -> None:
    told = Told()
    async with at_work(tmp_path, told, FIRST) as world:
        world.desk.specify(PIPELINE, 7)
        world.desk.want(deployment(1, FIRST, anchor=SECOND))
        assert await told.epoch() == 1
        await world.until(lambda: "does not answer" in (world.desk.trouble or ""))
        assert world.desk.waits_for() is None


async def test_what_nobody_needs_is_unloaded_and_leaves_the_disk(tmp_path: Path) -> None:
    told = Told()
    async with at_work(tmp_path, told, SEAT_ZERO, FIRST, SECOND, THIRD) as world:
        world.desk.specify(PIPELINE, 7)
        await world.flip_to(1, FIRST, (SECOND, 5), anchor=THIRD)
        everything = {FIRST.digest, SECOND.digest, THIRD.digest}
        await world.until(lambda: world.on_disk() == everything)
        await world.flip_to(2, FIRST, anchor=THIRD)
        await world.until(lambda: world.on_disk() == everything - {SECOND.digest})


async def test_a_model_that_cannot_run_trips_once_an_epoch_and_the_one_in_force_stays(
    tmp_path: Path,
) -> None:
    told, broken = Told(), unusable()
    async with at_work(tmp_path, told, SEAT_ZERO, broken) as world:
        world.desk.specify(PIPELINE, 7)
        await world.flip_to(1, SEAT_ZERO)
        await world.until(lambda: world.on_disk() == {SEAT_ZERO.digest})
        told.failures = 1
        for epoch in (2, 3):
            await world.keep(SEAT_ZERO, broken)
            world.desk.want(deployment(epoch, SEAT_ZERO, (broken, 5)))
            trip = await told.tripped()
            assert (trip.digest, trip.epoch) == (broken.digest, epoch)
            assert "cannot be used" in trip.detail
            assert world.desk.epoch == 1
        world.desk.want(deployment(4, SEAT_ZERO))
        async with asyncio.timeout(PATIENCE_S):
            await world.desk.in_force(4)
        assert told.trips.empty()


async def test_scores_that_are_no_numbers_trip_once_an_epoch(tmp_path: Path) -> None:
    told = Told()
    async with at_work(tmp_path, told, SEAT_ZERO, FIRST) as world:
        world.desk.specify(PIPELINE, 7)
        for epoch, made in enumerate((SEAT_ZERO, FIRST), start=1):
            await world.flip_to(epoch, made, anchor=FIRST)
            for _ in range(3):
                world.desk.trip(world.desk.seat.active.model, "of 100")
            assert await told.tripped() == Trip(made.digest, epoch, "of 100")
        assert told.trips.empty()


@asynccontextmanager
async def silent_server() -> AsyncIterator[tuple[str, asyncio.Event]]:
    """Something that takes connections, says nothing, and says when somebody came."""
    came, open_ends = asyncio.Event(), list[asyncio.StreamWriter]()

    async def meet(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        open_ends.append(writer)
        came.set()

    server = await asyncio.start_server(meet, "127.0.0.1", 0)
    yield f"127.0.0.1:{server.sockets[0].getsockname()[1]}", came
    server.close()
    for writer in open_ends:
        writer.close()


async def test_a_rollback_overtakes_a_load_that_hangs(tmp_path: Path) -> None:
    told = Told()
    async with (
        silent_server() as (endpoint, came),
        at_work(tmp_path, told, FIRST, SECOND, endpoint=endpoint) as world,
    ):
        world.desk.specify(PIPELINE, 7)
        await world.flip_to(1, SECOND, anchor=FIRST)
        world.desk.want(deployment(2, SECOND, (THIRD, 5), anchor=FIRST))
        async with asyncio.timeout(PATIENCE_S):
            await came.wait()
        await world.flip_to(3, FIRST)
        assert world.desk.trouble is None  # the load was dropped, it did not fail


async def test_the_first_decision_of_a_process_is_compared_with_where_a_rollback_would_lead(
    tmp_path: Path,
) -> None:
    told = Told()
    async with at_work(tmp_path, told, FIRST, SECOND) as world:
        world.desk.specify(PIPELINE, 7)
        world.desk.want(deployment(1, SECOND, anchor=FIRST))
        async with asyncio.timeout(PATIENCE_S):
            await world.desk.in_force(1)
        fallback = world.desk.seat.fallback
        assert fallback is not None
        assert fallback.model == Model(FIRST.digest, 1, "fallback", "baseline")
        rows = np.zeros((3, 2), F32)
        assert score(fallback.run, rows).scores.tolist() == [0.1, 0.1, 0.1]


async def test_an_epoch_is_in_force_only_with_its_fallback_unless_that_cannot_be_loaded(
    tmp_path: Path,
) -> None:
    told = Told()
    async with at_work(tmp_path, told, SEAT_ZERO, FIRST, SECOND) as world:
        world.desk.specify(PIPELINE, 7)
        world.desk.want(deployment(1, FIRST))
        async with asyncio.timeout(PATIENCE_S):
            await world.desk.in_force(1)
            assert world.desk.seat.fallback is None
            await world.keep(FIRST, SECOND, SEAT_ZERO)
            for epoch, made in enumerate((SECOND, FIRST, SECOND), start=2):
                world.desk.want(deployment(epoch, made, baseline=SEAT_ZERO))
                await world.desk.in_force(epoch)
                fallback = world.desk.seat.fallback
                assert fallback is not None
                assert (fallback.model.digest, fallback.model.epoch) == (SEAT_ZERO.digest, epoch)
                await world.keep(FIRST, SECOND, SEAT_ZERO)
            world.desk.want(deployment(5, SECOND, anchor=THIRD))
            await world.desk.in_force(5)
        assert world.desk.seat.fallback is None
        await world.until(lambda: "does not answer" in (world.desk.trouble or ""))


async def test_another_anchor_in_the_same_epoch_is_compared_with_from_then_on(
    tmp_path: Path,
) -> None:
    told = Told()
    async with at_work(tmp_path, told, SEAT_ZERO, FIRST, SECOND) as world:
        world.desk.specify(PIPELINE, 7)
        await world.flip_to(1, SECOND, anchor=FIRST)
        await world.keep(SEAT_ZERO, FIRST, SECOND)
        world.desk.want(deployment(1, SECOND, anchor=SEAT_ZERO))
        await world.until(
            lambda: (found := world.desk.seat.fallback) and found.model.digest == SEAT_ZERO.digest
        )


async def test_a_fallback_of_other_features_or_classes_is_not_compared_with(tmp_path: Path) -> None:
    told = Told()
    other = replace(FIRST, manifest=FIRST.manifest.model_copy(update={"task": "regression"}))
    async with at_work(tmp_path, told, other, SECOND) as world:
        world.desk.specify(PIPELINE, 7)
        await world.flip_to(1, SECOND, anchor=other)
        async with asyncio.timeout(PATIENCE_S):
            await world.desk.in_force(1)
        assert other.digest in world.hot.names
        assert world.desk.seat.fallback is None


async def test_a_decision_says_through_when_its_model_learnt(tmp_path: Path) -> None:
    told = Told()
    learnt = replace(
        FIRST, manifest=FIRST.manifest.model_copy(update={"trained_through_ms": 90_000})
    )
    async with at_work(tmp_path, told, learnt) as world:
        world.desk.specify(PIPELINE, 7)
        await world.flip_to(1, learnt)
        assert world.desk.seat.active.model.trained_ms == 90_000
