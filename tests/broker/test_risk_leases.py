"""Two partitions share a budget over a real Redis, which is killed on the way, and so is risk."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from redis.asyncio import Redis
from tests.broker.risk_world import PATIENCE_S
from tests.conftest import started
from tests.unit.lending import most_in_a_minute
from tests.unit.risk_rows import Row, batch, pipeline

from flyball_local.embedded.engines import RedisEngine
from flyball_proto.columns import DISPATCHED, Verdicts, decode_verdicts, encode_decisions
from flyball_risk.app import build
from flyball_risk.capacity import leasing
from flyball_risk.capacity.allowances import TOTAL, allowance_of
from flyball_risk.capacity.leases import NO_LEASE, View
from flyball_risk.settings import Settings

pytestmark = pytest.mark.broker

BUDGET, EVEN, LENT = 40, 20, 15
"""An idle partition of two keeps a quarter of its even share."""

PIPELINE = pipeline(
    {"action": "offload", "score_at_least": 0.5, "cooldown": "1s"},
    budgets={"actions_per_minute": BUDGET},
)


class World:
    """Feeds both partitions second by second, and sees what is judged."""

    def __init__(self, client: Client) -> None:
        self.client = client
        self.second = self.fed = 0
        self.sent: list[list[int]] = [[], []]  # event times by partition
        self.revision = [0, 0]
        self._read = self._outputs = 0
        self._news = asyncio.Condition()

    async def on_verdicts(self, message: Any) -> None:
        if not message.data:
            return
        found, partition = decode_verdicts(message.data), int(message.subject[-1])
        self.sent[partition] += _dispatched(found)
        async with self._news:
            self._read += len(found.rows)
            self._outputs += 1
            revision = found.flow.revisions.get("lease", 0)
            self.revision[partition] = max(revision, self.revision[partition])
            self._news.notify_all()

    async def until(self, ready: Callable[[], bool]) -> None:
        async with asyncio.timeout(PATIENCE_S), self._news:
            await self._news.wait_for(ready)

    async def feed(self, *proposals: int) -> None:
        """A second of event time: so many proposals in each partition, and a tick."""
        self.second += 1
        wanted = self._read
        for partition, count in enumerate(proposals):
            rows = [Row(f"c{partition}-{i}", self.second * 1000) for i in range(count)]
            made = batch(rows, first=self.fed + 1, tick_ms=self.second * 1000)
            self.fed += count
            wanted += count
            subject = f"decisions.congestion.{partition}"
            await self.client.jetstream().publish(subject, encode_decisions(made))
        await self.until(lambda: self._read >= wanted)

    async def prolonged(self) -> None:
        """Let ticks pass until a round changed the first partition's lease, or it was changed."""
        before = self.revision[0]
        for _ in range(100):
            if self.revision[0] == before:
                await self.feed_ticks()

    async def feed_ticks(self) -> None:
        """A tick each, and no event time."""
        seen = self._outputs
        for partition in (0, 1):
            tick = encode_decisions(batch([], tick_ms=self.second * 1000))
            await self.client.jetstream().publish(f"decisions.congestion.{partition}", tick)
        await self.until(lambda: self._outputs > seen)

    def minute(self, partition: int) -> int:
        """Actions in the last minute."""
        return sum(at > (self.second - 60) * 1000 for at in self.sent[partition])

    def most(self) -> int:
        return most_in_a_minute([at for times in self.sent for at in times])


def _dispatched(found: Verdicts) -> list[int]:
    rows = zip(found.rows.time_ms.tolist(), found.verdict.tolist(), strict=True)
    return [time_ms for time_ms, verdict in rows if verdict in DISPATCHED]


@asynccontextmanager
async def risk(nats_url: str, redis_url: str | None) -> AsyncIterator[None]:
    app = build(
        Settings(nats_url=nats_url, redis_url=redis_url, redis_prefix="risk:", partitions=2)
    )
    await app.start()
    try:
        yield
    finally:
        await app.stop()


@pytest.fixture
async def world(provisioned: Client, monkeypatch: pytest.MonkeyPatch) -> World:
    monkeypatch.setattr(leasing, "EVERY_S", 0.02)
    found = World(provisioned)
    await provisioned.subscribe("verdicts.congestion.*", cb=found.on_verdicts)
    js = provisioned.jetstream()
    await js.publish("$KV.pipelines.pipeline.congestion", PIPELINE.model_dump_json().encode())
    return found


async def test_a_busy_partition_borrows_until_redis_dies_and_no_minute_exceeds_the_budget(
    world: World, nats_url: str, tmp_path: Path
) -> None:
    engine = RedisEngine(tmp_path)
    with started(engine):
        async with risk(nats_url, engine.url):
            while world.minute(0) < EVEN + LENT:
                await world.feed(4, 0)
                if world.second > EVEN // 4:  # it lacks some: every second its loan is prolonged
                    await world.prolonged()
            assert min(world.revision) > 0
            engine.stop()
            for _ in range(20):
                await world.feed(4, 4)
    async with risk(nats_url, engine.url):  # begins without Redis: who ceded still does without
        assert world.minute(1) == EVEN - LENT
        for _ in range(170):
            await world.feed(4, 4)
    assert [world.minute(0), world.minute(1)] == [EVEN, EVEN]
    assert world.most() <= BUDGET


async def test_a_board_that_does_not_answer_is_told_and_nothing_is_ordered() -> None:
    async def order(*_: Any) -> int:
        raise AssertionError("nothing is known of the others")

    allowed = allowance_of(PIPELINE.spec.risk.budgets, 0, 2)
    found = leasing.Leasing(Redis.from_url("redis://127.0.0.1:1/0"), "risk:", order)
    found.see("congestion", View(0, NO_LEASE, {TOTAL: 90}, {TOTAL: 90}), allowed)
    assert found.check() is None
    await found.round()
    assert found.check() == "Redis does not answer: partitions keep to even shares"


async def test_without_redis_every_partition_keeps_to_its_even_share(
    world: World, nats_url: str
) -> None:
    async with risk(nats_url, None):
        for _ in range(10):
            await world.feed(4, 0)
    assert world.minute(0) == EVEN
    assert world.revision == [0, 0]
