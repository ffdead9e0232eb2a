"""A pipeline whose decisions are metrics of another one gets another model: the other begins anew."""

from typing import Any

import pytest
from nats.aio.client import Client
from tests.broker import chain
from tests.broker.judged_world import HONEST, SHRUGGING, World, model

from flyball_proto.columns import Mark
from flyball_proto.judgements import Restarted
from flyball_registry.app import build
from flyball_registry.settings import Settings

pytestmark = pytest.mark.broker


@pytest.fixture
async def above(provisioned: Client, common: dict[str, Any], unique: str) -> World:
    """The pipeline whose decisions come in below."""
    made = World(provisioned, common, f"{unique}-above")
    await made.apply()
    return made


@pytest.fixture
async def below(provisioned: Client, common: dict[str, Any], unique: str, above: World) -> World:
    made = World(provisioned, common, f"{unique}-below", upstream=[above.name])
    await made.apply()
    return made


@pytest.fixture
def settings(common: dict[str, Any]) -> Settings:
    return Settings(**common, save_every_s=0.001)


async def test_comparisons_below_begin_anew_when_the_model_above_changes(
    above: World, below: World, settings: Settings
) -> None:
    async with chain.running(build(settings)):
        first = await above.train("baseline", SHRUGGING)
        await above.admitted(1)
        await above.seat(first, 1)
        base = await below.train("baseline", SHRUGGING)
        await below.train("recent", (0.1, 0.45))
        await below.admitted(2)
        await below.seat(base, 1)
        active = model(base, "baseline", 1)
        await below.publish(*(below.samples(4, active) for _ in range(10)))
        await below.read()
        better = await above.train("recent", HONEST)
        third = await above.train("recent", HONEST, 2)
        await above.admitted(3)
        await above.seat(better, 2)
        told = await chain.event(below.client, Restarted, below.name)
    assert (told.upstream, told.upstream_digest, told.upstream_epoch) == (above.name, better, 2)
    assert told.closed == ("recent",)
    board, _ = await below.boards.load(below.name)
    assert board is not None
    assert board.state.account.entries[-1].outcome == "closed"
    assert board.state.comparisons == {}

    await above.seat(better, 3)  # the same model: a canary began beside it
    await above.seat(third, 4)
    async with chain.running(build(settings)):  # it changed while nobody looked
        again = await chain.event(below.client, Restarted, below.name, 2)
        await below.publish(*(below.samples(4, active) for _ in range(10)))
        await below.read()
    assert (again.upstream_digest, again.closed) == (third, ())
    assert again.number == told.number + 1
    assert len(await below.judgements(Restarted)) == 2
    board, _ = await below.boards.load(below.name)
    assert board is not None
    assert board.state.comparisons["recent"].number == 2, "no fresh doubt"


async def test_in_lockstep_a_change_above_counts_at_the_next_mark(
    above: World, below: World, settings: Settings
) -> None:
    async with chain.running(build(settings)):
        first = await above.train("baseline", SHRUGGING)
        await above.admitted(1)
        base = await below.train("baseline", SHRUGGING)
        await below.admitted(1)
        await below.seat(base, 1)
        await below.publish(below.samples(0, None, mark=Mark("m0", 0)))
        await below.settle("m0")
        await below.answer(1)
        changes = {1: first, 2: await above.train("recent", HONEST)}
        await above.admitted(2)
        active = model(base, "baseline", 1)
        for stretch in (1, 2, 3):
            if stretch in changes:
                await above.seat(changes[stretch], stretch)
            rows = [below.samples(4, active) for _ in range(5)]
            mark = below.mark(f"m{stretch}", last=stretch == 3)
            await below.publish(*rows, below.samples(0, None, mark=mark))
            await below.settle(mark.id)
            assert (await below.answer(stretch + 1)).mark == mark.id
    (told,) = await below.judgements(Restarted)
    assert (told.mark, told.upstream_epoch) == ("m2", 2)
