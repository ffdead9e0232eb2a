"""Cool-downs survive any crash exactly: durable snapshots and the input behind them."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from tests.chaos.foldlab.lab import FAST, Lab, lab, running
from tests.unit.risk_rows import Row, batch, judged, policy, readable

from flyball_kit.fold import FoldRunner
from flyball_proto.chains import beginning
from flyball_proto.columns import decode_verdicts, encode_decisions
from flyball_proto.headers import CHAIN
from flyball_risk.fold import RiskFold
from flyball_risk.judging.frame import Frame

pytestmark = pytest.mark.broker

POLICY = policy(
    {"action": "offload", "score_at_least": 0.5, "cooldown": "7s"},
    budgets={"actions_per_minute": 20, "elements_per_label": {"site": 0.5}, "window": "10s"},
)
STATE = "$KV.positions.state.OUT.a"


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Lab]:
    async with lab(tmp_path) as made:
        await made.add_streams()
        yield made


def risk(bench: Lab, snapshot_every_s: float = 0.0) -> FoldRunner:
    options = replace(FAST, durable_state=True, chained=True, snapshot_every_s=snapshot_every_s)
    return bench.runner(fold=lambda: RiskFold(lambda _: Frame(POLICY)), options=options)


def rows_of(start: int, count: int) -> list[Row]:
    """Five elements in turn, one row a third of a second, all proposing."""
    numbers = range(start, start + count)
    return [Row(f"cell-{i % 5}", i * 333, 0.9, site=f"s{i % 5 % 2}") for i in numbers]


async def feed(bench: Lab, start: int, count: int, each: int = 3) -> None:
    for first in range(start, start + count, each):
        rows = rows_of(first, min(each, start + count - first))
        await bench.js.publish("in.0", encode_decisions(batch(rows, first=first + 1)))


async def verdicts(bench: Lab) -> list[tuple[Any, ...]]:
    found = [decode_verdicts(m.data) for m in await bench.messages("out.a") if m.data]
    return [row for v in found for row in readable(v)]


async def check_chain(bench: Lab) -> None:
    """Every output is hashed behind the one before; empty commits repeat where the chain stands."""
    place = beginning("out.a")
    for message in await bench.messages("out.a"):
        place = place.then(message.data) if message.data else place
        assert (message.headers or {})[CHAIN] == place.text


async def until_rows(bench: Lab, count: int) -> None:
    async def there() -> bool:
        return len(await verdicts(bench)) >= count

    await bench.until(there, f"{count} rows")


@pytest.mark.parametrize("snapshot_every_s", [0.0, 0.005, 3600.0])
async def test_after_any_crash_the_verdicts_are_those_of_an_undisturbed_run(
    bench: Lab, snapshot_every_s: float
) -> None:
    fed = 0
    for crash in range(8):
        runner = risk(bench, snapshot_every_s)
        task = asyncio.create_task(runner.run())
        if crash % 2:  # many small commits instead of few large ones
            await bench.until(lambda r=runner: r.stats.commits > 0, "the claim")
        await feed(bench, fed, 30)
        fed += 30
        await until_rows(bench, fed - 4 * crash)
        task.cancel()  # as SIGKILL: nothing is finished, nothing saved
        await asyncio.gather(task, return_exceptions=True)
    async with running(risk(bench, snapshot_every_s)):
        await until_rows(bench, fed)
    assert await verdicts(bench) == readable(judged(rows_of(0, fed), POLICY))
    await check_chain(bench)


async def test_a_restart_reads_only_what_the_last_snapshot_has_not_seen(bench: Lab) -> None:
    async with running(risk(bench)):
        await feed(bench, 0, 60)
        await until_rows(bench, 60)
    await feed(bench, 60, 3)
    again = risk(bench)
    async with running(again):
        await until_rows(bench, 63)
    assert again.stats.replayed == 0
    assert again.stats.snapshot == 20
    assert await verdicts(bench) == readable(judged(rows_of(0, 63), POLICY))


async def test_a_predecessor_that_saves_late_does_not_take_the_state_back(bench: Lab) -> None:
    zombie = risk(bench)
    task = asyncio.create_task(zombie.run())
    await feed(bench, 0, 30)
    await until_rows(bench, 30)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    old = await bench.js.get_last_msg("KV_positions", STATE)
    async with running(risk(bench)):
        await feed(bench, 30, 30)
        await until_rows(bench, 60)
        headers = {k: v for k, v in (old.headers or {}).items() if k.startswith("Flyball")}
        await bench.js.publish(STATE, old.data or b"", headers=headers)  # past any fence
        await feed(bench, 60, 30)
        await until_rows(bench, 90)
    async with running(risk(bench)):
        await feed(bench, 90, 30)
        await until_rows(bench, 120)
    assert await verdicts(bench) == readable(judged(rows_of(0, 120), POLICY))
