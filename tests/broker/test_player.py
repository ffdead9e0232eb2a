"""What a replay writes into METRICS against a real broker: rows, labels and marks in one order."""

import asyncio
import json
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any

import numpy as np
import pytest
from nats.aio.client import Client

from flyball_local.csvfile.csvrows import CsvRow
from flyball_local.playing.marks import Marks
from flyball_local.playing.player import Player, stretches
from flyball_local.specfile import load_text
from flyball_proto import columns, streams, subjects
from flyball_proto.columns import Flow, Mark, Rows, Verdicts
from flyball_proto.spec import Pipeline, Source

pytestmark = pytest.mark.broker

TIMEOUT_S = 20.0
SPEC = """\
apiVersion: flyball/v1
kind: Pipeline
metadata: {name: cells}
spec:
  source: {metrics: [load]}
  target: {task: binary, kind: feedback, horizon: 1h}
"""


@pytest.fixture
def spec() -> tuple[Source, Pipeline]:
    catalogue = load_text(SPEC, "spec")
    return catalogue.sources["cells"], catalogue.pipelines["cells"]


def rows(elements: str, step_ms: int = 10) -> list[CsvRow]:
    """A row of each named element, one behind the other, with its place as report and truth."""
    return [
        CsvRow(element, 1_000 + step_ms * i, b"%d" % i, b"%d" % i)
        for i, element in enumerate(elements)
    ]


async def said(client: Client) -> list[str]:
    """METRICS in order: `c 3` a report, `c =3` its label, `|2` a mark, `|2.` the last one."""
    js = client.jetstream()
    last = (await js.stream_info(streams.METRICS.name)).state.last_seq
    found = []
    for sequence in range(1, last + 1):
        message = await js.get_msg(streams.METRICS.name, sequence)
        kind, name, _, element = (message.subject or "").split(".")
        data = (message.data or b"").decode()
        assert name == "cells"
        if element == subjects.MARK:
            mark = json.loads(data)
            found.append(f"|{mark['id'].split('-')[1]}{'.' if mark.get('last') else ''}")
        else:
            found.append(f"{element} {'=' if kind == 'labels' else ''}{data}")
    return found


def verdict(mark: str) -> bytes:
    """A batch without rows that ends with a mark."""
    u8, none = np.empty(0, columns.U8), np.empty(0)
    flow = Flow("hub.METRICS", 1, 1, mark=Mark(mark, 0))
    return columns.encode_verdicts(
        Verdicts(
            "cells", "d", flow, Rows.none(), (), u8, none, (), u8, u8, u8, u8, none, (), u8
        )
    )  # fmt: skip


