"""In-order reader of one part of a stream: credit-bounded pull, no acknowledgements.

It owns the order: duplicates and gaps cannot pass, a lost consumer is made anew behind the last
message received, and input that vanished unread is an error, never a silence. The client library's
ordered consumer promises the same but rewinds to sequence 1 after a restart on an idle stream and
drops messages at its pending limit, so it is not used.
"""

import asyncio
import json
import logging
from collections import deque
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import ConnectionClosedError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.errors import APIError, NotFoundError

from flyball_kit.clock import monotonic_s, new_id, sleep
from flyball_kit.fold.broker import RETRY_S, UNANSWERED, check_identity, end, jetstream
from flyball_kit.fold.contract import Endpoint, FoldObserver, Input, ReaderOptions, Unobserved
from flyball_kit.fold.credit import Credit
from flyball_kit.fold.errors import InputChanged, InputLost
from flyball_kit.fold.position import Position
from flyball_proto.headers import EXPECT

if TYPE_CHECKING:
    from nats.aio.subscription import Subscription

log = logging.getLogger(__name__)

REQUEST_EXPIRES_S = 30
CONSUMER_EXPIRES_S = 30.0
SILENT_HEARTBEATS = 2.5
HEADROOM_BYTES = 64 << 10
"""Subject, reply and protocol around the largest payload."""
REQUEST_ENDED = frozenset({"Batch Completed", "Message Size Exceeds MaxBytes"})
"""Status 409 with these descriptions ends a request in good order; any other 409 is a loss."""
NS_PER_S = 1_000_000_000


