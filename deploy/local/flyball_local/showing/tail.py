"""Follows stored messages as they arrive; `describing` says what they mean.

`flyball tail`, `flyball publish` and replay's marks read through `follow`.
"""

import asyncio
import json
from collections.abc import AsyncGenerator, Iterable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import APIError

from flyball_kit.clock import new_id
from flyball_local.invalid import InvalidInputError
from flyball_proto.streams import STREAMS, Stream

REQUEST: Final = {"batch": 256, "expires": 5_000_000_000, "idle_heartbeat": 1_000_000_000}
SILENCE_S: Final = 2.5
CONSUMER_EXPIRES_S: Final = 30.0
RETRY_S: Final = 0.1
_REQUEST_ENDED: Final = frozenset({"Batch Completed", "Message Size Exceeds MaxBytes"})


@dataclass(frozen=True, slots=True)
class Followed:
    """A stored message with its place in the stream."""

    sequence: int
    subject: str
    headers: dict[str, str]
    data: bytes


class _BrokenError(Exception):
    """The consumer is gone or something between was lost; make a new one."""


async def follow(
    client: Client, stream: str, subject: str, after: int
) -> AsyncGenerator[Followed, None]:
    """Messages on `subject` behind sequence `after`, in order and for ever, over broker restarts."""
    while True:
        inbox = client.new_inbox()
        subscription = await client.subscribe(inbox)
        try:
            consumer = await _make_consumer(client, stream, subject, after)
            delivered, left = 0, 0
            while True:
                if not left:
                    left = await _ask(client, stream, consumer, inbox)
                message = await subscription.next_msg(timeout=SILENCE_S)
                if not message.reply:
                    left = _after_status(message, left)
                    continue
                found = _parse(message, delivered + 1)
                delivered, left, after = delivered + 1, left - 1, found.sequence
                yield found
        except (TimeoutError, APIError, nats.errors.NoRespondersError, _BrokenError):
            await asyncio.sleep(RETRY_S)
        finally:
            if not client.is_closed:
                await subscription.unsubscribe()


async def _make_consumer(client: Client, stream: str, subject: str, after: int) -> str:
    name = "tail-" + new_id()[:12]
    config = ConsumerConfig(
        name=name,
        ack_policy=AckPolicy.NONE,
        deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
        opt_start_seq=after + 1,
        filter_subject=subject,
        mem_storage=True,
        num_replicas=1,
        inactive_threshold=CONSUMER_EXPIRES_S,
    )
    await client.jetstream().add_consumer(stream, config)
    return name


async def _ask(client: Client, stream: str, consumer: str, inbox: str) -> int:
    subject = f"$JS.API.CONSUMER.MSG.NEXT.{stream}.{consumer}"
    await client.publish(subject, json.dumps(REQUEST).encode(), reply=inbox)
    return REQUEST["batch"]


def _after_status(message: Msg, left: int) -> int:
    headers = message.headers or {}
    status = headers.get("Status")
    if status == "100":  # heartbeat
        return left
    if status == "408" or (status == "409" and headers.get("Description") in _REQUEST_ENDED):
        return 0
    raise _BrokenError


def _parse(message: Msg, delivery: int) -> Followed:
    """The message, if it is the consumer's `delivery`-th; else something before it was lost."""
    tokens = message.reply.split(".")
    at = 5 if len(tokens) == 9 else 7
    if int(tokens[at + 1]) != delivery:
        raise _BrokenError
    return Followed(int(tokens[at]), message.subject, message.headers or {}, message.data)


async def tail(
    client: Client, patterns: Sequence[str], *, everything: bool = False
) -> AsyncGenerator[Followed, None]:
    """Messages on subjects from now on, or all that are stored; role `operator`.

    Each subject's messages come in their order. `events` stands for every subject of the stream
    EVENTS, and so on.

    Raises:
        InvalidInputError: No readable stream stores a subject.
    """
    wanted = [(stream_of(pattern).name, subject_of(pattern)) for pattern in patterns]
    js = client.jetstream()
    starts = {
        stream: 0 if everything else (await js.stream_info(stream)).state.last_seq
        for stream in {stream for stream, _ in wanted}
    }
    sources = [follow(client, stream, subject, starts[stream]) for stream, subject in wanted]
    async with aclosing(sources[0] if len(sources) == 1 else _merged(sources)) as messages:
        async for message in messages:
            yield message


async def _merged(
    sources: Sequence[AsyncGenerator[Followed, None]],
) -> AsyncGenerator[Followed, None]:
    """Messages of all sources as they come; a source waits while 256 are not taken yet."""
    waiting: asyncio.Queue[Followed] = asyncio.Queue(256)

    async def pump(source: AsyncGenerator[Followed, None]) -> None:
        async with aclosing(source) as messages:
            async for message in messages:
                await waiting.put(message)

    pumps = [asyncio.create_task(pump(source)) for source in sources]
    taken: asyncio.Task[Followed] | None = None
    try:
        while True:
            taken = taken or asyncio.create_task(waiting.get())
            done, _ = await asyncio.wait([taken, *pumps], return_when=asyncio.FIRST_COMPLETED)
            if taken in done:
                message, taken = taken.result(), None
                yield message
            for broken in done.intersection(pumps):
                await broken  # a source ends by an error alone
    finally:
        await _end([*pumps, taken] if taken else pumps)


async def _end(tasks: Iterable[asyncio.Task[Any]]) -> None:
    """Cancel until they end: `wait_for` of Python 3.11 forgets it when a message comes just then."""
    left = set(tasks)
    while left:
        for task in left:
            task.cancel()
        _, left = await asyncio.wait(left, timeout=RETRY_S)


def stream_of(pattern: str) -> Stream:
    """The stream that stores a subject or pattern, or that is named, e.g. `events`.

    Raises:
        InvalidInputError: None does; names the first words that are stored.
    """
    first = pattern.split(".", 1)[0]
    readable = [stream for stream in STREAMS if not stream.raw]
    for stream in readable:
        if pattern == stream.name.lower() or first in _first_words(stream):
            return stream
    named = {stream.name.lower() for stream in readable}
    valid = sorted(named.union(*map(_first_words, readable)))
    raw = "; refused reports: flyball quarantine list SOURCE" if first == "quarantine" else ""
    raise InvalidInputError(
        f"subject {pattern!r}: found no stream that you may read; valid first words: "
        f"{', '.join(valid)}; e.g. flyball tail 'verdicts.>'{raw}"
    )


def subject_of(pattern: str) -> str:
    """What to filter for: everything, if a stream is named."""
    return ">" if pattern == stream_of(pattern).name.lower() else pattern


def _first_words(stream: Stream) -> set[str]:
    return {subject.split(".", 1)[0] for subject in stream.subjects}
