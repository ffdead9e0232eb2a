"""The raw entries of a key-value bucket as they change, complete whatever the broker does.

nats-py's own KV watcher stands on its ordered consumer, which drops messages silently at its
pending limit. Here each session is a pull consumer that begins with the last entry of every key;
it is replaced when its sequence has a gap, when it is gone, or when the broker came back. What the
previous session had shown already is not shown again, and keys that vanished meanwhile are told.
"""

from collections.abc import AsyncGenerator, Callable
from contextlib import aclosing, suppress
from typing import Final, NamedTuple

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.client import JetStreamContext

from flyball_kit import clock

IDLE_S: Final = 2.0
"""A quiet consumer is asked this often whether it still exists; so long a change may be late."""

RETRY_S: Final = 0.2
BATCH: Final = 100
DELETED: Final = frozenset({"DEL", "PURGE"})

PullSubscription = JetStreamContext.PullSubscription


class Entry(NamedTuple):
    """One stored entry; `data` None = the key was deleted, `revision` 0 = and nothing is left."""

    key: str
    data: bytes | None
    revision: int


DELETE_S: Final = 1.0
"""A consumer that is not deleted by then expires by itself."""


class Synced(NamedTuple):
    """Everything that the bucket held when the session began has been shown."""

    keys: frozenset[str]


class _BrokenError(Exception):
    """The session may have missed something; begin another."""


async def session(
    client: Client, bucket: str, pattern: str
) -> AsyncGenerator[Entry | Synced, None]:
    """Entries from one consumer: the last of every key, `Synced`, then every change.

    Raises:
        NatsError: the broker or the consumer is gone.
    """
    subscription = await _subscribe(client, bucket, pattern)
    name = ""
    try:
        found: set[str] = set()
        info = await subscription.consumer_info()
        name = info.name
        pending, expected, synced = info.num_pending or 0, 1, False
        while True:
            if not pending and not synced:
                synced = True
                yield Synced(frozenset(found))
            for message in await _fetch(subscription, pending):
                place = message.metadata
                if place.sequence.consumer != expected:
                    raise _BrokenError
                expected, pending = expected + 1, place.num_pending
                entry = read(
                    bucket, message.subject, message.headers, message.data, place.sequence.stream
                )
                found.add(entry.key)
                yield entry
    finally:
        with suppress(NatsError, OSError):
            await subscription.unsubscribe()
            # Many short reads would use the server's consumers up before they expire.
            if name and client.is_connected:
                await client.jetstream(timeout=DELETE_S).delete_consumer(f"KV_{bucket}", name)


async def changes(
    client: Callable[[], Client], bucket: str, pattern: str
) -> AsyncGenerator[Entry | Synced, None]:
    """Every entry and every change of it, for ever; a key that changed twice may be shown once."""
    shown: dict[str, int] = {}
    while True:
        try:
            async with aclosing(session(client(), bucket, pattern)) as entries:
                async for entry in entries:
                    if isinstance(entry, Synced):
                        for key in [k for k in shown if k not in entry.keys]:
                            del shown[key]
                            yield Entry(key, None, 0)
                        yield entry
                    elif shown.get(entry.key) != entry.revision:
                        shown[entry.key] = entry.revision
                        yield entry
        except (NatsError, OSError, _BrokenError):
            await clock.sleep(RETRY_S)


def read(
    bucket: str, subject: str, headers: dict[str, str] | None, data: bytes | None, revision: int
) -> Entry:
    """One stored message as an entry."""
    deleted = bool(headers) and (headers or {}).get("KV-Operation") in DELETED
    return Entry(subject.removeprefix(f"$KV.{bucket}."), None if deleted else data or b"", revision)


async def _subscribe(client: Client, bucket: str, pattern: str) -> PullSubscription:
    config = ConsumerConfig(
        deliver_policy=DeliverPolicy.LAST_PER_SUBJECT,
        ack_policy=AckPolicy.NONE,
        inactive_threshold=30 * IDLE_S,
        mem_storage=True,
        num_replicas=1,
    )
    return await client.jetstream().pull_subscribe(
        f"$KV.{bucket}.{pattern}",
        stream=f"KV_{bucket}",
        config=config,
        inbox_prefix=f"{client.new_inbox()}.".encode(),
    )


async def _fetch(subscription: PullSubscription, pending: int) -> list[Msg]:
    """The next messages; none when it is quiet and the consumer is still there."""
    try:
        return await subscription.fetch(min(BATCH, max(1, pending)), timeout=IDLE_S)
    except NatsTimeoutError:
        await subscription.consumer_info()
        return []
