"""Registered positions, and purging that never passes the slowest reader."""

from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path

import pytest
from tests.chaos.foldlab.lab import FAST, NEXT, OUT, Lab, lab, running
from tests.chaos.foldlab.sums import rolling, source_rows

from flyball_kit.fold.positions import (
    Registered,
    find,
    forget,
    purge_behind,
    register,
    registered,
)

pytestmark = pytest.mark.broker


@pytest.fixture
async def bench(tmp_path: Path) -> AsyncIterator[Lab]:
    async with lab(tmp_path) as made:
        await made.add_streams()
        yield made


async def epoch(bench: Lab) -> str:
    created = (await bench.js.stream_info("IN")).created
    assert created is not None
    return created.isoformat()


async def first_sequence(bench: Lab, stream: str = "IN") -> int:
    return (await bench.js.stream_info(stream)).state.first_seq


async def test_readers_of_a_stream_are_found_by_its_name(bench: Lab) -> None:
    one, two = Registered(5, "in.0", "e"), Registered(9, "in.1", "e")
    await register(bench.js, "IN", "ingest.congestion.0", one)
    await register(bench.js, "IN", "b", two)
    await register(bench.js, "INX", "c", two)
    assert await registered(bench.js, "IN") == {"ingest.congestion.0": one, "b": two}
    await forget(bench.js, "IN", "b")
    assert await registered(bench.js, "IN") == {"ingest.congestion.0": one}
    assert await find(bench.js, "IN", "b") is None
    assert await find(bench.js, "IN", "never") is None


async def test_a_purge_stops_at_the_slowest_registered_reader(bench: Lab) -> None:
    await bench.feed(source_rows(100))
    life = await epoch(bench)
    await register(bench.js, "IN", "fast", Registered(90, "in.0", life))
    await register(bench.js, "IN", "slow", Registered(40, "in.0", life))
    await register(bench.js, "IN", "of-an-earlier-life", Registered(3, "in.0", "before"))
    assert await purge_behind(bench.js, "IN", "in.0", keep_bytes=0) == 40
    assert await first_sequence(bench) == 40


async def test_every_subject_that_a_reader_reads_is_kept_for_it(bench: Lab) -> None:
    await bench.feed(source_rows(10))
    await bench.feed(source_rows(10), subject="in.labels.x")
    reads = Registered(5, "in.0 in.labels.>", await epoch(bench))
    await register(bench.js, "IN", "both", reads)
    assert await purge_behind(bench.js, "IN", "in.labels.>", keep_bytes=0) == 0
    assert await purge_behind(bench.js, "IN", "in.0", keep_bytes=0) == 5


async def test_a_purge_keeps_the_last_message_of_the_subject(bench: Lab) -> None:
    await bench.feed(source_rows(10))
    await bench.feed(source_rows(10), subject="in.1")
    assert await purge_behind(bench.js, "IN", "in.0", keep_bytes=0) == 10
    assert len(await bench.messages("in.0", stream="IN")) == 1
    assert len(await bench.messages("in.1", stream="IN")) == 10


async def test_a_purge_keeps_the_bytes_that_were_asked_for(bench: Lab) -> None:
    await bench.feed(source_rows(100))
    held = (await bench.js.stream_info("IN")).state.bytes
    assert await purge_behind(bench.js, "IN", "in.0", keep_bytes=held) == 0
    assert await purge_behind(bench.js, "IN", "in.0", keep_bytes=held // 2) == 51


async def test_a_running_chain_keeps_its_streams_small_and_loses_nothing(bench: Lab) -> None:
    tight = replace(FAST, retain_bytes=2000, retain_source_bytes=2000, register_s=0.02)
    first = bench.runner("a", options=tight)
    second = bench.runner("b", source=OUT, target=NEXT, options=replace(FAST, register_s=0.02))
    async with running(first, second):
        for start in range(0, 600, 100):
            await bench.feed(source_rows(100, start=start))
            await bench.until_row(start + 99, "out.b")

        async def is_small() -> bool:
            info = await bench.js.stream_info("OUT", subjects_filter="out.a")
            outputs = (info.state.subjects or {})["out.a"]
            return await first_sequence(bench) > 400 and outputs < first.stats.commits // 2

        await bench.until(is_small, "room was made")
    async with running(
        bench.runner("a", options=tight), bench.runner("b", source=OUT, target=NEXT)
    ):
        await bench.feed(source_rows(50, start=600))
        await bench.until_row(649, "out.b")
    rows = (await bench.judge("out.b", [])).rows
    assert rows == rolling(rolling(source_rows(650)))


async def test_a_reader_registers_what_it_still_needs_and_not_what_it_has_read(bench: Lab) -> None:
    async with running(bench.runner()):
        await bench.feed(source_rows(100))
        await bench.until_row(99)

        async def is_registered() -> bool:
            found = await find(bench.js, "IN", "a")
            return found is not None and found.sequence == 100 - 64

        await bench.until(is_registered, "its look-back is kept")
