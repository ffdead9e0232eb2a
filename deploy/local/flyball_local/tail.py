"""Follows stored messages as they arrive, and says what they mean in one line each.

`flyball tail`, `flyball publish` and replay's marks read through `follow`.
"""

import asyncio
import json
from collections.abc import AsyncGenerator
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

import nats.errors
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import APIError

from flyball_kit.clock import new_id
from flyball_local.invalid import InvalidInputError
from flyball_proto.columns import (
    Features,
    Flow,
    Rows,
    Verdict,
    Verdicts,
    decode_decisions,
    decode_features,
    decode_verdicts,
)
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
    client: Client, pattern: str, *, everything: bool = False
) -> AsyncGenerator[str, None]:
    """Lines about messages on a subject from now on, or all that are stored; role `operator`.

    Raises:
        InvalidInputError: No readable stream stores the subject.
    """
    stream = stream_of(pattern).name
    after = 0
    if not everything:
        after = (await client.jetstream().stream_info(stream)).state.last_seq
    async with aclosing(follow(client, stream, pattern, after)) as messages:
        async for message in messages:
            if line := describe(message):
                yield line


def stream_of(pattern: str) -> Stream:
    """The stream that stores a subject or pattern.

    Raises:
        InvalidInputError: None does; names the first tokens that are stored.
    """
    first = pattern.split(".", 1)[0]
    for stream in STREAMS:
        if first in {subject.split(".", 1)[0] for subject in stream.subjects} and not stream.raw:
            return stream
    valid = sorted({s.split(".", 1)[0] for x in STREAMS if not x.raw for s in x.subjects})
    raise InvalidInputError(
        f"subject {pattern!r}: found no stream that you may read; valid first words: "
        f"{', '.join(valid)}; e.g. flyball tail 'verdicts.>'"
    )


def describe(message: Followed) -> str | None:
    """One line for people; None for ticks and for what only moves a position."""
    kind = message.subject.split(".", 1)[0]
    if not message.data:
        return None
    if kind == "features":
        features = decode_features(message.data)
        return _line(message, _features(features), features.rows, features.flow)
    if kind == "decisions":
        decisions = decode_decisions(message.data)
        proposed = int((decisions.action_index > 0).sum())
        words = f"{_rows(decisions.rows)}, {proposed} action(s) proposed"
        return _line(message, words, decisions.rows, decisions.flow)
    if kind == "verdicts":
        verdicts = decode_verdicts(message.data)
        return _line(message, _verdicts(verdicts), verdicts.rows, verdicts.flow)
    return f"{message.subject}  {message.data.decode(errors='replace')}"


def _line(message: Followed, words: str, rows: Rows, flow: Flow) -> str | None:
    """Rows and what travels with them; None for a mere tick."""
    beside = _flow(flow)
    if not len(rows) and not beside:
        return None
    return f"{message.subject}  {words if len(rows) else 'no rows'}{beside}"


def _features(batch: Features) -> str:
    return f"{_rows(batch.rows)} of {batch.feature.shape[1]} features"


def _verdicts(batch: Verdicts) -> str:
    counts = {v.name.lower(): int((batch.verdict == v).sum()) for v in Verdict}
    words = ", ".join(f"{name} {count}" for name, count in counts.items() if count)
    return f"{_rows(batch.rows)}: {words or 'none'}"


def _rows(rows: Rows) -> str:
    if len(rows) == 1:
        return f"row {rows.sequence[0]}.{rows.sample[0]} of {rows.element[rows.element_index[0]]}"
    return f"{len(rows)} rows of {len(rows.element)} element(s)"


def _flow(flow: Flow) -> str:
    words = ""
    if skipped := int(flow.skipped.rows.sum()):
        words += f", {skipped} skipped"
    if flow.mark:
        words += f", mark {flow.mark.id}"
    return words
