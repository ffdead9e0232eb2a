import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import UTC, datetime
from pathlib import Path

import pytest
from tests.broker.chain import catalogue

from flyball_inference.bundle import Bundle
from flyball_inference.desk import Desk, Flip
from flyball_inference.store import Bundles
from flyball_kit.errors import PermanentError, TransientError
from flyball_kit.objects import Objects
from flyball_kit.settings import KitSettings
from flyball_proto.deployments import ActiveModel
from flyball_trainer.baseline import baseline
from flyball_trainer.onnxfile import write

PIPELINE = catalogue("p").pipelines["p"]
ONNX, MANIFEST = write(baseline(PIPELINE, catalogue("p").sources["p"]))


def pointer(epoch: int, digest: str = MANIFEST.digest) -> ActiveModel:
    return ActiveModel(
        digest=digest,
        trainer="baseline",
        feature_digest=MANIFEST.feature_digest,
        epoch=epoch,
        since=datetime(2026, 1, 1, tzinfo=UTC),
        reason="test",
    )


class Told:
    """Hears of flips; fails as often as asked to."""

    def __init__(self, failures: int = 0) -> None:
        self.flips: asyncio.Queue[Flip] = asyncio.Queue()
        self.failures = failures

    async def __call__(self, flip: Flip) -> None:
        if self.failures:
            self.failures -= 1
            raise TransientError("the broker does not answer")
        await self.flips.put(flip)

    async def epoch(self) -> int:
        async with asyncio.timeout(10):
            return (await self.flips.get()).pointer.epoch


@asynccontextmanager
async def at_work(folder: Path, told: Told) -> AsyncIterator[Desk]:
    """A desk with the bundle on disk and S3 away."""
    away = Objects(KitSettings(s3_endpoint="127.0.0.1:1"))
    bundles = Bundles(away, folder, 1 << 20)
    await bundles.keep("p", Bundle(MANIFEST, ONNX))
    desk = Desk("p", bundles=bundles, seated=told, retry_s=0.01)
    working = asyncio.create_task(desk.run())
    yield desk
    working.cancel()
    await asyncio.gather(working, return_exceptions=True)


async def test_a_desk_says_what_it_waits_for_until_a_model_is_in_force(tmp_path: Path) -> None:
    told = Told()
    async with at_work(tmp_path, told) as desk:
        assert "waits for its specification" in (desk.waits_for() or "")
        desk.specify(PIPELINE, 7)
        assert "waits for an active model" in (desk.waits_for() or "")
        with pytest.raises(PermanentError, match="no model is in force"):
            _ = desk.seat
        desk.want(pointer(1))
        assert f"loads {MANIFEST.digest[:12]}" in (desk.waits_for() or "")
        assert await told.epoch() == 1
        assert desk.waits_for() is None
        assert (desk.seat.model.epoch, desk.seat.rules_revision) == (1, 7)


async def test_an_older_epoch_is_ignored(tmp_path: Path) -> None:
    told = Told()
    async with at_work(tmp_path, told) as desk:
        desk.specify(PIPELINE, 7)
        desk.want(pointer(2))
        assert await told.epoch() == 2
        desk.want(pointer(1))
        desk.want(pointer(3))
        assert await told.epoch() == 3


async def test_a_flip_is_told_until_somebody_heard_and_loaded_once(tmp_path: Path) -> None:
    told = Told(failures=2)
    async with at_work(tmp_path, told) as desk:
        desk.specify(PIPELINE, 7)
        desk.want(pointer(1))
        assert await told.epoch() == 1
        assert desk.seat.model.epoch == 1
        assert told.flips.empty()


async def test_a_pointer_that_moves_on_overtakes_one_that_cannot_be_loaded(tmp_path: Path) -> None:
    told = Told()
    async with at_work(tmp_path, told) as desk:
        desk.specify(PIPELINE, 7)
        desk.want(pointer(1, "0" * 64))
        desk.want(pointer(2))
        assert await told.epoch() == 2
        assert desk.trouble is None
