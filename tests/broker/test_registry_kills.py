"""The registry is killed at every step and at random, and concludes the same."""

import asyncio
import os
import random
import sys
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest
from nats.aio.client import Client
from tests.broker.judged_world import HONEST, SHRUGGING, World, model
from tests.conftest import delete_streams

from flyball_kit.errors import TransientError
from flyball_kit.fold.errors import Fenced
from flyball_local.embedded.provision import provision_streams
from flyball_proto import streams
from flyball_proto.columns import Mark
from flyball_proto.judgements import (
    Concluded,
    Refreshed,
    RefreshRefused,
    RegistrySettled,
    Superior,
)
from flyball_registry.records.boards import Boards
from flyball_registry.records.scoreboard import Scoreboard

pytestmark = pytest.mark.broker

PROCESS = Path(__file__).with_name("dying_registry.py")
END_S = 20.0
FORGET_S = 0.1
"""The shortest that the broker takes: only what is stored prevents doubles."""

STRETCHES = 6


@asynccontextmanager
async def registry(
    common: dict[str, Any], deaths: str, log: Path
) -> AsyncIterator[asyncio.subprocess.Process]:
    """The service as a process; told to stop it has to drain and end cleanly."""
    bare = {k: v for k, v in os.environ.items() if not k.startswith(("FLYBALL_", "OTEL_"))}
    own = {f"FLYBALL_{key.upper()}": str(common[key]) for key in ("nats_url", "s3_endpoint")}
    own |= {
        "FLYBALL_S3_ACCESS_KEY": common["s3_access_key"],
        "FLYBALL_S3_SECRET_KEY": common["s3_secret_key"].get_secret_value(),
        "FLYBALL_S3_BUCKET": common["s3_bucket"],
        "FLYBALL_REGISTRY_SAVE_EVERY_S": "0.001",
        "PYTHONPATH": str(Path(__file__).parents[2]),
    }
    with log.open("w") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            str(PROCESS),
            deaths,
            env=bare | own,
            stderr=file,
            start_new_session=True,
        )
        try:
            yield process
            process.terminate()
            assert await asyncio.wait_for(process.wait(), END_S) == 0, log.read_text()
        finally:
            if process.returncode is None:
                os.killpg(process.pid, 9)
                await process.wait()


async def fresh(client: Client) -> None:
    """Empty streams and buckets; EVENTS forgets message ids at once."""
    await delete_streams(client)
    async with asyncio.timeout(END_S):
        while not await provisioned_again(client):
            pass  # the server still clears away what was deleted
    events = (await client.jetstream().stream_info(streams.EVENTS.name)).config
    events.duplicate_window = FORGET_S
    await client.jetstream().update_stream(events)


async def provisioned_again(client: Client) -> bool:
    try:
        await provision_streams(client)
    except TransientError:
        return False
    return True


async def in_lockstep(world: World) -> None:
    """A replay of some stretches: a better challenger, then a refresh that is refused."""
    await world.apply()
    base = await world.train("baseline", SHRUGGING)
    await world.admitted(1)
    await world.seat(base, 1)
    await world.publish(world.samples(0, None, mark=Mark("m0", 0)))
    honest, _ = await world.train("recent", HONEST, mark="m0"), None
    await world.settle("m0", honest)
    await world.answer(1)
    active = model(base, "baseline", 1)
    for stretch in range(1, STRETCHES + 1):
        rows = [world.samples(4, active) for _ in range(15)]
        mark = world.mark(f"m{stretch}", last=stretch == STRETCHES)
        await world.publish(*rows, world.samples(0, None, mark=mark))
        due = []
        if stretch == STRETCHES - 1:
            due = [await world.train("recent", (0.6, 0.2), world.sequence, mark=mark.id)]
        await world.settle(mark.id, *due)
        assert (await world.answer(stretch + 1)).mark == mark.id
        if stretch == STRETCHES - 2:
            await world.seat(honest, 2, baseline=world.placed(base, "baseline"))
            active = model(honest, "recent", 2)


