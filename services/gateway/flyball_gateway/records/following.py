"""The newest events in memory, for everybody who follows them at once.

One reader follows EVENTS; those who follow over HTTP read what it keeps, each at its own place, so
a hundred of them cost the broker nothing. Whoever begins further back reads the stream first.
"""

from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from typing import Final

from nats.aio.client import Client

from flyball_gateway.bell import Bell
from flyball_gateway.records.reading import Stored
from flyball_gateway.records.tailing import Tail
from flyball_proto.streams import EVENTS, MIB

KEPT: Final = 2000
KEPT_BYTES: Final = 16 * MIB
"""The oldest are forgotten first; they are in the stream."""

MAX_FOLLOWERS: Final = 100


class Following:
    """What EVENTS got lately, and who follows it."""

    def __init__(self, client: Callable[[], Client], *, kept: int = KEPT) -> None:
        self._tail = Tail(client, EVENTS, EVENTS.subjects, back=kept)
        self._events: deque[Stored] = deque()
        self._kept, self._size = kept, 0
        self._floor: int | None = None
        self.changed = Bell()
        self.followers = 0
        self.is_ended = False

    @property
    def last(self) -> int | None:
        """The newest sequence; None = nothing was read yet."""
        return self._events[-1].sequence if self._events else None

    async def follow(self) -> None:
        """Read events, for ever."""
        async with aclosing(self._tail.batches()) as batches:
            async for batch in batches:
                for message in batch.messages:
                    sequence = message.metadata.sequence.stream
                    self.take(Stored(sequence, message.subject, message.data))
                self.changed.ring()

    def take(self, event: Stored) -> None:
        """Keep the next event."""
        if self._floor is None:
            self._floor = event.sequence - 1
        self._events.append(event)
        self._size += len(event.data)
        while len(self._events) > self._kept or self._size > KEPT_BYTES:
            forgotten = self._events.popleft()
            self._size -= len(forgotten.data)
            self._floor = forgotten.sequence

    def after(self, sequence: int) -> list[Stored] | None:
        """Events behind a sequence; None = further back than what is kept."""
        if self._floor is None or sequence < self._floor:
            return None
        found = []
        for event in reversed(self._events):
            if event.sequence <= sequence:
                break
            found.append(event)
        return found[::-1]

    def end(self) -> None:
        """Let everybody who follows go: the service stops."""
        self.is_ended = True
        self.changed.ring()
