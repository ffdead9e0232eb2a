"""Snapshots save replay time and are never believed more than the commits."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from redis.asyncio import Redis
from tests.chaos.foldlab.lab import FAST, Lab, ends_with, lab, running
from tests.chaos.foldlab.sums import RollingSum, pack, rolling, source_rows, unpack
from typing_extensions import override

from flyball_kit.fold import FoldRunner, Input, OutputLost
from flyball_kit.fold.broker import end
from flyball_kit.fold.positions import forget, purge_behind
from flyball_local.embedded.engines import RedisEngine

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
    options = replace(FAST, version="2")
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


class SumOfAll(RollingSum):
    """Never forgets: reading a bounded look-back again cannot rebuild it."""

    @override
    def step(self, message: Input) -> bool:
        for index, value in unpack(message.data):
            self.total += value
            self.out.append(pack([(index, self.total)]))
        return False

    @override
    def dump(self) -> bytes:
        return self.total.to_bytes(8, "little")

    @override
    def load(self, data: bytes) -> None:
        self.total = int.from_bytes(data, "little")


def durable(bench: Lab) -> FoldRunner:
    options = replace(FAST, durable_state=True, snapshot_every_s=0.02)
    return bench.runner(fold=SumOfAll, options=options)


async def test_durable_state_survives_kills_though_the_input_behind_it_is_purged(
    bench: Lab,
) -> None:
    for first in range(0, 240, 40):
        task = asyncio.create_task(durable(bench).run())
        await bench.feed(source_rows(40, start=first))
        await bench.until_row(first + 20)
        await end(task)
        await purge_behind(bench.js, "IN", "in.0", keep_bytes=0)
    async with running(durable(bench)):
        await bench.until_row(239)
    values = [value for _, value in source_rows(240)]
    expected = [(index, sum(values[: index + 1])) for index in range(240)]
    assert (await bench.judge("out.a", expected)).faults == []


async def test_lost_durable_state_is_an_error_and_not_a_fresh_start(bench: Lab) -> None:
    async with running(durable(bench)):
        await bench.feed(source_rows(10))
        await bench.until_row(9)
    await bench.js.purge_stream("KV_positions")
    async with running(durable(bench)) as (task,):
        error = await ends_with(task)
    assert isinstance(error, OutputLost)
    assert "its state is gone" in str(error)
