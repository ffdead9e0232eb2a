"""The newest messages of a stream on some subjects, newest first: what people and pages list.

JetStream reads forwards only. So the place to begin is searched for by the broker's own counts,
about twenty questions for a stream of a million messages, and exactly what was asked for is read.
Its bound is the caller's `limit`; payloads can be left out.
"""

import json
from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from datetime import datetime
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.aio.subscription import Subscription
from nats.errors import Error as NatsError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import NotFoundError

from flyball_kit import clock
from flyball_kit.errors import TransientError
from flyball_proto.streams import Stream

MAX_LIMIT: Final = 10_000
WAIT_S: Final = 2.0
"""A broker that is silent for so long counts as away."""

EXPIRES_S: Final = 10.0
SIZE: Final = "Nats-Msg-Size"
"""The header that tells a payload's size where payloads are left out."""


@dataclass(frozen=True, slots=True)
class Stored:
    """One stored message; `data` is empty where payloads are left out."""

    sequence: int
    subject: str
    headers: Mapping[str, str]
    data: bytes
    at: datetime

    @property
    def size_bytes(self) -> int:
        """Of the payload, also where it is left out."""
        return int(self.headers.get(SIZE, len(self.data)))


async def newest(
    client: Client,
    stream: Stream,
    subjects: Sequence[str],
    limit: int,
    *,
    before: int | None = None,
    payloads: bool = True,
) -> list[Stored]:
    """At most `limit` messages on any of the subjects, newest first.

    `before` pages on: only messages below this stream sequence. The role needs the stream's info
    and consumers. Messages that are purged meanwhile are not among them.

    Raises:
        TransientError: The broker does not answer.
    """
    limit = max(0, min(limit, MAX_LIMIT))
    try:
        start, count = await _begin(client, stream, subjects, limit, before)
        found = await _read(client, stream, subjects, start, count, payloads=payloads)
    except NotFoundError:  # the stream or the consumer is just gone
        return []
    except (NatsError, OSError) as error:
        raise TransientError(
            f"stream {stream.name}: no answer from the broker ({error!r})"
        ) from error
    return [x for x in reversed(found) if before is None or x.sequence < before]


async def kept(client: Client, stream: Stream, subjects: Sequence[str]) -> dict[str, int]:
    """How many messages each subject that matches one of the patterns has.

    The broker names at most 100 000 subjects.

    Raises:
        TransientError: The broker does not answer.
    """
    found: dict[str, int] = {}
    try:
        for pattern in subjects:
            info = await client.jetstream().stream_info(stream.name, subjects_filter=pattern)
            found |= info.state.subjects or {}
    except (NatsError, OSError) as error:
        raise TransientError(
            f"stream {stream.name}: no answer from the broker ({error!r})"
        ) from error
    return found


async def _begin(
    client: Client, stream: Stream, subjects: Sequence[str], limit: int, before: int | None
) -> tuple[int, int]:
    """The largest sequence behind which `limit` messages match, and how many there are to read."""
    state = (await client.jetstream().stream_info(stream.name)).state
    first, end = state.first_seq, min(state.last_seq + 1, before or state.last_seq + 1)
    if not limit or end <= first:
        return 1, 0
    beyond = 0 if before is None else await _count(client, stream, subjects, end)
    total = await _count(client, stream, subjects, first) - beyond
    if total <= limit:
        return first, max(0, total)
    low, high = first, end  # `low` has enough behind it, `high` has not
    while high - low > 1:
        middle = (low + high) // 2
        if await _count(client, stream, subjects, middle) - beyond >= limit:
            low = middle
        else:
            high = middle
    return low, limit


async def _count(client: Client, stream: Stream, subjects: Sequence[str], start: int) -> int:
    async with _consumer(client, stream, subjects, start, payloads=False) as (_, pending):
        return pending


async def _read(
    client: Client,
    stream: Stream,
    subjects: Sequence[str],
    start: int,
    count: int,
    *,
    payloads: bool,
) -> list[Stored]:
    if not count:
        return []
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox)
    try:
        async with _consumer(client, stream, subjects, start, payloads=payloads) as (name, _):
            request = json.dumps({"batch": count, "no_wait": True}).encode()
            await client.publish(
                f"$JS.API.CONSUMER.MSG.NEXT.{stream.name}.{name}", request, reply=inbox
            )
            return [_stored(message) async for message in _messages(subscription, count)]
    finally:
        with suppress(NatsError, OSError):
            await subscription.unsubscribe()


async def _messages(subscription: Subscription, count: int) -> AsyncIterator[Msg]:
    """What the broker sends until it says that there is no more."""
    for _ in range(count):
        message = await subscription.next_msg(timeout=WAIT_S)
        if not message.reply:
            return
        yield message


def _stored(message: Msg) -> Stored:
    place = message.metadata
    return Stored(
        place.sequence.stream,
        message.subject,
        message.headers or {},
        message.data,
        place.timestamp,
    )


@asynccontextmanager
async def _consumer(
    client: Client, stream: Stream, subjects: Sequence[str], start: int, *, payloads: bool
) -> AsyncIterator[tuple[str, int]]:
    """A consumer's name, and how many messages it has to deliver; removed at the end."""
    js, name = client.jetstream(), f"newest-{clock.new_id()[:12]}"
    config = ConsumerConfig(
        name=name,
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=max(1, start),
        ack_policy=AckPolicy.NONE,
        filter_subjects=list(subjects),
        headers_only=not payloads,
        inactive_threshold=EXPIRES_S,
        mem_storage=True,
        num_replicas=1,
    )
    made = await js.add_consumer(stream.name, config)
    try:
        yield name, made.num_pending or 0
    finally:
        with suppress(NatsError, OSError):
            await js.delete_consumer(stream.name, name)