async def left(world: World) -> dict[str, Any]:
    """Everything that the registry leaves behind, without times and names of processes."""
    board, _ = await world.boards.load(world.name)
    assert board is not None
    told: dict[str, Any] = {}
    for kind in (Superior, Concluded, Refreshed, RefreshRefused, RegistrySettled):
        found = await world.judgements(kind)
        told[kind.what] = [event.model_dump(exclude={"at"}) for event in found]
    kept = board.model_dump(exclude={"writer", "judgements", "drifts"})
    return {"board": kept, "told": told}


async def test_killed_at_every_step_of_a_replay_it_loses_and_doubles_no_judgement(
    provisioned: Client, common: dict[str, Any], unique: str, tmp_path: Path
) -> None:
    deaths, found = tmp_path / "deaths", []
    for name in ("-", str(deaths)):
        await fresh(provisioned)
        world = World(provisioned, common, unique)
        async with registry(common, name, tmp_path / f"{len(found)}.log"):
            await in_lockstep(world)
        found.append(await left(world))
    calm, killed = found
    assert killed == calm
    told = calm["told"]
    assert [len(told[kind]) for kind in ("superior", "refresh-refused")] == [1, 1]
    died = deaths.read_text().splitlines()
    assert {f"after board m{n}" for n in range(STRETCHES + 1)} <= {
        d.rsplit(" ", 2)[0] for d in died
    }
    assert sum(d.startswith("after tell judged") for d in died) == calm["board"]["number"]
    assert sum(d.startswith("before tell settled") for d in died) == STRETCHES + 1


async def test_killed_at_random_while_samples_come_it_ends_with_the_same_record(
    provisioned: Client, common: dict[str, Any], unique: str, tmp_path: Path
) -> None:
    rng, found = random.Random(5), []
    for kills in (0, 6):
        await fresh(provisioned)
        world = World(provisioned, common, unique)
        async with registry(common, "-", tmp_path / f"{kills}.log") as process:
            await world.apply()
            base = await world.train("baseline", SHRUGGING)
            await world.admitted(1)
            await world.seat(base, 1)
            await world.train("recent", HONEST)
            await world.admitted(2)
            active = model(base, "baseline", 1)
            for _ in range(7):
                messages = [world.samples(4, active) for _ in range(15)]
                cut = rng.randrange(len(messages))
                await world.publish(*messages[:cut])
                if kills:
                    process.send_signal(10)  # SIGUSR1: its child is killed
                await world.publish(*messages[cut:])
            await world.read()
        found.append(await left(world))
    assert found[0] == found[1]
    assert len(found[0]["told"]["superior"]) == 1


async def test_of_two_registries_the_older_one_is_fenced_with_clear_words(
    provisioned: Client, common: dict[str, Any], unique: str
) -> None:
    world = World(provisioned, common, unique)
    older, newer = Boards(world.boards, unique), Boards(world.boards, unique)
    board = Scoreboard(pipeline=unique, feature_digest="f")
    for boards in (older, newer):
        await boards.load()
        await boards.save(board)
    with pytest.raises(Fenced, match=rf"scoreboard/{unique}.*another registry"):
        await older.save(board)
    await newer.save(board)


async def test_a_write_that_nobody_answered_is_known_as_its_own(
    provisioned: Client, common: dict[str, Any], unique: str
) -> None:
    world = World(provisioned, common, unique)
    boards = Boards(world.boards, unique)
    await boards.load()
    board = Scoreboard(pipeline=unique, feature_digest="f")
    await boards.save(board)
    stored, revision = await world.boards.load(unique)
    assert stored is not None
    later = stored.model_copy(update={"number": 1})
    await world.boards.save(unique, later, revision=revision)  # stored, and its answer was lost
    await boards.save(board.model_copy(update={"number": 1}))
    await boards.save(board.model_copy(update={"number": 2}))
