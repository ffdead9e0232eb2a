"""Writes a stream's entries to S3, and lets nothing be purged before they are there.

It registers as a reader of VERDICTS, behind which risk purges. Where S3 is away it waits; before
VERDICTS is full, and risk would have to wait, it goes without the oldest entries and says so. While
no gateway runs risk does not wait for it there either, and what is gone is said afterwards.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from datetime import timedelta
from typing import Final

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.api import StreamInfo

from flyball_gateway.archiving.state import (
    AIR,
    FULL,
    SEGMENT_BYTES,
    SEGMENT_ENTRIES,
    Archived,
    by_subject,
    gap,
    gaps,
    is_due,
    last_numbers,
)
from flyball_kit import clock
from flyball_kit.acts import Acts
from flyball_kit.direct import read_behind
from flyball_kit.errors import PermanentError, TransientError
from flyball_kit.fold.positions import Registered, find, forget, register
from flyball_kit.kv import Kv, LostRaceError
from flyball_kit.objects import Objects
from flyball_kit.segments import Entry, name_of, write
from flyball_proto import streams
from flyball_proto.chains import Gap
from flyball_proto.streams import Stream

log = logging.getLogger("flyball.gateway.archive")

ARCHIVED: Final = (streams.AUDIT, streams.VERDICTS)
PREFIX: Final = "archive/"
READER: Final = "archive"
POLL_S: Final = 1.0
SWEEP_S: Final = 3600.0
SWEPT: Final = 1_000
"""Files that are removed at a time because they are older than they are kept."""


class Archive:
    """The archive of one stream; at most about four times `SEGMENT_BYTES` in memory.

    Several gateways may run it: each plan is made once, and carried out alike by all.
    """

    def __init__(
        self,
        stream: Stream,
        client: Callable[[], Client],
        objects: Objects,
        acts: Acts,
        *,
        every_s: float,
        keep_days: int,
    ) -> None:
        self._stream, self._client, self._objects, self._acts = stream, client, objects, acts
        self._every_s, self._keep = every_s, timedelta(days=keep_days)
        self._states: Kv[Archived] = Kv(client, streams.POSITIONS, Archived)
        self._key = f"state.{stream.name}.{READER}"
        self._written_s = clock.monotonic_s()
        self._swept_s = self._written_s - SWEEP_S
        self.problem: str | None = None

    async def forever(self) -> None:
        """Run until cancelled."""
        while True:
            if not await self._tried():
                await clock.sleep(POLL_S)

    def check(self) -> str | None:
        """For `Health`: why the archive does not get on."""
        return self.problem

    async def step(self) -> bool:
        """Write the next files if they are due; whether there may be more at once.

        Raises:
            TransientError: the broker or S3 does not answer.
            PermanentError: something else lies where a file should be.
        """
        state, revision, info = await self._load()
        if not state.planned:
            if not self._is_due(state, info):
                return False
            found = await self._read(state.through, info.state.last_seq, bounded=True)
            self._written_s = clock.monotonic_s()
            planned = found[-1][1].sequence if found else info.state.last_seq
            state = state.model_copy(update={"planned": planned})
            revision = await self._states.save(self._key, state, revision=revision)
        else:
            found = await self._read(state.through, state.planned, bounded=False)
        grouped = by_subject(x for x in found if x[1].sequence <= state.planned)
        await self._tell(gaps(self._stream, state.numbers, grouped))
        for subject, entries in grouped.items():
            await self._store(subject, entries)
        done = state.settled(state.planned, last_numbers(self._stream.name, grouped))
        await self._settle(done, revision)
        return True

    async def give_way(self) -> bool:
        """Go without the oldest entries if the stream is nearly full; whether that was done."""
        state, revision, info = await self._load()
        bound = info.config.max_bytes or 0
        if self._stream.discard != "new" or bound <= 0 or info.state.bytes < FULL * bound:
            return False
        through, size, numbers = state.through, 0, dict[str, int]()
        while size < AIR * bound:
            batch = await read_behind(self._client(), *self._pattern, through)
            if not batch:
                break
            through = batch[-1][1].sequence
            size += sum(len(entry.data) for _, entry in batch)
            numbers |= last_numbers(self._stream.name, by_subject(batch))
        await self._tell(
            [
                gap(self._stream, subject, state.numbers.get(subject, 0), number)
                for subject, number in numbers.items()
            ]
        )
        await self._settle(state.settled(through, numbers), revision)
        return True

    async def sweep(self) -> int:
        """Remove files that are older than they are kept; how many."""
        before = clock.utc_now() - self._keep
        old = await self._objects.expired(f"{PREFIX}{self._stream.name}/", before, SWEPT)
        for key in old:
            await self._objects.remove(key)
        return len(old)

    @property
    def _pattern(self) -> tuple[str, str]:
        return self._stream.name, self._stream.subjects[0]

    async def _tried(self) -> bool:
        try:
            moved = await self.step()
            if clock.monotonic_s() - self._swept_s >= SWEEP_S:
                self._swept_s = clock.monotonic_s()
                await self.sweep()
        except LostRaceError:
            return True  # another gateway was quicker: go on from there
        except (TransientError, PermanentError) as error:
            if self.problem is None:
                log.warning("%s is not archived now: %s", self._stream.name, error)
            self.problem = f"{self._stream.name}: {error}"
            return await self._gave_way()
        self.problem = None
        return moved

    async def _gave_way(self) -> bool:
        try:
            return await self.give_way()
        except TransientError:
            return False

    async def _load(self) -> tuple[Archived, int, StreamInfo]:
        js = self._client().jetstream()
        try:
            info = await js.stream_info(self._stream.name)
        except (NatsError, OSError) as error:
            raise TransientError(f"{self._stream.name}: no answer ({error!r})") from error
        epoch = info.created.isoformat() if info.created else ""
        state, revision = await self._states.load(self._key)
        if state is None or state.epoch != epoch:
            state = Archived(epoch=epoch)
            revision = await self._states.save(self._key, state, revision=revision)
            await self._register(state)
        return state, revision, info

    def _is_due(self, state: Archived, info: StreamInfo) -> bool:
        return is_due(
            messages=info.state.last_seq - max(state.through, info.state.first_seq - 1),
            held_bytes=info.state.bytes,
            held=info.state.messages,
            bound_bytes=info.config.max_bytes or 0,
            waited_s=clock.monotonic_s() - self._written_s,
            every_s=self._every_s,
        )

    async def _read(self, after: int, through: int, *, bounded: bool) -> list[tuple[str, Entry]]:
        """What lies behind `after` up to `through`; bounded to about one file's worth.

        What is planned was bounded when it was planned, and is read to its end.
        """
        found: list[tuple[str, Entry]] = []
        size = 0
        while not bounded or (size < SEGMENT_BYTES and len(found) < SEGMENT_ENTRIES):
            batch = await read_behind(self._client(), *self._pattern, after)
            found += (x for x in batch if x[1].sequence <= through)
            if not batch or batch[-1][1].sequence >= through:
                break
            after = batch[-1][1].sequence
            size += sum(len(entry.data) for _, entry in batch)
        return found

    async def _store(self, subject: str, entries: Sequence[Entry]) -> None:
        name = name_of(self._stream.name, subject, entries)
        lines = await asyncio.to_thread(write, self._stream.name, subject, entries)
        await self._objects.put(PREFIX + name.path(), lines)
        key = PREFIX + name.path("parquet")
        if await self._objects.exists(key):
            return
        try:
            rows = await asyncio.to_thread(_rows, self._stream.name, entries)
        except ValueError as error:  # the JSON lines are the record, rows are for questions
            log.warning("%s has no rows: %s", key, error)
            return
        await self._objects.put(key, rows)

    async def _tell(self, missing: Sequence[Gap]) -> None:
        for one in missing:
            await self._acts.record(
                "give-way",
                f"archive of {one.subject}",
                by=self._acts.service,
                why=self.problem or "it was removed from the stream before it could be archived",
                outcome="failed",
                detail=f"entries {one.first} to {one.last} are in no archive",
                gap=one,
            )

    async def _settle(self, state: Archived, revision: int) -> None:
        await self._states.save(self._key, state, revision=revision)
        await self._register(state)

    async def _register(self, state: Archived) -> None:
        registered = Registered(
            state.through, self._stream.subjects[0], state.epoch, gives_way=True
        )
        try:
            js = self._client().jetstream()
            await register(js, self._stream.name, READER, registered)
        except (NatsError, OSError) as error:
            raise TransientError(f"position of the archive: no answer ({error!r})") from error


def _rows(stream: str, entries: Sequence[Entry]) -> bytes:
    from flyball_gateway.archiving.tables import parquet  # noqa: PLC0415 - Arrow loads slowly

    return parquet(stream, entries)


async def withdraw(client: Callable[[], Client]) -> None:
    """Hold nothing back: the archive is switched off."""
    while True:
        try:
            js = client().jetstream()
            for stream in ARCHIVED:
                if await find(js, stream.name, READER) is not None:
                    await forget(js, stream.name, READER)
        except (NatsError, OSError) as error:
            log.info("the archive is off and still registered: %r", error)
            await clock.sleep(POLL_S)
        else:
            return
