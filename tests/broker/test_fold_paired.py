"""Two inputs read as one, against a real broker: the companions arrive, however things are killed."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass, field, replace
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from nats.js.api import StreamConfig
from tests.chaos.foldlab.lab import FAST, IN, OUT, Lab, connector, ends_with, lab, running
from tests.chaos.foldlab.sums import Row, pack, unpack

from flyball_kit.fold import Companion, Endpoint, FoldRunner, Input, InputLost, Output, paired
from flyball_kit.fold.broker import end
from flyball_kit.fold.positions import find, purge_behind
from flyball_proto.headers import COVERS, MEMO

pytestmark = pytest.mark.broker

BESIDE = Endpoint("SIDE", "side.0")
LOOK_BACK = 4
PER_MESSAGE = 3


@dataclass
class Joined:
    """Every value of the companion, plus the first input's of its message, summed over the last few.

    State: the last `LOOK_BACK` rows. Nothing tells what belongs together but the reader.
    """

    window: list[tuple[int, int]] = field(default_factory=list)
    out: list[Row] = field(default_factory=list)

    def step(self, message: Input) -> bool:
        (bonus,) = (value for _, value in unpack(message.data))
        for beside in message.beside:
            for index, value in unpack(beside.data):
                self.window = [*self.window, (message.sequence, value + bonus)][-LOOK_BACK:]
                self.out.append((index, sum(value for _, value in self.window)))
        return False

    def tick(self, now_ms: int) -> None:
        raise AssertionError("no ticks were asked for")

    def take(self) -> Output | None:
        if not self.out:
            return None
        now, self.out = self.out, []
        return Output(pack(now), rows=len(now))

    def since(self) -> int | None:
        return self.window[0][0] if self.window else None

    def dump(self) -> bytes:
        raise AssertionError("no snapshots are kept")

    def load(self, data: bytes) -> None:
        raise AssertionError("no snapshots are kept")


@pytest.fixture
async def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Lab]:
    monkeypatch.setattr(paired, "REGISTER_S", 0.05)
    async with lab(tmp_path) as made:
        await made.add_streams()
        await made.js.add_stream(StreamConfig(name="SIDE", subjects=["side.>"]))
        yield made


def runner(bench: Lab, **given: Any) -> FoldRunner:
    wiring: dict[str, Any] = {
        "connect": connector(bench.url),
        "source": IN,
        "target": OUT,
        "fold": Joined,
        "options": replace(FAST, advance_s=0.1),
        "beside": Companion(BESIDE),
    }
    return FoldRunner("joined", **(wiring | given))


async def put_beside(bench: Lab, indices: Sequence[int]) -> None:
    """One companion an index; message i covers METRICS sequences 10 i to 10 i + 9."""
    for i in indices:
        covers = {COVERS: f"hub.METRICS {10 * i} {10 * i + 9}"}
        await bench.js.publish("side.0", pack([(i, i * i)]), headers=covers)


async def put(bench: Lab, borders: Sequence[int]) -> None:
    """First inputs over the companions between borders; each is worth its first companion."""
    for a, b in pairwise(borders):
        covers = {COVERS: f"hub.METRICS {10 * a} {10 * b - 1}"}
        await bench.js.publish("in.0", pack([(0, 1000 * a)]), headers=covers)


def expected(borders: Sequence[int]) -> list[Row]:
    values = [i * i + 1000 * a for a, b in pairwise(borders) for i in range(a, b)]
    first = borders[0]
    return [
        (first + at, sum(values[max(0, at + 1 - LOOK_BACK) : at + 1])) for at in range(len(values))
    ]


def in_threes(end: int, start: int = 1) -> list[int]:
    return list(range(start, end + 1, PER_MESSAGE))


async def rows(bench: Lab) -> list[Row]:
    return [r for m in await bench.messages("out.a") for r in unpack(m.data or b"")]


async def test_each_message_gets_its_companions_once_and_waits_for_them(bench: Lab) -> None:
    borders = in_threes(31)
    async with running(runner(bench)):
        await put_beside(bench, range(1, 6))
        await put(bench, borders)
        await bench.until_row(3)  # the second message needs 4 to 6
        assert await rows(bench) == expected(in_threes(4))
        await put_beside(bench, range(6, 31))
        await bench.until_row(30)
    assert await rows(bench) == expected(borders)


async def test_companions_that_come_first_wait_for_their_message(bench: Lab) -> None:
    async with running(runner(bench)):
        await put_beside(bench, range(1, 31))
        await put(bench, in_threes(31))
        await bench.until_row(30)
    assert await rows(bench) == expected(in_threes(31))


async def test_claims_and_ticks_need_no_companions(bench: Lab) -> None:
    await bench.js.publish("side.0", b"", headers={COVERS: "hub.METRICS 0 0"})
    await put_beside(bench, range(1, 4))
    await put(bench, [1, 4])
    async with running(made := runner(bench)):
        await bench.until_row(3)
        tick = await bench.js.publish("in.0", pack([(0, 7)]), headers={COVERS: "hub.METRICS 0 0"})
        await bench.until(lambda: made.stats.position == tick.seq, "the tick")
    assert await rows(bench) == expected([1, 4])


async def test_kills_at_any_moment_double_and_lose_nothing(bench: Lab) -> None:
    borders = in_threes(91)
    await put_beside(bench, range(1, 91))
    await put(bench, borders)
    for kill_at in range(3, 90, 9):
        task = asyncio.create_task(runner(bench, options=replace(FAST, batch=2)).run())
        await bench.until_row(kill_at)
        await end(task)
    async with running(runner(bench)):
        await bench.until_row(90)
    assert await rows(bench) == expected(borders)


async def registered(bench: Lab, stream: str) -> int:
    found = await find(bench.js, stream, "joined")
    return found.sequence if found else 0


async def test_a_restart_needs_nothing_older_than_what_was_registered(bench: Lab) -> None:
    borders = in_threes(61)
    await put_beside(bench, range(1, 31))
    await put(bench, borders[:11])
    async with running(runner(bench)):
        await bench.until_row(30)
        # rows 27 to 30 are still needed, 27 came with the 9th message over 25 to 27
        await bench.until(lambda: _is(registered(bench, "IN"), 8), "the first input's position")
        await bench.until(lambda: _is(registered(bench, "SIDE"), 24), "the companion's position")
    for stream, subject in (("IN", "in.0"), ("SIDE", "side.0")):
        await purge_behind(bench.js, stream, subject, keep_bytes=0)
    assert (await bench.js.stream_info("SIDE")).state.first_seq == 24
    await put_beside(bench, range(31, 61))
    await put(bench, borders[10:])
    async with running(again := runner(bench)):
        await bench.until_row(60)
    assert again.stats.replayed == 2
    assert await rows(bench) == expected(borders)


async def _is(found: Any, wanted: int) -> bool:
    return bool(await found == wanted)


async def test_without_a_registered_position_companions_are_read_from_the_first_one(
    bench: Lab,
) -> None:
    await put_beside(bench, range(1, 31))
    await put(bench, in_threes(31)[:6])
    async with running(runner(bench)):
        await bench.until_row(15)
    await bench.js.purge_stream("KV_positions")
    await put(bench, in_threes(31)[5:])
    async with running(runner(bench)):
        await bench.until_row(30)
    assert await rows(bench) == expected(in_threes(31))


async def test_at_the_first_start_messages_without_companions_are_passed_over(bench: Lab) -> None:
    await put_beside(bench, range(1, 31))
    await put(bench, in_threes(31))
    await bench.js.purge_stream("SIDE", seq=8)  # 7 is gone, and the message over 7 to 9 with it
    async with running(runner(bench)):
        await bench.until_row(30)
    assert await rows(bench) == expected(in_threes(31)[3:])


async def test_companions_that_vanished_later_are_an_error_that_names_them(bench: Lab) -> None:
    await put_beside(bench, range(1, 10))
    await put(bench, in_threes(4))
    async with running(runner(bench)):
        await bench.until_row(3)
    await put(bench, in_threes(10)[1:])
    await bench.js.delete_msg("SIDE", 4)
    async with running(runner(bench)) as (task,):
        error = await ends_with(task)
    assert isinstance(error, InputLost)
    assert "covers 40 to 69, but side.0 has 50 to 69" in str(error)


async def test_messages_that_need_no_companions_by_another_rule_go_alone(bench: Lab) -> None:
    def odd_ones(message: Input) -> paired.Span | None:
        span = paired.covered(message)
        return span if span and span.first < 100 else None

    await put_beside(bench, range(1, 4))
    await put(bench, [1, 4])
    await put(bench, [100, 103])
    async with running(made := runner(bench, beside=Companion(BESIDE, odd_ones))):
        await bench.until(lambda: made.stats.position == 2, "both")
    assert await rows(bench) == expected([1, 4])


async def test_a_broker_killed_and_restarted_costs_no_companion(bench: Lab) -> None:
    async with running(runner(bench)):
        await put_beside(bench, range(1, 10))
        await put(bench, in_threes(7))
        await bench.until_row(6)
        bench.engine.kill()
        bench.engine.start()
        await bench.until(lambda: bench.client.is_connected, "the lab's connection")
        await bench.until(lambda: bench.js.stream_info("SIDE"), "the stream")
        await put_beside(bench, range(10, 19))
        await put(bench, in_threes(19)[2:])
        await bench.until_row(18)
    assert await rows(bench) == expected(in_threes(19))


class Parted(Joined):
    """Writes a row a part; its memo counts the rows that went out behind the position."""

    def __init__(self, memo: str | None) -> None:
        super().__init__()
        self.known, self.stored = (int(w) for w in (memo or "0 0").split())
        self.skip = self.stored
        self.last = self.known

    def step(self, message: Input) -> bool:
        before = len(self.out)
        super().step(message)
        if message.sequence <= self.known:
            del self.out[before:]
            return False
        skipped = min(self.skip, len(self.out) - before)
        del self.out[before : before + skipped]
        self.skip -= skipped
        self.last = message.sequence
        return False

    def take(self) -> Output | None:
        if not self.out:
            return None
        row, *self.out = self.out
        if self.out:
            self.stored += 1
            return Output(pack([row]), rows=1, memo=f"{self.known} {self.stored}", partial=True)
        self.known, self.stored = self.last, self.skip
        return Output(pack([row]), rows=1, memo=f"{self.known} {self.stored}")


async def test_parts_before_a_kill_are_neither_doubled_nor_lost(bench: Lab) -> None:
    borders = in_threes(61)
    await put_beside(bench, range(1, 61))
    await put(bench, borders)
    memos: list[str | None] = []

    def parted() -> FoldRunner:
        return runner(bench, fold=lambda: Parted(memos[-1]), recall=memos.append)

    for kill_at in range(2, 60, 7):
        task = asyncio.create_task(parted().run())
        await bench.until_row(kill_at)
        await end(task)
    async with running(parted()):
        await bench.until_row(60)
    assert await rows(bench) == expected(borders)
    assert memos[0] is None
    assert all(memo is not None for memo in memos[1:])


async def test_an_idle_fold_keeps_its_memo(bench: Lab) -> None:
    memos: list[str | None] = []
    await put_beside(bench, range(1, 4))
    await put(bench, [1, 4])
    for turn in range(3):
        async with running(runner(bench, fold=lambda: Parted(memos[-1]), recall=memos.append)):
            await bench.until(lambda n=turn: len(memos) > n, "the start")
            await bench.until_row(3)
    assert memos == [None, "1 0", "1 0"]
    last = await bench.js.get_last_msg("OUT", "out.a")
    assert not last.data  # a claim
    assert (last.headers or {})[MEMO] == "1 0"
