"""What the registry concludes from samples, with real NATS and S3."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from nats.aio.client import Client
from tests.broker import chain
from tests.broker.judged_world import HONEST, NOW, SHRUGGING, WRONG, World, model

from flyball_proto.columns import Category, Mark, Model, Tally, Verdict
from flyball_proto.events import ModelMeasured, ModelTripped
from flyball_proto.judgements import (
    CanaryJudged,
    Concluded,
    Degraded,
    Drifted,
    Refreshed,
    RefreshRefused,
    Superior,
)
from flyball_registry.app import build
from flyball_registry.settings import Settings

pytestmark = pytest.mark.broker


@pytest.fixture
async def world(provisioned: Client, common: dict[str, Any], unique: str) -> World:
    """A pipeline whose baseline, which says a half of everything, holds the seat."""
    made = World(provisioned, common, unique)
    await made.apply()
    return made


@pytest.fixture
def settings(common: dict[str, Any]) -> Settings:
    return Settings(**common, save_every_s=0.001)


async def test_a_better_challenger_is_superior_exactly_once_and_an_equal_one_never(
    world: World, settings: Settings
) -> None:
    async with chain.running(build(settings)):
        base = await world.train("baseline", SHRUGGING)
        await world.admitted(1)
        await world.seat(base, 1)
        honest = await world.train("recent", HONEST)
        await world.train("twin", SHRUGGING)
        await world.admitted(3)
        active = model(base, "baseline", 1)
        await world.publish(*(world.samples(4, active) for _ in range(120)))
        await world.read()
    (won,) = await world.judgements(Superior)
    assert (won.trainer, won.digest, won.over) == ("recent", honest, "baseline")
    assert won.log_e >= won.threshold
    board, _ = await world.boards.load(world.name)
    assert board is not None
    assert board.figures["recent"].loss < board.figures["active"].loss
    twin, active_figures = board.figures["twin"], board.figures["active"]
    assert (twin.loss, active_figures.loss) == (0.25, 0.25)
    assert {c.trainer: c.log_e for c in board.comparisons}["twin"] <= 0


async def test_a_newer_model_of_the_seat_s_trainer_refreshes_it_only_through_the_gate(
    world: World, settings: Settings
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
        record = await world.seat(better, 2, anchor=world.placed(anchor, "recent"))
        too_new = await world.train(
            "recent", (0.9, 0.05), world.sequence + 2, held_out_ms=world.now_ms
        )
        await world.admitted(5)
        await world.publish(world.samples(4, model(better, "recent", 2)))
        await world.read()
        assert len(await world.judgements(Refreshed)) == 1, "32 rows are no evidence"
        await world.publish(*(world.samples(4, model(better, "recent", 2)) for _ in range(3)))
        second = await chain.event(world.client, RefreshRefused, world.name, 2)
    assert (refused.digest, refused.outcome) == (worse, "worse")
    assert (passed.digest, passed.replaces, passed.anchor) == (better, anchor, anchor)
    assert passed.upper_bound <= 0.002
    assert record.anchor is not None
    assert second.digest == too_new
    assert refused.number < passed.number < second.number


async def test_a_frozen_seat_and_a_digest_that_was_rolled_back_are_not_refreshed(
    world: World, settings: Settings
) -> None:
    async with chain.running(build(settings)):
        old = await world.train("recent", (0.8, 0.1))
        banned = await world.train("recent", HONEST, 2)
        await world.admitted(2)
        await world.seat(old, 1, rolled_back=(banned,))
        await world.publish(*(world.samples(4, model(old, "recent", 1)) for _ in range(40)))
        await world.read()
        await world.seat(old, 1, frozen=True)
        await world.train("recent", (0.9, 0.05), 3)
        await world.admitted(3)
        await world.publish(world.samples(4, model(old, "recent", 1)))
        await world.read()
    assert await world.judgements(Refreshed) == []
    assert await world.judgements(RefreshRefused) == []


async def test_a_model_that_does_harm_where_its_anchor_did_not_is_degraded(
    world: World, settings: Settings
) -> None:
    async with chain.running(build(settings)):
        base = await world.train("baseline", SHRUGGING)
        anchor = await world.train("recent", HONEST)
        await world.admitted(2)
        await world.seat(anchor, 1)
        good = model(anchor, "recent", 1)
        await world.publish(*(world.samples(4, good) for _ in range(60)))
        await world.read()
        assert await world.judgements(Degraded) == []
        harmful = await world.train("recent", WRONG, world.sequence)
        await world.admitted(3)
        await world.seat(
            harmful,
            2,
            anchor=world.placed(anchor, "recent"),
            baseline=world.placed(base, "baseline"),
        )
        bad = model(harmful, "recent", 2)
        await world.publish(*(world.samples(4, bad) for _ in range(100)))
        await world.read()
    found = [f for f in await world.judgements(Degraded) if f.decision == "roll-back"]
    assert [(f.digest, f.anchor) for f in found] == [(harmful, anchor)]
    board, _ = await world.boards.load(world.name)
    assert board is not None
    assert board.figures["anchor"].loss < board.figures["active"].loss


async def test_without_a_deployment_samples_are_read_and_nothing_is_judged(
    world: World, settings: Settings
) -> None:
    async with chain.running(build(settings)):
        await world.publish(*(world.samples(4, model("?", "recent", 1)) for _ in range(3)))
        await world.read()
    board, _ = await world.boards.load(world.name)
    assert board is not None
    assert (board.number, board.position) == (0, {"0": 96})


async def test_a_mark_is_answered_when_its_models_are_examined_and_never_before(
    world: World, settings: Settings
) -> None:
    async with chain.running(build(settings)):
        base = await world.train("baseline", SHRUGGING)
        await world.admitted(1)
        await world.seat(base, 1)
        active = model(base, "baseline", 1)
        await world.publish(world.samples(0, None, mark=Mark("m0", 0)))
        await world.settle("m0")
        assert (await world.answer()).mark == "m0"
        await world.publish(world.samples(8, active), world.samples(0, None, mark=world.mark("m1")))
        onnx, manifest = world.bundle("recent", HONEST, world.sequence)
        await world.settle("m1", manifest.digest)
        board, _ = await world.boards.load(world.name)
        assert board is not None
        assert board.mark == "m0"
        await world.store(onnx, manifest)
        await world.tell(world.trained(manifest, len(onnx), "m1"))
        second = await world.answer(2)
        record, _ = await world.records.load(f"{world.name}.{manifest.digest}")
    assert (second.mark, second.number) == ("m1", 0)
    assert record is not None
    assert record.valid_from == {"0": world.sequence}


async def test_judgements_in_lockstep_come_at_marks_and_do_not_depend_on_messages(
    provisioned: Client, common: dict[str, Any], settings: Settings, unique: str
) -> None:
    told = []
    for name, pieces in ((f"{unique}a", (4,)), (f"{unique}b", (1, 2, 1))):
        world = World(provisioned, common, name)
        await world.apply()
        async with chain.running(build(settings)):
            base = await world.train("baseline", SHRUGGING)
            await world.admitted(1)
            await world.seat(base, 1)
            active = model(base, "baseline", 1)
            await world.publish(world.samples(0, None, mark=Mark("m0", 0)))
            await world.settle("m0")
            await world.answer(1)  # no trainer settles the next mark before
            honest = await world.train("recent", HONEST, mark="m0")
            await world.admitted(2)
            for stretch in range(1, 9):
                rows = [world.samples(s, active) for _ in range(15) for s in pieces]
                mark = world.mark(f"m{stretch}", last=stretch == 8)
                await world.publish(*rows, world.samples(0, None, mark=mark))
                await world.settle(mark.id)
                settled = await world.answer(stretch + 1)
                assert settled.mark == mark.id
        won = await world.judgements(Superior)
        board, _ = await world.boards.load(name)
        assert board is not None
        assert not board.lockstep
        assert [(j.trainer, j.digest) for j in won] == [("recent", honest)]
        told.append([(j.number, j.mark, j.event_ms, j.log_e, j.better_by) for j in won])
        told[-1].append(await world.judgements(Concluded))
    assert told[0][:-1] == told[1][:-1]


def tally(by: Model, rows: int, offloads: int) -> Tally:
    clear, low = {int(Verdict.CLEAR): rows}, {int(Category.LOW): rows}
    return Tally(by, rows, 0, {"offload": offloads}, clear, low)


async def test_a_canary_is_judged_once_conclusive_and_its_rows_count_for_the_active_model(
    world: World, settings: Settings
) -> None:
    async with chain.running(build(settings)):
        base = await world.train("baseline", SHRUGGING)
        honest = await world.train("recent", HONEST)
        await world.admitted(2)
        await world.seat(base, 2, canary=world.canary(honest, "recent", 2))
        active, canary = model(base, "baseline", 2), model(honest, "recent", 2, "canary")

        def tallies(rows: int, offloads: int) -> list[Tally]:
            return [tally(active, 10 * rows, rows), tally(canary, rows, offloads)]

        await world.publish(*(world.samples(4, active) for _ in range(2)))
        await world.publish(*(world.samples(4, canary, tally=tallies(20, 2)) for _ in range(8)))
        unsure = await chain.event(world.client, CanaryJudged, world.name)
        await world.publish(world.samples(4, canary, tally=tallies(400, 40)))
        sure = await chain.event(world.client, CanaryJudged, world.name, 2)
        await world.seat(base, 3, canary=world.canary(honest, "recent", 3))
        active, canary = model(base, "baseline", 3), model(honest, "recent", 3, "canary")
        await world.publish(world.samples(4, canary, tally=tallies(600, 500)))
        bad = await chain.event(world.client, CanaryJudged, world.name, 3)
        await world.publish(*(world.samples(4, canary) for _ in range(8)))
        await world.read()
    assert [(j.outcome, j.epoch) for j in (unsure, sure, bad)] == [
        ("inconclusive", 2),
        ("pass", 2),
        ("fail", 3),
    ]
    assert [g.name for g in bad.guards if g.outcome == "fail"] == ["actions"]
    assert len(await world.judgements(CanaryJudged)) == 3
    board, _ = await world.boards.load(world.name)
    assert board is not None
    assert board.figures["active"].loss == 0.25, "as the baseline would have said"


async def test_a_slow_or_broken_canary_fails_its_guards(world: World, settings: Settings) -> None:
    async with chain.running(build(settings)):
        base = await world.train("baseline", SHRUGGING)
        honest = await world.train("recent", HONEST)
        await world.admitted(2)
        await world.seat(base, 2, canary=world.canary(honest, "recent", 2))
        await world.publish(world.samples(4, model(base, "baseline", 2)))
        await world.tell(
            ModelMeasured(
                pipeline=world.name,
                at=NOW,
                partition=0,
                epoch=2,
                p99_ms={base: 1.0, honest: 9.0},
                calls={base: 100, honest: 100},
            )
        )
        slow = await chain.event(world.client, CanaryJudged, world.name)
        await world.seat(base, 3, canary=world.canary(honest, "recent", 3))
        await world.tell(
            ModelTripped(pipeline=world.name, at=NOW, digest=honest, epoch=3, detail="NaN")
        )
        await world.publish(world.samples(4, model(base, "baseline", 3)))
        broken = await chain.event(world.client, CanaryJudged, world.name, 2)
    assert [(j.outcome, j.epoch) for j in (slow, broken)] == [("fail", 2), ("error", 3)]


async def test_stages_of_models_follow_the_deployment(world: World, settings: Settings) -> None:
    async with chain.running(build(settings)):
        base = await world.train("baseline", SHRUGGING)
        first = await world.train("recent", HONEST)
        second = await world.train("recent", (0.9, 0.05), 2)
        await world.admitted(3)
        await world.seat(first, 1, baseline=world.placed(base, "baseline"))
        await world.staged(first, "active")
        await world.seat(
            second,
            2,
            anchor=world.placed(first, "recent"),
            baseline=world.placed(base, "baseline"),
        )
        await world.staged(second, "active")
        await world.staged(first, "fallback")
        await world.seat(base, 3, rolled_back=(second,))
        await world.staged(second, "rolled-back")
        await world.staged(first, "retired")
        await world.staged(base, "active")


async def test_while_s3_is_away_samples_wait_and_the_log_says_for_what(
    world: World, settings: Settings, free_port: Callable[[], int]
) -> None:
    async with chain.running(build(settings)):
        base = await world.train("baseline", SHRUGGING)
        await world.train("recent", HONEST)
        await world.admitted(2)
        await world.seat(base, 1)
    away = settings.model_copy(update={"s3_endpoint": f"127.0.0.1:{free_port()}"})
    async with chain.running(build(away)), said("waits for model"):
        await world.publish(world.samples(4, model(base, "baseline", 1)))
    async with chain.running(build(settings)):
        await world.read()
    board, _ = await world.boards.load(world.name)
    assert board is not None
    assert board.figures["recent"].rows > 0


@asynccontextmanager
async def said(words: str) -> AsyncIterator[None]:
    """Wait until the registry's log holds these words."""
    heard, log = asyncio.Event(), logging.getLogger("flyball.registry")

    class Ear(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            if words in record.getMessage():
                heard.set()

    ear = Ear()
    log.addHandler(ear)
    try:
        yield
        await asyncio.wait_for(heard.wait(), chain.WAIT_S)
    finally:
        log.removeHandler(ear)


async def test_a_loss_that_rises_for_good_is_told_as_drift(
    world: World, settings: Settings
) -> None:
    async with chain.running(build(settings)):
        honest = await world.train("recent", HONEST)
        await world.admitted(1)
        await world.seat(honest, 1)
        active = model(honest, "recent", 1)
        await world.publish(*(world.samples(4, active) for _ in range(60)))
        changed = [world.samples(4, active, truth=lambda load: 1 - load) for _ in range(60)]
        await world.publish(*changed)
        await world.read()
        told = [await chain.event(world.client, Drifted, world.name)]
        while told[-1].on != "loss":  # the watch over the seat sounds too
            told.append(await chain.event(world.client, Drifted, world.name, nth=len(told) + 1))
    assert "rose" in told[-1].detail
