"""Reads stored messages by batched direct gets: no consumer, nothing to lose when a broker dies."""

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

import nats.errors
from nats.aio.client import Client
from nats.js.errors import ServiceUnavailableError

BATCH: Final = 1_000
BATCH_BYTES: Final = 8 << 20
TIMEOUT_S: Final = 5.0
RETRY_S: Final = 0.1
_ENDS: Final = ("204", "404")
"""End of the batch, and no such message any more."""
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)
_MICROSECOND: Final = timedelta(microseconds=1)


@dataclass(frozen=True, slots=True)
class Stored:
    """One message as a stream keeps it; `time_ns` is the server's, exact to a microsecond."""

    sequence: int
    time_ns: int
    subject: str
    headers: Mapping[str, str]
    data: bytes


async def read(client: Client, stream: str, subject: str, after: int) -> list[Stored]:
    """The next messages on `subject` behind sequence `after`, oldest first; empty at the end.

    At most 1 000 and about 8 MiB. While the server is away this waits and asks again.
    """
    while True:
        try:
            return await _ask(client, stream, subject, after)
        except (TimeoutError, nats.errors.NoRespondersError):
            await asyncio.sleep(RETRY_S)


async def first_sequence(client: Client, stream: str) -> int:
    """The oldest sequence that a stream still holds; waits while the server is away."""
    while True:
        try:
            return (await client.jetstream().stream_info(stream)).state.first_seq
        except (TimeoutError, nats.errors.NoRespondersError, ServiceUnavailableError):
            await asyncio.sleep(RETRY_S)


async def _ask(client: Client, stream: str, subject: str, after: int) -> list[Stored]:
    inbox = client.new_inbox()
    subscription = await client.subscribe(inbox)
    try:
        request = {"seq": after + 1, "next_by_subj": subject, "batch": BATCH}
        request["max_bytes"] = BATCH_BYTES
        body = json.dumps(request).encode()
        await client.publish(f"$JS.API.DIRECT.GET.{stream}", body, reply=inbox)
        found: list[Stored] = []
        while True:
            message = await subscription.next_msg(timeout=TIMEOUT_S)
            headers = message.headers or {}
            if (status := headers.get("Status")) in _ENDS:
                return found
            if status == "503":
                raise nats.errors.NoRespondersError
            if status:
                raise nats.errors.Error(
                    f"{stream} {subject}: {status} {headers.get('Description')}"
                )
            found.append(
                Stored(
                    int(headers["Nats-Sequence"]),
                    _time_ns(headers["Nats-Time-Stamp"]),
                    headers["Nats-Subject"],
                    headers,
                    message.data,
                )
            )
    finally:
        await subscription.unsubscribe()


def _time_ns(text: str) -> int:
    return (datetime.fromisoformat(text) - _EPOCH) // _MICROSECOND * 1_000
