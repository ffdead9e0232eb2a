"""Far more goes through the stack than its streams may hold, and every row comes out."""

import asyncio
from contextlib import aclosing
from pathlib import Path

import pytest
from nats.aio.client import Client
from tests.loop.driving import write_spec

from flyball_local import specfile
from flyball_local.control import apply
from flyball_local.embedded.stack import Options, Stack
from flyball_local.playing.outbox import Outbox
from flyball_local.showing.tail import follow
from flyball_proto import streams, subjects
from flyball_proto.columns import decode_verdicts

pytestmark = [pytest.mark.loop, pytest.mark.xdist_group("retention")]

RETAIN_MIB = 4
ELEMENTS = 50
ROWS = 80_000
T0_MS = 1_767_225_600_000


def report(element: str, at_ms: int) -> bytes:
    return f'{{"element":"{element}","time_ms":{at_ms},"values":{{"load":5,"users":1}}}}'.encode()


async def count_rows(client: Client, pipeline: str, rows: int) -> int:
    """Read VERDICTS until so many rows are accounted for; returns how many were."""
    seen = 0
    async with aclosing(follow(client, "VERDICTS", subjects.verdicts(pipeline, 0), 0)) as messages:
        async for message in messages:
            if message.data:
                batch = decode_verdicts(message.data)
                seen += len(batch.rows) + int(batch.flow.skipped.rows.sum())
            if seen >= rows:
                return seen
    raise AssertionError("the stream ended")


async def test_streams_are_emptied_behind_their_readers_and_no_row_is_missed(
    tmp_path: Path,
) -> None:
    quiet_one = specfile.load(write_spec(tmp_path, "quiet"))
    catalogue = specfile.load(write_spec(tmp_path, "small"))
    quiet = Options(retain_mib=RETAIN_MIB, say=lambda line: None)
    async with Stack(tmp_path / "home", quiet) as stack:
        operator, adapter = await stack.connect("operator"), await stack.connect("adapter")
        await apply(operator, [*quiet_one.objects, *catalogue.objects], by="test")
        counting = asyncio.create_task(count_rows(operator, "small", ROWS))
        async with Outbox(adapter, "retention") as outbox:
            await outbox.put(subjects.metrics("quiet", "c"), report("c", T0_MS))  # and never again
            for i in range(ROWS):
                element, at_ms = f"cell-{i % ELEMENTS}", T0_MS + i // ELEMENTS * 1_000
                body = (
                    f'{{"element":"{element}","time_ms":{at_ms},"values":{{"load":5,"users":1}}}}'
                )
                await outbox.put(subjects.metrics("small", element), body.encode())
            await outbox.drain()
        async with asyncio.timeout(60):
            assert await counting == ROWS
        metrics = (await operator.jetstream().stream_info("METRICS")).state
        await operator.close()
        await adapter.close()
    assert metrics.last_seq == ROWS + 1
    assert metrics.first_seq == 1  # the quiet source's windows hold its only report
    assert metrics.messages < ROWS  # what was read was purged
    assert metrics.bytes <= RETAIN_MIB * streams.MIB