class Loop:
    """Stands in for all stages: notes the marks that come, and passes those that it is told to."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self.marks: list[dict[str, Any]] = []
        self._came = asyncio.Event()
        self.all_pass = False

    async def on_mark(self, message: Any) -> None:
        self.marks.append(json.loads(message.data))
        self._came.set()
        if self.all_pass:
            await self.let_pass(len(self.marks) - 1)

    async def came(self, number: int) -> None:
        async with asyncio.timeout(TIMEOUT_S):
            while len(self.marks) <= number:
                self._came.clear()
                await self._came.wait()

    async def let_pass(self, number: int) -> None:
        await self.came(number)
        js = self._client.jetstream()
        await js.publish("verdicts.cells.0", verdict(self.marks[number]["id"]))


@asynccontextmanager
async def loop(client: Client) -> AsyncIterator[tuple[Loop, Marks]]:
    stages, marks = Loop(client), Marks(client, "cells", 1, 0)
    sub = await client.jetstream().subscribe(
        "metrics.cells.0._mark", cb=stages.on_mark, ordered_consumer=True
    )
    watching = asyncio.create_task(marks.watch())
    try:
        yield stages, marks
    finally:
        watching.cancel()
        await asyncio.gather(watching, return_exceptions=True)
        await sub.unsubscribe()


def player(
    client: Client, spec: tuple[Source, Pipeline], *, delay: int = 0, with_labels: bool = True
) -> Player:
    source, pipeline = spec
    return Player(
        client,
        source,
        1,
        lambda _: None,
        pipeline=pipeline if with_labels else None,
        label_delay_rows=delay,
    )


@pytest.mark.parametrize(
    ("delay", "expected"),
    [
        (0, "|0 a0 =a0 b1 =b1 a2 =a2 |1 b3 =b3 a4 =a4 |2 |3."),
        (1, "|0 a0 b1 a2 =a0 |1 b3 =b1 a4 =a2 |2 =b3 =a4 |3."),
        (9, "|0 a0 b1 a2 |1 b3 a4 |2 =a0 =b1 =a2 =b3 =a4 |3."),
    ],
)
async def test_in_lockstep_rows_labels_and_marks_are_stored_in_one_order(
    provisioned: Client, spec: tuple[Source, Pipeline], delay: int, expected: str
) -> None:
    cut = stretches(iter(rows("ababa")), 3)
    async with loop(provisioned) as (stages, marks):
        stages.all_pass = True
        async with asyncio.timeout(TIMEOUT_S):
            last = await player(provisioned, spec, delay=delay).in_lockstep(cut, marks)
    assert [short(word) for word in await said(provisioned)] == expected.split()
    assert stages.marks[-1]["id"] == last
    assert [mark["time_ms"] for mark in stages.marks] == [999, 1_020, 1_040, 1_040]


def short(word: str) -> str:
    """`a =0` as `=a0`."""
    element, _, what = word.partition(" ")
    return f"={element}{what[1:]}" if what.startswith("=") else f"{element}{what}"


async def test_one_stretch_is_published_while_the_one_before_it_is_under_way(
    provisioned: Client, spec: tuple[Source, Pipeline]
) -> None:
    cut = stretches(iter(rows("aaaaaa")), 2)
    async with loop(provisioned) as (stages, marks):
        playing = asyncio.create_task(player(provisioned, spec).in_lockstep(cut, marks))
        await stages.came(1)
        assert len(stages.marks) == 2  # nothing passed, so it waits for the opening mark
        await stages.let_pass(0)
        await stages.came(2)  # the second stretch while the first one is not settled
        await stages.let_pass(1)
        await stages.came(3)
        assert not playing.done()
        await stages.let_pass(2)
        await stages.let_pass(3)
        await stages.came(4)  # the last one, without rows
        await stages.let_pass(4)
        async with asyncio.timeout(TIMEOUT_S):
            assert await playing == stages.marks[4]["id"]


async def test_a_mark_that_was_passed_before_anyone_asked_is_passed(provisioned: Client) -> None:
    js = provisioned.jetstream()
    for mark in ("m1", "m2", "m3"):
        await js.publish("verdicts.cells.0", verdict(mark))
    async with loop(provisioned) as (_, marks):
        await marks.wait("m3", TIMEOUT_S)
        await marks.wait("m1", TIMEOUT_S)


async def test_a_history_without_rows_needs_no_marks(
    provisioned: Client, spec: tuple[Source, Pipeline]
) -> None:
    async with loop(provisioned) as (_, marks):
        assert await player(provisioned, spec).in_lockstep(iter(()), marks) is None
    assert await said(provisioned) == []


@pytest.mark.parametrize(
    ("with_labels", "expected"),
    [(True, ["a0", "b1", "a2", "=a0", "b3", "=b1", "=a2", "=b3"]), (False, ["a0", "b1", "a2", "b3"])],
)  # fmt: skip
async def test_at_speed_labels_come_behind_the_same_rows(
    provisioned: Client,
    spec: tuple[Source, Pipeline],
    with_labels: bool,
    expected: Sequence[str],
) -> None:
    playing = player(provisioned, spec, delay=1, with_labels=with_labels)
    async with asyncio.timeout(TIMEOUT_S):
        await playing.at_speed(iter(rows("abab")), speed=1e6)
    assert [short(word) for word in await said(provisioned)] == list(expected)
