"""Snapshots save replay time and are never believed more than the commits."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
from redis.asyncio import Redis
from tests.chaos.foldlab.lab import FAST, Lab, ends_with, lab, running
from tests.chaos.foldlab.sums import rolling, source_rows

from flyball_kit.fold import OutputLost
from flyball_kit.fold.positions import forget
from flyball_local.engines import RedisEngine

pytestmark = pytest.mark.broker


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Lab]:
    async with lab(tmp_path / "nats") as made:
        await made.add_streams()
        yield made


@pytest.fixture
def engine(tmp_path: Path) -> "AsyncIterator[RedisEngine]":
    server = RedisEngine(tmp_path / "redis")
    server.start()
    yield server  # type: ignore[misc]
    server.stop()


@pytest.fixture
async def redis(engine: RedisEngine) -> "AsyncIterator[Redis]":
    client = Redis.from_url(engine.url)
    yield client
    await client.aclose()


async def run_over(bench: Lab, redis: "Redis | None", first: int, count: int) -> "tuple[int, int]":
    """Feed and stop; returns where the snapshot stood and how many messages were read again."""
    runner = bench.runner(redis=redis)
    async with running(runner):
        await bench.feed(source_rows(count, start=first))
        await bench.until_row(first + count - 1)
    return runner.stats.snapshot, runner.stats.replayed


async def test_a_snapshot_saves_reading_the_look_back_again(bench: Lab, redis: Redis) -> None:
    await run_over(bench, redis, 0, 100)
    assert await run_over(bench, redis, 100, 50) == (100, 0)
    assert (await bench.judge("out.a", rolling(source_rows(150)))).faults == []


async def test_a_deleted_snapshot_changes_nothing_but_the_time(bench: Lab, redis: Redis) -> None:
    await run_over(bench, redis, 0, 100)
    await redis.flushall()
    assert await run_over(bench, redis, 100, 50) == (0, 64)
    assert (await bench.judge("out.a", rolling(source_rows(150)))).faults == []


async def test_a_snapshot_of_another_layout_is_not_read(bench: Lab, redis: Redis) -> None:
    await run_over(bench, redis, 0, 100)
    options = FAST.__class__(**{**FAST.__dict__, "version": "2"})
    runner = bench.runner(redis=redis, options=options)
    async with running(runner):
        await bench.feed(source_rows(1, start=100))
        await bench.until_row(100)
    assert runner.stats.snapshot == 0


async def test_a_snapshot_ahead_of_the_commits_is_not_believed(bench: Lab, redis: Redis) -> None:
    await run_over(bench, redis, 0, 100)
    (key,) = await redis.keys("fold:*")
    value = await redis.get(key)
    await redis.set(key, (500).to_bytes(8, "little") + value[8:])
    assert await run_over(bench, redis, 100, 50) == (0, 64)
    assert (await bench.judge("out.a", rolling(source_rows(150)))).faults == []


async def test_a_snapshot_without_a_commit_means_that_the_commits_were_lost(
    bench: Lab, redis: Redis
) -> None:
    await run_over(bench, redis, 0, 10)
    await forget(bench.js, "IN", "a")
    await bench.js.purge_stream("OUT")
    async with running(bench.runner(redis=redis)) as (task,):
        assert isinstance(await ends_with(task), OutputLost)


async def test_a_fold_goes_on_while_redis_is_away(
    bench: Lab, redis: Redis, engine: RedisEngine
) -> None:
    runner = bench.runner(redis=redis)
    async with running(runner):
        await bench.feed(source_rows(50))
        await bench.until_row(49)
        engine.kill()
        await bench.feed(source_rows(50, start=50))
        await bench.until_row(99)
    async with running(bench.runner(redis=redis)):
        await bench.feed(source_rows(50, start=100))
        await bench.until_row(149)
    assert (await bench.judge("out.a", rolling(source_rows(150)))).faults == []


async def test_a_snapshot_is_written_while_the_fold_runs(bench: Lab, redis: Redis) -> None:
    task = asyncio.create_task((runner := bench.runner(redis=redis)).run())
    await bench.feed(source_rows(1))

    async def is_written() -> bool:
        return bool(await redis.keys("fold:a:out.a:1:*"))

    await bench.until(is_written, "a snapshot")
    await runner.stop()
    await task