class Reader:
    """Reads `source` from `position.last` + 1 on, for one consumer of `ready` and `pop`.

    Bounds: see `ReaderOptions`. Start it with `start`, and always `close` it.
    """

    def __init__(
        self,
        connection: Client,
        source: Endpoint,
        *,
        position: Position,
        options: ReaderOptions = ReaderOptions(),  # noqa: B008 - frozen
        observer: FoldObserver | None = None,
    ) -> None:
        self._connection, self._source, self._options = connection, source, options
        self._js = jetstream(connection)
        self._observer = observer or Unobserved()
        self._epoch, self._seen, self._time_ns = position.epoch, position.last, position.time_ns
        self.surely_read = position.last
        """Nothing of ours up to this sequence is unread; on a quiet subject ahead of its rows."""
        self.opens = 0
        self._credit = Credit(options.batch, options.max_bytes)
        # A message larger than a request's max_bytes would stop the stream for ever.
        request_bytes = max(options.max_bytes, connection.max_payload + HEADROOM_BYTES)
        self._request = {
            "max_bytes": request_bytes,
            "expires": REQUEST_EXPIRES_S * NS_PER_S,
            "idle_heartbeat": int(options.heartbeat_s * NS_PER_S),
        }
        # The writer of a single subject chains its messages: each names the one before.
        self._chained = len(source.subjects) == 1 and not set(source.subject.split(".")) & {
            "*",
            ">",
        }
        self._queue: deque[Input] = deque()
        self._queue_bytes = 0
        self._some, self._broken = asyncio.Event(), asyncio.Event()
        self._failure: Exception | None = None
        self._generation = self._delivered = 0
        self._pending = "0"
        self._heard_s = 0.0
        self._inbox = self._consumer = ""
        self._subscription: Subscription | None = None
        self._watcher: asyncio.Task[None] | None = None

    @property
    def lag_messages(self) -> int:
        """Stored when the newest message was sent to us, but not yet received."""
        return int(self._pending)

    @property
    def is_empty(self) -> bool:
        """Whether everything received was popped."""
        return not self._queue

    @property
    def oldest_ns(self) -> int:
        """When the broker stored the oldest message that waits here; 0 = none waits."""
        return self._queue[0].time_ns if self._queue else 0

    async def start(self) -> None:
        """Make the consumer. May be called again after it failed."""
        await self._open()
        self._watcher = asyncio.create_task(self._watch())

    async def close(self) -> None:
        """Stop reading; the consumer expires by itself."""
        self._generation += 1
        await end(self._watcher)

    async def ready(self, timeout_s: float) -> None:
        """Wait until `pop` has something, at most `timeout_s`.

        Raises:
            InputLost: input vanished unread; after everything received before was popped.
            InputChanged: the stream is another one now.
        """
        if self._queue:
            return
        if self._failure is not None:
            raise self._failure
        self._some.clear()
        await self.ask()
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._some.wait()

    def pop(self) -> Input | None:
        """The next message, or None."""
        if not self._queue:
            return None
        message = self._queue.popleft()
        self._queue_bytes -= len(message.data)
        return message

    def wake(self) -> None:
        """Let `ready` return now."""
        self._some.set()

    async def ask(self) -> None:
        """Ask for more if the credit allows; call it when the queue was emptied."""
        if self._broken.is_set():
            return
        batch = self._credit.take(len(self._queue), self._queue_bytes)
        if batch:
            subject = f"$JS.API.CONSUMER.MSG.NEXT.{self._source.stream}.{self._consumer}"
            request = json.dumps(self._request | {"batch": batch}).encode()
            with suppress(ConnectionClosedError):  # the watcher reports that
                await self._connection.publish(subject, request, reply=self._inbox)

    async def _open(self) -> None:
        """Make the consumer (again) behind what was received; what is queued stays valid."""
        self._broken.set()
        self._generation += 1
        if self._subscription is not None:
            old, self._subscription = self._subscription, None
            await old.unsubscribe()
        await check_identity(
            self._js,
            self._source.stream,
            epoch=self._epoch,
            sequence=self._seen,
            time_ns=self._time_ns,
        )
        self._inbox, self._consumer = self._connection.new_inbox(), "fold-" + new_id()[:12]
        self._subscription = await self._connection.subscribe(
            self._inbox, cb=partial(self._on_message, self._generation)
        )
        await self._js.add_consumer(self._source.stream, self._consumer_config())
        if self.opens:
            self._observer.reopened()
        self.opens += 1
        self._delivered = 0
        self._credit.reset()
        self._heard_s = monotonic_s()
        self._broken.clear()
        await self.ask()

    def _consumer_config(self) -> ConsumerConfig:
        one = len(self._source.subjects) == 1
        return ConsumerConfig(
            name=self._consumer,
            ack_policy=AckPolicy.NONE,
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=self._seen + 1,
            filter_subject=self._source.subject if one else None,
            filter_subjects=None if one else list(self._source.subjects),
            mem_storage=True,
            num_replicas=1,
            inactive_threshold=CONSUMER_EXPIRES_S,
        )

    async def _on_message(self, generation: int, message: Msg) -> None:
        """The hot path: everything here is paid for every message."""
        if generation != self._generation or self._broken.is_set():
            return
        self._heard_s = monotonic_s()
        if not message.reply:
            await self._on_status(message.headers or {})
            return
        # $JS.ACK[.<domain>.<account>].<stream>.<consumer>.<tries>.<sequence>.<delivered>.<ns>.<lag>
        tokens = message.reply.split(".")
        at = 5 if len(tokens) == 9 else 7
        sequence, delivered = int(tokens[at]), int(tokens[at + 1])
        if delivered != self._delivered + 1:  # lost between the broker and us
            self._broken.set()
            return
        headers = message.headers
        if self._chained and headers and int(headers.get(EXPECT, 0)) > self._seen:
            self._fail(self._lost(self._seen, f"{headers[EXPECT]} precedes {sequence}"))
            return
        self._delivered, self._seen = delivered, sequence
        self._time_ns, self._pending = int(tokens[at + 2]), tokens[at + 3]
        self._credit.received()
        self._queue_bytes += len(message.data)
        if not self._queue:
            self._some.set()
        self._queue.append(Input(sequence, self._time_ns, message.subject, headers, message.data))
        if self._credit.is_low:
            await self.ask()

    async def _on_status(self, headers: dict[str, str]) -> None:
        status, description = headers.get("Status"), headers.get("Description", "")
        if status == "100":  # idle heartbeat
            return
        if status == "408" or (status == "409" and description in REQUEST_ENDED):
            self._credit.returned(int(headers.get("Nats-Pending-Messages", 0)))
            await self.ask()
            return
        log.info("%s: consumer lost: %s %s", self._source.subject, status, description)
        self._broken.set()  # deleted, leadership changed, server shutting down, ...

    def _lost(self, read: int, found: str) -> InputLost:
        return InputLost(
            f"{self._source.stream} {self._source.subject}: read up to {read}, but {found}: "
            "messages between were removed unread. Raise the stream's bounds; to go on without "
            "them, delete the output subject and start over"
        )

    def _fail(self, failure: Exception) -> None:
        self._generation += 1
        self._failure = failure
        self._some.set()

    async def _watch(self) -> None:
        """Replace a broken or silent consumer; compare the stream with what was read."""
        while True:
            with suppress(TimeoutError):
                async with asyncio.timeout(self._options.heartbeat_s):
                    await self._broken.wait()
            try:
                await (self._open() if self._is_dead() else self._check())
            except (InputLost, InputChanged, ConnectionClosedError) as failure:
                self._fail(failure)
                return
            except NotFoundError:  # the consumer, or the stream for now
                self._broken.set()
                await sleep(RETRY_S)
            except (APIError, *UNANSWERED) as error:
                log.info("%s: %s, trying again", self._source.subject, error)
                await sleep(RETRY_S)

    def _is_dead(self) -> bool:
        # Idle heartbeats come only while a request is outstanding.
        silent_s = monotonic_s() - self._heard_s
        limit_s = SILENT_HEARTBEATS * self._options.heartbeat_s
        return self._broken.is_set() or (self._credit.outstanding > 0 and silent_s > limit_s)

    async def _check(self) -> None:
        """Look for input that vanished unread, which the broker tells nobody.

        In a shared stream jumps of the sequence are normal. So: has the stream's beginning passed
        what was surely read at the last look? Conservative (a reader that lags by the whole
        retention is told of a loss), never silent.
        """
        seen, info = self._seen, await self._js.stream_info(self._source.stream)
        if info.state.first_seq > self.surely_read + 1:
            raise self._lost(self.surely_read, f"the stream now begins at {info.state.first_seq}")
        if (
            info.state.last_seq < seen
            or not info.created
            or info.created.isoformat() != self._epoch
        ):
            await check_identity(
                self._js, self._source.stream, epoch=self._epoch, sequence=seen, time_ns=0
            )
        consumer = await self._js.consumer_info(self._source.stream, self._consumer)
        sent = consumer.delivered.consumer_seq if consumer.delivered else 0
        caught_up = consumer.num_pending == 0 and sent == self._delivered
        self.surely_read = max(self.surely_read, info.state.last_seq if caught_up else seen)
