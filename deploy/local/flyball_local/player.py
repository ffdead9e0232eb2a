"""Publishes the rows of a history: in lockstep stretch by stretch, or at the pace they happened."""

import asyncio
import time
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from nats.aio.client import Client

from flyball_kit.clock import new_id
from flyball_local.csvrows import CsvRow
from flyball_local.marks import Marks, mark_report
from flyball_local.outbox import Outbox
from flyball_local.supervisor import Say
from flyball_proto import subjects
from flyball_proto.spec import Source

PROGRESS_S: Final = 2.0


class Player:
    """Publishes rows through one connection of role `adapter`."""

    def __init__(self, client: Client, source: Source, partitions: int, say: Say) -> None:
        self._client, self._source, self.partitions = client, source, partitions
        self._say, self._run = say, new_id()[:12]
        self._began_s = self._said_s = time.monotonic()
        self._rows = 0

    async def in_lockstep(self, stretches: Iterator[list[CsvRow]], marks: Marks) -> None:
        """Stretch by stretch, each settled before the next is published."""
        async with Outbox(self._client, self._run, ordered=True) as outbox:
            for number, stretch in enumerate(stretches):
                for row in stretch:
                    await outbox.put(subjects.metrics(self._source.name, row.element), row.report)
                time_ms = max((r.time_ms for r in stretch if r.time_ms is not None), default=0)
                mark = f"{self._run}-{number}"
                for partition in range(self.partitions):
                    await outbox.put(
                        subjects.stored_metrics(self._source.name, partition, subjects.MARK),
                        mark_report(mark, time_ms),
                    )
                await outbox.drain()
                await marks.wait(mark)
                self._progress(len(stretch), time_ms)

    async def at_speed(self, rows: Iterator[CsvRow], speed: float) -> None:
        """Each row when its time has come, `speed` times as fast as it was."""
        async with Outbox(self._client, self._run) as outbox:
            first_ms: int | None = None
            for row in rows:
                first_ms = row.time_ms if first_ms is None else first_ms
                if row.time_ms is not None and first_ms is not None:
                    due_s = self._began_s + (row.time_ms - first_ms) / 1000 / speed
                    if (wait_s := due_s - time.monotonic()) > 0:
                        await asyncio.sleep(wait_s)
                await outbox.put(subjects.metrics(self._source.name, row.element), row.report)
                self._progress(1, row.time_ms or 0)
            await outbox.drain()

    def _progress(self, rows: int, time_ms: int) -> None:
        self._rows += rows
        now_s = time.monotonic()
        if now_s - self._said_s >= PROGRESS_S:
            self._said_s = now_s
            at = datetime.fromtimestamp(time_ms / 1000, UTC)
            rate = self._rows / (now_s - self._began_s)
            self._say(f"{self._rows} rows, up to {at:%Y-%m-%dT%H:%M:%S}Z, {rate:.0f} rows/s")


def stretches(rows: Iterator[CsvRow], least: int) -> Iterator[list[CsvRow]]:
    """Cut rows where event time moves on, behind `least` rows or more. Depends on the rows alone."""
    stretch: list[CsvRow] = []
    newest_ms = -1
    for row in rows:
        moves = row.time_ms is not None and row.time_ms > newest_ms
        if moves and len(stretch) >= least:
            yield stretch
            stretch = []
        if row.time_ms is not None:
            newest_ms = max(newest_ms, row.time_ms)
        stretch.append(row)
    if stretch:
        yield stretch
