"""Two inputs read as one: each message of the first with the part of the second behind it.

A stage may need what an earlier stage said besides what the last one made of it. Both streams say
with `COVERS` which METRICS sequences a message stands for, and a message of the first covers whole
messages of its companion. So the first stays the only position, and the second follows it: nothing
is handed out before its companions are read, and each companion is handed out once.

At the very first start the companions of old messages may be gone; such messages are passed over,
with what carries no rows between them. Later a missing companion is an error, never a silence.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from nats.aio.client import Client
from nats.js.errors import APIError
from typing_extensions import override

from flyball_kit.clock import sleep
from flyball_kit.fold.broker import RETRY_S, UNANSWERED, end, epoch_of, jetstream
from flyball_kit.fold.contract import Endpoint, Input
from flyball_kit.fold.errors import InputLost
from flyball_kit.fold.origin import origin
from flyball_kit.fold.position import Position
from flyball_kit.fold.positions import Housekeeping, Registered, find
from flyball_kit.fold.reader import Reader
from flyball_proto.headers import COVERS

log = logging.getLogger(__name__)

REGISTER_S: Final = 2.0
MAX_PLACES: Final = 4096
"""Places remembered of where companions begin; beyond that every other one is forgotten, and a
little more of the companion is kept than is needed."""


class Span(NamedTuple):
    """METRICS sequences that a message covers."""

    first: int
    last: int


def covered(message: Input) -> Span | None:
    """What a message covers by its header; None for claims and ticks, which cover nothing."""
    words = ((message.headers or {}).get(COVERS) or "").split()
    if len(words) != 3 or not (words[1].isdecimal() and words[2].isdecimal()):
        return None
    return Span(int(words[1]), int(words[2])) if words[2] != "0" else None


@dataclass(frozen=True, slots=True)
class Companion:
    """What is read beside an input. `span` says what a message of that input needs, None nothing."""

    endpoint: Endpoint
    span: Callable[[Input], Span | None] = covered


class Places:
    """From which companion on messages still need theirs. Bounded by `MAX_PLACES`."""

    def __init__(self) -> None:
        self._places: deque[tuple[int, int]] = deque()  # sequence, that of its first companion

    def add(self, sequence: int, companion: int) -> None:
        """A message was handed out with its companions, the first of which is `companion`."""
        self._places.append((sequence, companion))
        if len(self._places) > MAX_PLACES:
            self._places = deque(list(self._places)[::2])

    def unneeded(self, needed_from: int) -> int | None:
        """The sequence up to which no companion is needed; None = unknown.

        `needed_from` is the oldest message that may be handed out again.
        """
        while len(self._places) > 1 and self._places[1][0] <= needed_from:
            self._places.popleft()
        return self._places[0][1] - 1 if self._places else None


class PairedReader(Reader):
    """A `Reader` whose messages have their companions in `Input.beside`.

    `needed` gives the oldest sequence that a restart may read again; by it the reader registers
    under `name` what it needs of the companion, from the first message that needs any: who reads
    nothing does not hold the companion's stream. Waits with at most one message, and holds its
    companions beside what `Reader` may queue of each input.

    Raises:
        InputLost: from `pop` too, when companions are gone.
    """

    def __init__(
        self,
        connection: Client,
        source: Endpoint,
        *,
        name: str,
        companion: Companion,
        is_fresh: bool,
        needed: Callable[[], int],
        **reading: Any,
    ) -> None:
        self._head: tuple[Input, Span] | None = None
        self._surely_read = 0
        self._opening: tuple[Position, Reader] | None = None
        self._companion: Reader | None = None
        super().__init__(connection, source, **reading)
        self._reading = reading
        self._name, self._wanted, self._needed = name, companion, needed
        self._is_fresh = is_fresh
        self._ahead: deque[tuple[Span, Input]] = deque()
        self._places = Places()
        self._keeper: asyncio.Task[None] | None = None

    @property  # type: ignore[explicit-override]  # mypy overlooks it on getter and setter
    @override
    def surely_read(self) -> int:
        """As of `Reader`, less the message that waits for its companions."""
        if self._head is None:
            return self._surely_read
        return min(self._surely_read, self._head[0].sequence - 1)

    @surely_read.setter
    @override
    def surely_read(self, sequence: int) -> None:
        self._surely_read = sequence

    @property
    @override
    def is_empty(self) -> bool:
        return self._head is None and super().is_empty

    @property
    @override
    def oldest_ns(self) -> int:
        return super().oldest_ns if self._head is None else self._head[0].time_ns

    @override
    async def ready(self, timeout_s: float) -> None:
        if self._head is None:
            await super().ready(timeout_s)
        elif self._companion is None:
            await self._open_companion()
        else:
            await self._companion.ready(timeout_s)

    @override
    def pop(self) -> Input | None:
        while self._head is not None or self._next_head():
            if self._head is None:  # needs nothing
                return super().pop()
            message, span = self._head
            if not self._gather(span):
                return None
            beside = self._take_beside(span)
            self._head = None
            if not _is_whole(beside, span):
                self._pass_over(message, span, beside)
                continue
            self._is_fresh = False
            self._places.add(message.sequence, beside[0][1].sequence)
            return message._replace(beside=tuple(companion for _, companion in beside))
        return None

    @override
    def wake(self) -> None:
        super().wake()
        if self._companion is not None:
            self._companion.wake()

    @override
    async def ask(self) -> None:
        await super().ask()
        if self._companion is not None:
            await self._companion.ask()

    @override
    async def close(self) -> None:
        await super().close()
        await end(self._keeper)
        if self._companion is not None:
            await self._companion.close()

    def _next_head(self) -> bool:
        """Look at the next message: make it the head if it needs companions. False = none there."""
        while self._queue:
            span = self._wanted.span(self._queue[0])
            if span is not None:
                message = super().pop()
                self._head = (message, span) if message is not None else None
                return True
            if not self._is_fresh:
                return True
            super().pop()  # before the first pair there is no state that it could matter to
        return False

    def _gather(self, span: Span) -> bool:
        """Read companions up to the end of a span; False = not all are here yet."""
        while not self._ahead or self._ahead[-1][0].last < span.last:
            message = self._companion.pop() if self._companion is not None else None
            if message is None:
                return False
            found = covered(message)
            if found is not None and found.last >= span.first:
                self._ahead.append((found, message))
        return True

    def _take_beside(self, span: Span) -> list[tuple[Span, Input]]:
        taken = []
        while self._ahead and self._ahead[0][0].last <= span.last:
            taken.append(self._ahead.popleft())
        return [pair for pair in taken if pair[0].last >= span.first]

    def _pass_over(self, message: Input, span: Span, beside: list[tuple[Span, Input]]) -> None:
        found = f"{beside[0][0].first} to {beside[-1][0].last}" if beside else "nothing"
        what = (
            f"{self._name}: message {message.sequence} of {message.subject} covers {span.first} to "
            f"{span.last}, but {self._wanted.endpoint.subject} has {found} of it"
        )
        if not self._is_fresh:
            raise InputLost(
                f"{what}. Raise the bounds of {self._wanted.endpoint.stream}; to start over, delete "
                "the output subject and forget the registered positions"
            )
        log.info("%s: older than what is kept, passed over", what)

    async def _open_companion(self) -> None:
        """Begin to read the companion, as far back as was registered; `ready` tries it again."""
        endpoint = self._wanted.endpoint
        try:
            if self._opening is None:
                before = await self._companion_position()
                reading = self._reading | {"position": before}
                self._opening = before, Reader(self._connection, endpoint, **reading)
            before, companion = self._opening
            await companion.start()
        except (APIError, *UNANSWERED) as error:
            log.info("%s: waiting for %s: %s", self._name, endpoint.stream, error)
            await sleep(RETRY_S)
            return
        self._companion = companion
        self._keeper = asyncio.create_task(self._registering(before).forever())

    async def _companion_position(self) -> Position:
        endpoint, js = self._wanted.endpoint, jetstream(self._connection)
        epoch = await epoch_of(js, endpoint.stream)
        known = None if self._is_fresh else await find(js, endpoint.stream, self._name)
        if known is not None and known.epoch == epoch:
            before = known.sequence
        else:
            before = await origin(js, endpoint, "first")
        return Position(before + 1, before, 0, 0, epoch)

    def _registering(self, begun: Position) -> Housekeeping:
        endpoint = self._wanted.endpoint

        def position() -> Registered:
            unneeded = self._places.unneeded(self._needed())
            sequence = begun.last if unneeded is None else unneeded
            return Registered(sequence, " ".join(endpoint.needed), begun.epoch)

        return Housekeeping(
            jetstream(self._connection),
            endpoint,
            self._name,
            every_s=REGISTER_S,
            position=position,
            retain={},
        )


def _is_whole(beside: list[tuple[Span, Input]], span: Span) -> bool:
    return bool(beside) and (beside[0][0].first, beside[-1][0].last) == span
