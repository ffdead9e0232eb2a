"""Models of several classes are admitted, compared, refreshed and measured, with real NATS and S3."""

from typing import Any

import pytest
from nats.aio.client import Client
from tests.broker import chain
from tests.broker.classes_world import CLASSES, ClassesWorld
from tests.broker.judged_world import HONEST, SHRUGGING, WRONG, model

from flyball_kit.kv import Kv
from flyball_local.control import request
from flyball_proto import streams
from flyball_proto.commands import CompareModels, CompareReply
from flyball_proto.judgements import Refreshed, RefreshRefused, Superior
from flyball_proto.progress import Standings
from flyball_registry.app import build
from flyball_registry.settings import Settings

pytestmark = pytest.mark.broker


@pytest.fixture
async def world(provisioned: Client, common: dict[str, Any], unique: str) -> ClassesWorld:
    made = ClassesWorld(provisioned, common, unique)
    await made.apply()
    return made


@pytest.fixture
def settings(common: dict[str, Any]) -> Settings:
    return Settings(**common, save_every_s=0.001)


async def test_a_better_model_of_several_classes_succeeds_on_evidence_and_is_measured(
    world: ClassesWorld, settings: Settings
) -> None:
    async with chain.running(build(settings)):
        base = await world.train("baseline", SHRUGGING)
        await world.admitted(1)
        await world.seat(base, 1)
        honest = await world.train("recent", HONEST)
        await world.train("twin", SHRUGGING)
        await world.admitted(3)
        active = model(base, "baseline", 1)
        await world.publish(*(world.samples(4, active) for _ in range(240)))
        await world.read()
        asked = CompareModels(pipeline=world.name, digest=honest, other=base)
        reply = await request(world.client, "registry", "compare", asked, CompareReply)
    (won,) = await world.judgements(Superior)
    assert (won.trainer, won.digest, won.over) == ("recent", honest, "baseline")
    board, _ = await world.boards.load(world.name)
    assert board is not None
    figures = board.figures
    assert figures["active"].rows == 240 * 4 * 8
    assert figures["twin"].rows == figures["active"].rows - 1, "it is newer than the first row"
    assert figures["twin"].loss == pytest.approx(figures["active"].loss, abs=1e-4)
    assert figures["recent"].loss < figures["active"].loss
    assert figures["recent"].accuracy > figures["active"].accuracy
    assert {one.trainer: one.log_e for one in board.comparisons}["twin"] <= 0
    found = reply.comparison
    assert found is not None
    assert found.low > 0
    assert len(found.measures.confusion) == len(CLASSES)
    assert found.measures.loss < found.other_measures.loss


async def test_a_newer_model_of_several_classes_passes_the_gate_or_does_not(
    world: ClassesWorld, settings: Settings
) -> None:
    async with chain.running(build(settings)):
        base = await world.train("baseline", SHRUGGING)
        anchor = await world.train("recent", (0.8, 0.1))
        await world.admitted(2)
        await world.seat(anchor, 1, baseline=world.placed(base, "baseline"))
        active = model(anchor, "recent", 1)
        await world.publish(*(world.samples(4, active) for _ in range(80)))
        await world.read()
        worse = await world.train("recent", WRONG, world.sequence)
        refused = await chain.event(world.client, RefreshRefused, world.name)
        better = await world.train("recent", HONEST, world.sequence + 1)
        passed = await chain.event(world.client, Refreshed, world.name)
        records: Kv[Standings] = Kv(lambda: world.client, streams.STANDINGS, Standings)
        shown, _ = await records.load(world.name)
    assert (refused.digest, refused.outcome) == (worse, "worse")
    assert (passed.digest, passed.replaces, passed.anchor) == (better, anchor, anchor)
    assert shown is not None
    assert (shown.task, shown.metric, shown.why_not) == ("multiclass", "brier", "")
