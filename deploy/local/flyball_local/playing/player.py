"""Publishes the rows of a history: in lockstep stretch by stretch, or at the pace they happened."""

import asyncio
import time
from collections import deque
from collections.abc import Iterable, Iterator
from datetime import UTC, datetime
from typing import Final

from nats.aio.client import Client

from flyball_kit.clock import new_id
from flyball_local.csvfile.csvrows import CsvRow
from flyball_local.embedded.supervisor import Say
from flyball_local.playing.labelling import Label, LabelDelay
from flyball_local.playing.marks import Marks, mark_report
from flyball_local.playing.outbox import Outbox
from flyball_proto import subjects
from flyball_proto.spec import Pipeline, Source

PROGRESS_S: Final = 2.0


class Player:
    """Publishes rows through one connection of role `adapter`.

    For a `pipeline` of kind feedback also the truth about each row, `label_delay_rows` rows of its
    element behind it; what is still held back at the end comes behind the last row. With a `total`
    of rows, progress says how long the rest will take.
    """

    def __init__(
        self,
        client: Client,
        source: Source,
        partitions: int,
        say: Say,
        *,
        pipeline: Pipeline | None = None,
        label_delay_rows: int = 0,
        total: int | None = None,
    ) -> None:
        self._client, self._source, self.partitions = client, source, partitions
        self._say, self._run = say, new_id()[:12]
        wanted = pipeline is not None and pipeline.spec.target.kind == "feedback"
        self._labels_of = pipeline.name if pipeline is not None and wanted else None
        self._delay = LabelDelay(label_delay_rows)
        self._began_s = self._said_s = time.monotonic()
        self._rows, self._total = 0, total

    async def in_lockstep(
        self, stretches: Iterator[list[CsvRow]], marks: Marks, ahead: int = 1
    ) -> str | None:
        """Stretch by stretch, with at most `ahead` of them published and not settled meanwhile.

        A mark comes before the first row, one behind each stretch, and a last one that says so.
        A stretch is asked for when the one `ahead` + 1 before it is settled.
        Returns the last mark once it is settled; None when there were no rows.
        """
        unsettled: deque[str] = deque()
        number = newest_ms = 0
        async with Outbox(self._client, self._run, ordered=True) as outbox:
            for stretch in stretches:
                if not number:
                    unsettled.append(await self._mark(outbox, 0, _before(stretch)))
                for row in stretch:
                    await self._put(outbox, row)
                number += 1
                newest_ms = max(newest_ms, _newest_ms(stretch))
                unsettled.append(await self._mark(outbox, number, newest_ms))
                await outbox.drain()
                while len(unsettled) > ahead:
                    await marks.wait(unsettled.popleft())
                self._progress(len(stretch), newest_ms)
            if not number:
                return None
            await self._put_labels(outbox, self._delay.rest())
            unsettled.append(await self._mark(outbox, number + 1, newest_ms, last=True))
            await outbox.drain()
            while unsettled:
                await marks.wait(unsettled.popleft())
        return self._mark_id(number + 1)

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
                await self._put(outbox, row)
                self._progress(1, row.time_ms or 0)
            await self._put_labels(outbox, self._delay.rest())
            await outbox.drain()

    async def _put(self, outbox: Outbox, row: CsvRow) -> None:
        """Send a row, and behind it the label that is due then."""
        await outbox.put(subjects.metrics(self._source.name, row.element), row.report)
        if (label := self._delay.behind(row)) is not None:
            await self._put_labels(outbox, [label])

    async def _put_labels(self, outbox: Outbox, labels: Iterable[Label]) -> None:
        if self._labels_of is not None:
            for label in labels:
                await outbox.put(subjects.labels(self._labels_of, label.element), label.data)

    def _mark_id(self, number: int) -> str:
        return f"{self._run}-{number}"

    async def _mark(self, outbox: Outbox, number: int, time_ms: int, *, last: bool = False) -> str:
        mark = self._mark_id(number)
        for partition in range(self.partitions):
            await outbox.put(
                subjects.stored_metrics(self._source.name, partition, subjects.MARK),
                mark_report(mark, time_ms, last=last),
            )
        return mark

    def _progress(self, rows: int, time_ms: int) -> None:
        self._rows += rows
        now_s = time.monotonic()
        if now_s - self._said_s >= PROGRESS_S:
            self._said_s = now_s
            self._say(progress_line(self._rows, self._total, now_s - self._began_s, time_ms))


def progress_line(rows: int, total: int | None, took_s: float, time_ms: int) -> str:
    """How far a replay is: rows, event time, rate and, when the total is known, what is left."""
    at = datetime.fromtimestamp(time_ms / 1000, UTC)
    rate = rows / max(took_s, 1e-9)
    behind = f"up to {at:%Y-%m-%dT%H:%M:%S}Z, {rate:.0f} rows/s"
    if not total or rows > total:
        return f"{rows} rows, {behind}"
    left_s = (total - rows) / max(rate, 1e-9)
    left = f"{left_s:.0f} s" if left_s < 120 else f"{left_s / 60:.0f} min"
    return f"{rows} of {total} rows ({rows / total:.0%}), {behind}, about {left} left"


def stretches(
    rows: Iterator[CsvRow], least: int, block_ms: int | None = None
) -> Iterator[list[CsvRow]]:
    """Cut rows where event time moves on, behind `least` rows or more. Depends on the rows alone.

    With `block_ms` only where event time moves on into another block (`time_ms // block_ms`), so
    that a stretch has whole blocks.
    """
    stretch: list[CsvRow] = []
    newest_ms = -1
    for row in rows:
        moves = row.time_ms is not None and row.time_ms > newest_ms
        if moves and block_ms is not None and row.time_ms is not None:
            moves = row.time_ms // block_ms > newest_ms // block_ms
        if moves and len(stretch) >= least:
            yield stretch
            stretch = []
        if row.time_ms is not None:
            newest_ms = max(newest_ms, row.time_ms)
        stretch.append(row)
    if stretch:
        yield stretch


def _newest_ms(stretch: list[CsvRow]) -> int:
    return max((row.time_ms for row in stretch if row.time_ms is not None), default=0)


def _before(stretch: list[CsvRow]) -> int:
    """An event time before all rows of the first stretch."""
    oldest_ms = min((row.time_ms for row in stretch if row.time_ms is not None), default=0)
    return max(0, oldest_ms - 1)
