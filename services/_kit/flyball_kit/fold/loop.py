"""What the fold runner and the dispatcher share: two connections, one input, cycles until stopped."""

import asyncio
import logging
from abc import ABC, abstractmethod

from nats.aio.client import Client

from flyball_kit.clock import new_id
from flyball_kit.fold.broker import (
    Connect,
    Stop,
    Stopped,
    closed,
    connected,
    end,
    epoch_of,
    jetstream,
    patient,
)
from flyball_kit.fold.contract import Endpoint, FoldObserver, FoldStats, Unobserved
from flyball_kit.fold.origin import origin
from flyball_kit.fold.positions import Housekeeping, check_reader
from flyball_kit.fold.reader import Reader

log = logging.getLogger(__name__)


class Loop(ABC):
    """Reads one input in order and cycles until `stop`.

    Acknowledgements come in on another connection than data: under load they would queue behind it.
    """

    def __init__(
        self, name: str, *, connect: Connect, source: Endpoint, observer: FoldObserver | None
    ) -> None:
        self.name = check_reader(name)
        self._connect, self._source = connect, source
        self._observer = observer or Unobserved()
        self._owner = new_id()
        self._stats = FoldStats()
        self._stop = Stop()
        self._ended: asyncio.Event | None = None
        self._connections: list[Client] = []
        self._epoch = ""
        self._reader: Reader | None = None
        self._housekeeping: Housekeeping | None = None
        self._keeper: asyncio.Task[None] | None = None

    @property
    def stats(self) -> FoldStats:
        """Counters of this run."""
        if self._reader is not None:
            self._stats.opens = self._reader.opens
            self._stats.lag_messages = self._reader.lag_messages
        return self._stats

    async def run(self) -> None:
        """Run until `stop`, once an instance.

        Raises:
            Fenced: another instance writes our output.
            InputLost: input vanished unread.
            InputChanged: the input is not the stream that the position belongs to.
            OutputLost: the last commit is gone.
        """
        if self._ended is not None:
            raise RuntimeError(f"{self.name} ran already; make a new instance to run again")
        self._ended = asyncio.Event()
        try:
            await self._connect_both()
            await self._recover()
            while not self._stop.asked:
                await self._cycle()
            await self._leave()
        except Stopped:
            log.info("%s: stopped while waiting", self.name)
        finally:
            try:
                await self._close()
            finally:
                self._ended.set()

    async def stop(self) -> None:
        """Finish the commit under way and end `run`; returns when it has ended."""
        self._stop.ask()
        if self._reader is not None:
            self._reader.wake()
        if self._ended is not None:
            await self._ended.wait()

    @abstractmethod
    async def _recover(self) -> None:
        """Find the position, take over the output, and call `_begin`."""

    @abstractmethod
    async def _cycle(self) -> None:
        """Take what has gathered and write what it comes to."""

    async def _leave(self) -> None:
        """Say good-bye; the output is committed."""
        if self._housekeeping is not None:
            await self._housekeeping.once()

    @property
    def _input(self) -> Client:
        return self._connections[0]

    @property
    def _output(self) -> Client:
        return self._connections[1]

    @property
    def reader(self) -> Reader:
        """The input."""
        if self._reader is None:
            raise RuntimeError(f"{self.name} has not recovered yet")
        return self._reader

    async def _connect_both(self) -> None:
        for direction in ("in", "out"):
            connection = await connected(self._connect, f"{self.name}-{direction}", self._stop)
            self._connections.append(connection)
        js, stream = jetstream(self._input), self._source.stream
        self._epoch = await patient(lambda: epoch_of(js, stream), self._stop, f"stream {stream}")

    async def _begin(self, reader: Reader, housekeeping: Housekeeping, *, has_read: bool) -> None:
        """Start reading and registering the position."""
        self._reader, self._housekeeping = reader, housekeeping
        if not has_read:
            # None of our messages marks the position in the stream, so others' purges may have
            # moved the stream's beginning past it; ours begin where `origin` says.
            js = jetstream(self._input)
            before = await patient(
                lambda: origin(js, self._source, "first"), self._stop, self._source.stream
            )
            reader.surely_read = max(reader.surely_read, before)
        await patient(reader.start, self._stop, f"a consumer on {self._source.stream}")
        self._keeper = asyncio.create_task(housekeeping.forever())

    async def _close(self) -> None:
        await end(self._keeper)
        if self._reader is not None:
            await self._reader.close()
        for connection in self._connections:
            await closed(connection)
