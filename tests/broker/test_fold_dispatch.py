"""The dispatcher against a real broker: every row reaches its subject once and in order."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from pathlib import Path
from typing import Any

import pytest
from nats.js.api import DiscardPolicy, StreamConfig
from tests.chaos.foldlab.lab import IN, Lab, connector, ends_with, lab, running
from tests.chaos.foldlab.proxy import Proxy
from tests.chaos.foldlab.sums import pack, source_rows, unpack
from typing_extensions import override

from flyball_kit.fold import Dispatch, Dispatcher, DispatchOptions, Fenced, Input
from flyball_kit.fold.broker import end
from flyball_kit.fold.contract import ReaderOptions
from flyball_proto.headers import KEY

pytestmark = pytest.mark.broker
ELEMENTS = 7
QUICK = DispatchOptions(
    save_every_s=0.05, publish_timeout_s=0.3, reader=ReaderOptions(heartbeat_s=0.2)
)


def subject_of(index: int) -> str:
    return f"act.e{index % ELEMENTS}"


def route(message: Input) -> Sequence[Dispatch]:
    """Each row goes to the element that its index names."""
    return [
        Dispatch(subject_of(index), (message.sequence, at), pack([(index, value)]))
        for at, (index, value) in enumerate(unpack(message.data))
    ]


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Lab]:
    async with lab(tmp_path) as made:
        await made.add_streams()
        await made.js.add_stream(
            StreamConfig(name="ACT", subjects=["act.>"], discard=DiscardPolicy.OLD)
        )
        yield made


def dispatcher(bench: Lab, via: Proxy | None = None, **given: Any) -> Dispatcher:
    wiring: dict[str, Any] = {"source": IN, "target": "ACT", "route": route, "options": QUICK}
    return Dispatcher("act", connect=connector(bench.url, via), **(wiring | given))


async def feed(bench: Lab, first: int, count: int, rows_a_message: int = 5) -> None:
    rows = source_rows(count, start=first)
    for at in range(0, count, rows_a_message):
        await bench.js.publish("in.0", pack(rows[at : at + rows_a_message]))


async def until_sent(bench: Lab, count: int) -> None:
    async def is_sent() -> bool:
        return (await bench.js.stream_info("ACT")).state.messages >= count

    await bench.until(is_sent, f"{count} dispatches")


async def exact(bench: Lab, count: int) -> None:
    """Every row once, in order within its subject, nothing else."""
    wanted = source_rows(count)
    for element in range(ELEMENTS):
        messages = await bench.messages(subject_of(element), stream="ACT")
        rows = [row for m in messages for row in unpack(m.data or b"")]
        assert rows == [row for row in wanted if row[0] % ELEMENTS == element]
        keys = [(m.headers or {})[KEY].split() for m in messages]
        assert keys == sorted(keys, key=lambda key: (int(key[0]), int(key[1])))


async def test_every_row_reaches_its_subject_once_and_in_order(bench: Lab) -> None:
    await feed(bench, 0, 200)
    async with running(dispatcher(bench)):
        await feed(bench, 200, 100)
        await until_sent(bench, 300)
    await exact(bench, 300)


async def test_a_killed_dispatcher_repeats_nothing(bench: Lab) -> None:
    for round_ in range(8):
        task = asyncio.create_task(dispatcher(bench).run())
        await feed(bench, 40 * round_, 40)
        await until_sent(bench, 40 * round_ + 5 * (round_ % 4) + 1)
        await end(task)
    async with running(dispatcher(bench)):
        await until_sent(bench, 320)
    await exact(bench, 320)


async def test_a_stopped_dispatcher_goes_on_where_it_was(bench: Lab) -> None:
    async with running(dispatcher(bench, options=DispatchOptions())):
        await feed(bench, 0, 50)
        await until_sent(bench, 50)
    again = dispatcher(bench)
    async with running(again):
        await feed(bench, 50, 50)
        await until_sent(bench, 100)
    assert again.stats.replayed == 0
    await exact(bench, 100)


async def test_without_its_saved_position_it_reads_all_again_and_sends_nothing_twice(
    bench: Lab,
) -> None:
    async with running(dispatcher(bench)):
        await feed(bench, 0, 100)
        await until_sent(bench, 100)
    await bench.js.purge_stream("KV_positions")
    again = dispatcher(bench)
    async with running(again):
        await bench.until(lambda: again.stats.replayed == 100, "all read again")
        await feed(bench, 100, 10)
        await until_sent(bench, 110)
    await exact(bench, 110)


class Sleeper(Dispatcher):
    """Falls asleep in the middle of a batch, like a process that is stopped and woken later."""

    asleep = asyncio.Event()
    woken = asyncio.Event()

    @override
    async def _send(self, dispatch: Dispatch, stored: Any) -> Any:
        if dispatch.key >= (5, 0):
            self.asleep.set()
            await self.woken.wait()
        return await super()._send(dispatch, stored)


async def test_a_zombie_that_wakes_up_repeats_nothing_and_is_fenced(bench: Lab) -> None:
    zombie = Sleeper(
        "act", connect=connector(bench.url), source=IN, target="ACT", route=route, options=QUICK
    )
    zombie.asleep, zombie.woken = asyncio.Event(), asyncio.Event()
    async with running(zombie) as (zombie_task,):
        await feed(bench, 0, 100)
        await zombie.asleep.wait()
        async with running(dispatcher(bench)):
            await until_sent(bench, 100)
            zombie.woken.set()
            await feed(bench, 100, 50)
            assert isinstance(await ends_with(zombie_task), Fenced)
            await until_sent(bench, 150)
    await exact(bench, 150)


async def test_two_at_once_send_every_row_once(bench: Lab) -> None:
    async with running(dispatcher(bench), dispatcher(bench)):
        await feed(bench, 0, 150)
        await until_sent(bench, 150)
    await exact(bench, 150)


async def test_a_lost_acknowledgement_sends_nothing_twice(bench: Lab) -> None:
    async with Proxy(bench.engine.port) as proxy:
        sender = dispatcher(bench, proxy)
        async with running(sender):
            await feed(bench, 0, 10)
            await until_sent(bench, 10)
            for first in range(10, 70, 20):
                proxy.something_swallowed.clear()
                proxy.swallow = True
                await feed(bench, first, 20)
                await proxy.something_swallowed.wait()
                proxy.cut()
                proxy.swallow = False
                await until_sent(bench, first + 20)
        assert sender.stats.own >= 1
    await exact(bench, 70)


async def test_a_broker_killed_and_restarted_sends_nothing_twice(bench: Lab) -> None:
    async with running(dispatcher(bench)):
        await feed(bench, 0, 100)
        await until_sent(bench, 20)
        bench.engine.kill()
        bench.engine.start()
        await bench.until(lambda: bench.client.is_connected, "the lab's connection")
        await until_sent(bench, 100)
    await exact(bench, 100)


async def test_subjects_forgotten_for_lack_of_room_are_read_again(bench: Lab) -> None:
    small = DispatchOptions(batch_messages=1, subjects=1, reader=ReaderOptions(heartbeat_s=0.2))
    async with running(dispatcher(bench, options=small)):
        await feed(bench, 0, 100, rows_a_message=1)
        await until_sent(bench, 100)
    await exact(bench, 100)


async def test_a_row_whose_subject_lost_its_last_message_goes_out_in_its_turn(bench: Lab) -> None:
    async with running(dispatcher(bench)):
        await feed(bench, 0, 20)
        await until_sent(bench, 20)
        await bench.js.purge_stream("ACT")
        await feed(bench, 20, 20)
        await until_sent(bench, 20)
    for element in range(ELEMENTS):
        messages = await bench.messages(subject_of(element), stream="ACT")
        rows = [row for m in messages for row in unpack(m.data or b"")]
        assert rows == [r for r in source_rows(20, start=20) if r[0] % ELEMENTS == element]
