"""Reads stored messages of a stream, bounded in messages, bytes and time.

The newest messages of a subject are found by `flyball_kit.newest`; here they get a bound in bytes.
"""

import asyncio
from collections.abc import AsyncGenerator, AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.client import JetStreamContext

from flyball_kit import clock
from flyball_kit.errors import TransientError
from flyball_kit.newest import newest
from flyball_proto.streams import MIB, Stream

TIMEOUT_S: Final = 5.0
"""A whole read takes at most so long."""

FETCH_S: Final = 1.0
FETCHED: Final = 16
EXPIRES_S: Final = 10.0
MAX_BYTES: Final = 16 * MIB
"""Of one read; what is newest is kept."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One stored message."""

    sequence: int
    subject: str
    data: bytes


@dataclass(frozen=True, slots=True)
class Bounds:
    """The first and the last sequence of a stream; `last` 0 = nothing was ever stored."""

    first: int
    last: int


class Reading:
    """Reads; `client` gives the connection at each call."""

    def __init__(self, client: Callable[[], Client]) -> None:
        self._client = client

    async def bounds(self, stream: Stream) -> Bounds:
        """Where a stream begins and ends.

        Raises:
            TransientError: no answer.
        """
        async with _answered(stream):
            state = (await self._client().jetstream().stream_info(stream.name)).state
            return Bounds(max(1, state.first_seq), state.last_seq)

    async def newest(
        self, stream: Stream, pattern: str, *, limit: int, before: int | None = None
    ) -> list[Stored]:
        """The newest messages of a subject, oldest first; those before a sequence, if given.

        Raises:
            TransientError: no answer in time.
        """
        async with _answered(stream):
            found = await newest(self._client(), stream, [pattern], limit, before=before)
        read = [Stored(x.sequence, x.subject, x.data) for x in reversed(found)]
        return _within(read)

    async def forward(
        self, stream: Stream, pattern: str, start: int, *, limit: int
    ) -> AsyncGenerator[Stored, None]:
        """At most so many messages of a subject from a sequence on; those that are stored now.

        Raises:
            NatsError, TimeoutError: the broker does not answer.
        """
        client = self._client()
        js = client.jetstream()
        async with _consumer(js, stream, pattern, start) as (name, pending):
            left = min(limit, pending)
            subscription = await js.pull_subscribe_bind(
                consumer=name,
                stream=stream.name,
                inbox_prefix=f"{client.new_inbox()}.".encode(),
            )
            try:
                while left > 0 and (messages := await _fetch(subscription, min(left, FETCHED))):
                    for message in messages:
                        yield _stored(message)
                    left = min(left - len(messages), messages[-1].metadata.num_pending)
            finally:
                with suppress(NatsError, OSError):
                    await subscription.unsubscribe()


@asynccontextmanager
async def _answered(stream: Stream) -> AsyncIterator[None]:
    try:
        async with asyncio.timeout(TIMEOUT_S):
            yield
    except (NatsError, OSError) as error:
        raise TransientError(
            f"stream {stream.name} cannot be read now ({error!r}); try again"
        ) from error


@asynccontextmanager
async def _consumer(
    js: JetStreamContext, stream: Stream, pattern: str, start: int
) -> AsyncIterator[tuple[str, int]]:
    """A consumer for one read: its name, and how many messages it finds."""
    name = f"read-{clock.new_id()[:16]}"
    info = await js.add_consumer(
        stream.name,
        ConsumerConfig(
            name=name,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=start,
            filter_subject=pattern,
            ack_policy=AckPolicy.NONE,
            inactive_threshold=EXPIRES_S,
            mem_storage=True,
            num_replicas=1,
        ),
    )
    try:
        yield name, info.num_pending or 0
    finally:
        with suppress(NatsError, OSError):
            await js.delete_consumer(stream.name, name)


async def _fetch(subscription: JetStreamContext.PullSubscription, count: int) -> list[Msg]:
    """The next messages; none when what was found has been purged meanwhile."""
    while True:
        try:
            return await subscription.fetch(count, timeout=FETCH_S)
        except NatsTimeoutError:
            if not (await subscription.consumer_info()).num_pending:
                return []


def _stored(message: Msg) -> Stored:
    return Stored(message.metadata.sequence.stream, message.subject, message.data)


def _within(messages: list[Stored]) -> list[Stored]:
    """The newest that fit in the bound, at least one."""
    size = 0
    for i, message in enumerate(reversed(messages)):
        size += len(message.data)
        if size > MAX_BYTES and i:
            return messages[-i:]
    return messages
