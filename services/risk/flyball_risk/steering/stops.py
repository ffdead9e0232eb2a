"""Which pipelines a person has stopped: KV `stops`, the gates of dispatchers, and orders to folds."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from nats.aio.client import Client
from nats.errors import Error as NatsError

from flyball_kit import clock
from flyball_kit.announce import Announcer
from flyball_kit.errors import PermanentError, TransientError
from flyball_kit.fold import Gate
from flyball_kit.kv import Kv, LostRaceError
from flyball_proto import streams, subjects
from flyball_proto.holds import Resumed, Stop, StopOrder, Stopped

log = logging.getLogger("flyball.risk.stops")

RETRY_S: Final = 2.0
TIMEOUT_S: Final = 5.0


class Stops:
    """Closes and opens the gates through which actions pass; start `follow` as a task.

    `synced` is set when every pipeline that was stopped before the start has its gate closed. The
    record comes first, then the orders in band with the decisions and the event; killed in between,
    the rest follows at the next start.
    """

    def __init__(
        self,
        records: Kv[Stop],
        announcer: Announcer,
        client: Callable[[], Client],
        partitions: int,
    ) -> None:
        self._records, self._announcer = records, announcer
        self._client, self._partitions = client, partitions
        self._gates: dict[str, Gate] = {}
        self._found: dict[str, tuple[Stop, int]] = {}
        self._changing = asyncio.Lock()
        self.synced = asyncio.Event()

    def gate(self, pipeline: str) -> Gate:
        """The gate of a pipeline's dispatchers; open unless a person closed it."""
        return self._gates.setdefault(pipeline, Gate())

    async def follow(self) -> None:
        """Take over what is recorded, also by another instance, for ever."""
        async for change in self._records.watch(synced=self.synced.set):
            self.gate(change.key).set(change.revision, is_open=not _is_stopped(change.value))
            if change.value is None:
                self._found.pop(change.key, None)
            elif change.revision > self._found.get(change.key, (None, 0))[1]:
                self._found[change.key] = change.value, change.revision

    async def tell_untold(self) -> None:
        """Once after a start: orders and events that a killed predecessor did not get to."""
        while True:
            try:
                for stop, revision in (await self._records.items()).values():
                    await self._tell(stop, revision, is_new=False)
            except (PermanentError, TransientError) as error:
                log.warning("stops are told later: %s", error)
                await clock.sleep(RETRY_S)
            else:
                return

    async def now(self, pipeline: str) -> Stop | None:
        """The recorded state; None when nobody ever stopped the pipeline."""
        return (await self._records.load(pipeline))[0]

    async def stop(self, pipeline: str, by: str, why: str) -> tuple[Stop, bool]:
        """Let no action of a pipeline begin; returns when none is under way and it is recorded.

        The flag says whether this changed anything. When the record cannot be saved the gate stays
        closed in this process: it is safe, and asking again mends it.
        """
        async with self._changing:
            wanted = _wanted(pipeline, by, why, stopped=True)
            # The gate closes at once; while what is under way ends, the record is on its way.
            _, recorded = await asyncio.gather(self.gate(pipeline).close(), self._record(wanted))
            self.gate(pipeline).set(recorded[1], is_open=False)
            return await self._take_over(*recorded)

    async def resume(self, pipeline: str, by: str, why: str) -> tuple[Stop, bool]:
        """Let what is decided from now on go out; what was decided before never does."""
        async with self._changing:
            recorded = await self._record(_wanted(pipeline, by, why, stopped=False))
            self.gate(pipeline).open(recorded[1])
            return await self._take_over(*recorded)

    async def _take_over(self, state: Stop, revision: int, changed: bool) -> tuple[Stop, bool]:
        """Remember and tell what is recorded now."""
        if revision:
            self._found[state.pipeline] = state, revision
            await self._tell(state, revision, is_new=changed)
        return state, changed

    async def _record(self, wanted: Stop) -> tuple[Stop, int, bool]:
        """The recorded state, its revision, and whether this changed it; mostly one write.

        Under load every answer of the broker waits behind a batch that is judged, so what was heard
        of the record is taken for the newest until the write says that it is not.
        """
        name = wanted.pipeline
        found, revision = self._found.get(name, (None, 0))
        if _is_stopped(found) is not wanted.stopped:
            with suppress(LostRaceError):
                revision = await self._records.save(name, wanted, revision=revision)
                return wanted, revision, True
        found, revision = await self._records.load(name)
        if _is_stopped(found) is wanted.stopped:
            return found or wanted, revision, False
        return wanted, await self._records.save(name, wanted, revision=revision), True

    async def _tell(self, stop: Stop, revision: int, *, is_new: bool) -> None:
        """The order for every partition's fold, which knows it already if it is an old one; the event."""
        order = StopOrder(stop=stop, revision=revision).model_dump_json().encode()
        orders = [
            order_in_band(self._client(), stop.pipeline, partition, order)
            for partition in range(self._partitions)
        ]
        await asyncio.gather(*orders, self._announce(stop, revision, is_new=is_new))

    async def _announce(self, stop: Stop, revision: int, *, is_new: bool) -> None:
        kind = Stopped if stop.stopped else Resumed
        last = None if is_new else await self._announcer.last(kind, stop.pipeline)
        if last is None or last.at < stop.at:
            event = kind(pipeline=stop.pipeline, at=stop.at, by=stop.by, why=stop.why)
            await self._announcer.publish(event, f"stop.{stop.pipeline}.{revision}")


def _wanted(pipeline: str, by: str, why: str, *, stopped: bool) -> Stop:
    return Stop(pipeline=pipeline, stopped=stopped, by=by, why=why, at=clock.utc_now())


def _is_stopped(found: Stop | None) -> bool:
    return found is not None and found.stopped


async def order_in_band(client: Client, pipeline: str, partition: int, data: bytes) -> int:
    """Store a message among a partition's decisions; returns its place there.

    Raises:
        TransientError: the broker did not say that it is stored.
    """
    subject = subjects.answers(pipeline, partition)
    try:
        stored = await client.jetstream().publish(
            subject, data, timeout=TIMEOUT_S, stream=streams.DECISIONS.name
        )
    except (NatsError, OSError) as error:
        raise TransientError(f"{subject} is not stored: {error!r}; ask again") from error
    return stored.seq
