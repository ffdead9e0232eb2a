"""Reads stored messages by batched direct gets: no consumer, nothing to lose when a broker dies."""

import json
from datetime import datetime
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError

from flyball_kit.errors import TransientError
from flyball_kit.segments import Entry

BATCH: Final = 1_000
BATCH_BYTES: Final = 4 << 20
TIMEOUT_S: Final = 5.0
_ENDS: Final = ("204", "404")
"""End of the batch, and no such message any more."""


async def read_behind(
    client: Client, stream: str, pattern: str, after: int
) -> list[tuple[str, Entry]]:
    """The next messages behind a sequence with their subjects, oldest first; empty at the end.

    At most `BATCH`, and about `BATCH_BYTES` but at least one.

    Raises:
        TransientError: the broker does not answer.
    """
    inbox = client.new_inbox()
    found: list[tuple[str, Entry]] = []
    try:
        subscription = await client.subscribe(inbox)
        try:
            request = {"seq": after + 1, "next_by_subj": pattern, "batch": BATCH}
            body = json.dumps({**request, "max_bytes": BATCH_BYTES}).encode()
            await client.publish(f"$JS.API.DIRECT.GET.{stream}", body, reply=inbox)
            while True:
                message = await subscription.next_msg(timeout=TIMEOUT_S)
                status = (message.headers or {}).get("Status")
                if status in _ENDS:
                    return found
                if status:
                    raise TransientError(f"{stream} {pattern}: the broker says {status}")
                found.append(_entry(message))
        finally:
            await subscription.unsubscribe()
    except (NatsError, OSError) as error:
        raise TransientError(f"{stream} cannot be read now ({error!r}); try again") from error


def _entry(message: Msg) -> tuple[str, Entry]:
    headers = message.headers or {}
    at = datetime.fromisoformat(headers["Nats-Time-Stamp"])
    entry = Entry(int(headers["Nats-Sequence"]), at, headers, message.data)
    return headers["Nats-Subject"], entry
