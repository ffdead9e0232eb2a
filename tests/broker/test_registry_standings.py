"""The registry shows where models stand in KV `standings`, and nothing depends on it."""

import asyncio
from collections.abc import Callable
from typing import Any

import pytest
from nats.aio.client import Client
from tests.broker import chain
from tests.broker.judged_world import BLOCK_MS, HONEST, SHRUGGING, World, model

from flyball_kit.kv import Kv
from flyball_local.control import RefusedError, request
from flyball_proto import streams
from flyball_proto.commands import CompareModels, CompareReply
from flyball_proto.judgements import Superior
from flyball_proto.progress import ModelsScored, Standings
from flyball_registry.app import build
from flyball_registry.settings import Settings

pytestmark = pytest.mark.broker


async def until(client: Client, name: str, so: Callable[[Standings], bool]) -> Standings:
    """The first record that is so."""
    records: Kv[Standings] = Kv(lambda: client, streams.STANDINGS, Standings)
    async with asyncio.timeout(chain.WAIT_S):
        changes = records.watch(name)
        async for change in changes:
            if change.value is not None and so(change.value):
                await changes.aclose()
                return change.value
    raise AssertionError("a watch never ends")


async def test_standings_follow_the_evidence_and_a_foreign_write_is_overwritten(
    provisioned: Client, common: dict[str, Any], unique: str
) -> None:
    world = World(provisioned, common, unique)
    await world.apply()
    settings = Settings(**common, save_every_s=0.001)
    await provisioned.jetstream().publish(
        f"$KV.{streams.STANDINGS.name}.{unique}", b"of a later version"
    )
    async with chain.running(build(settings)):
        base = await world.train("baseline", SHRUGGING)
        await world.admitted(1)
        await world.seat(base, 1)
        honest = await world.train("recent", HONEST)
        await world.admitted(2)
        active = model(base, "baseline", 1)
        await world.publish(*(world.samples(4, active) for _ in range(10)))
        early = await until(provisioned, unique, lambda s: s.labelled == 320)
        await provisioned.jetstream().publish(
            f"$KV.{streams.STANDINGS.name}.{unique}", b"a rival's"
        )
        await world.publish(*(world.samples(4, active) for _ in range(110)))
        won = await until(
            provisioned, unique, lambda s: any(c.word == "superior" for c in s.comparisons)
        )
        await world.read()
        early_event = await chain.event(provisioned, ModelsScored, unique)
        good = CompareModels(pipeline=unique, digest=honest, other=base)
        compared = await request(provisioned, "registry", "compare", good, CompareReply)
        refusals = [await refusal(provisioned, asked) for asked in incomparable(good)]
    assert (early.seat_trainer, early.seat_digest) == ("baseline", base)
    assert (early.block_ms, early.task, early.metric) == (BLOCK_MS, "binary", "brier")
    (recent,) = won.comparisons
    (said,) = await world.judgements(Superior)
    assert (recent.trainer, recent.over, won.judgements) == ("recent", "baseline", said.number)
    assert recent.log_e >= recent.threshold
    losses = {one.column: one.loss for one in won.figures}
    assert losses["recent"] < losses["active"] == 0.25
    _is_measured(won)
    assert {one.column for one in early_event.figures} >= {"active", "baseline", "recent"}
    assert all(not one.whole.calibration and not one.slices for one in early_event.figures)
    found = compared.comparison
    assert found is not None
    assert 0 < found.low < found.better_by < found.high
    assert found.measures.loss < found.other_measures.loss == 0.25
    assert found.rows >= 100
    assert refusals == ["not-found", "not-found", "incomparable"]


def _is_measured(won: Standings) -> None:
    active, recent = (
        next(one for one in won.figures if one.column == name) for name in ("active", "recent")
    )
    assert active.whole.rows == active.since_succession.rows == active.rows
    assert 16 * 32 <= active.recent.rows <= 20 * 32 < active.rows
    assert active.whole.calibration_error < 0.1
    assert len(recent.whole.calibration) == 10
    assert recent.whole.accuracy > 0.6
    assert sum(map(sum, recent.whole.confusion)) == recent.rows
    assert (won.opened, won.why_not) == (1, "")


def incomparable(good: CompareModels) -> list[CompareModels]:
    """Another pipeline, an unknown model, the same one twice."""
    changes = ({"pipeline": "nobody-s"}, {"other": "0" * 64}, {"other": good.digest})
    return [good.model_copy(update=one) for one in changes]


async def refusal(client: Client, asked: CompareModels) -> str:
    """The word with which the registry refuses it."""
    with pytest.raises(RefusedError) as refused:
        await request(client, "registry", "compare", asked, CompareReply)
    return refused.value.reason
