"""The model is exchanged again and again while rows come in: none is lost, doubled or misnamed."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from nats.aio.client import Client
from tests.broker.inference_world import World, inference_world
from tests.chaos.swaps import (
    SCORES,
    Account,
    Feed,
    Plan,
    runtime,
    stored,
    swap,
    waits_ms,
)

from flyball_proto import subjects
from flyball_proto.columns import decode_decisions
from flyball_proto.spec import digest8

pytestmark = [pytest.mark.chaos, pytest.mark.broker]

EARLY, LATE = 50, 500
GROWTH_MIB = 8.0
"""What the runtime may hold more after `LATE` swaps than after `EARLY`."""


@pytest.fixture
async def world(
    provisioned: Client, tmp_path: Path, unique: str, common: dict[str, Any]
) -> AsyncIterator[World]:
    async with inference_world(provisioned, tmp_path, unique, common) as made:
        yield made


async def test_no_row_is_lost_doubled_or_scored_by_another_model_than_it_names(
    world: World, tmp_path: Path, full_size: bool
) -> None:
    plan = Plan([world.another(score) for score in SCORES], 1000 if full_size else 40)
    feed = Feed(world, rows_s=20_000 if full_size else 4_000)
    grown = dict.fromkeys((EARLY, LATE) if full_size else (), 0.0)
    await world.store(*plan.made)
    await world.point(plan.pointer(1))
    async with runtime(world, tmp_path / "runtime.log") as found:
        await found.answers_with(1)
        feeding = asyncio.create_task(feed.run())
        calm = await feed.reached(200_000 if full_size else 4_000)
        await swap(world, plan, found, grown)
        feed.end()
        await feeding
        digest = digest8(world.made.manifest.feature_digest)
        fed = await stored(world, subjects.features(world.name, digest, 0), feed.rows)
        decided = await stored(world, subjects.decisions(world.name, 0), feed.rows)
    account = Account(plan)
    for _, _, data in decided:
        account.add(decode_decisions(data))
    assert account.faults == []
    assert account.rows == feed.rows
    assert {1, plan.swaps + 1} <= account.epochs <= set(range(1, plan.swaps + 2))
    waits = waits_ms(fed, decided)
    tell("without swaps", waits[waits[:, 0] < calm, 1])
    tell(f"{plan.swaps} swaps", waits[waits[:, 0] >= calm, 1])
    seconds = (fed[-1][0] - fed[0][0]) / 1000
    print(f"{feed.rows / seconds:.0f} rows/s for {seconds:.0f} s; in force: {len(account.epochs)}")
    if full_size:
        print(f"memory after {EARLY} swaps {grown[EARLY]:.1f} MiB, {LATE} {grown[LATE]:.1f} MiB")
        assert grown[LATE] - grown[EARLY] < GROWTH_MIB


def tell(name: str, waits: Any) -> None:
    p50, p99 = np.percentile(waits, [50, 99])
    print(f"{name}: from feature to decision p50 {p50:.1f} ms, p99 {p99:.1f}, n {len(waits)}")
