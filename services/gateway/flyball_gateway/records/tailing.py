"""Stored messages as they come, in order; the broker may go away and come back meanwhile.

Only so much is read at a time, so a reader that cannot keep up waits instead of growing. One that
must not fall behind says how far it may (`at_most_behind`); then what lies between is left out, and
it is told so.
"""

from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.errors import TimeoutError as NatsTimeoutError
from nats.js.api import AckPolicy, ConsumerConfig, DeliverPolicy
from nats.js.client import JetStreamContext

from flyball_kit import clock
from flyball_proto.streams import Stream

BATCH: Final = 64
IDLE_S: Final = 2.0
RETRY_S: Final = 0.5
EXPIRES_S: Final = 30.0


@dataclass(frozen=True, slots=True)
class Tailed:
    """Messages that came together; `left_out`: some before them were not read."""

    messages: tuple[Msg, ...]
    left_out: bool


class _BrokenError(Exception):
    """Something may be missing; begin again behind what was read."""


class Tail:
    """Reads some subjects of a stream, from `back` messages before its end, for ever."""

    def __init__(
        self,
        client: Callable[[], Client],
        stream: Stream,
        subjects: Sequence[str],
        *,
        back: int = 0,
        at_most_behind: int | None = None,
    ) -> None:
        self._client, self._stream, self._subjects = client, stream.name, list(subjects)
        self._back, self._at_most_behind = back, at_most_behind
        self._next: int | None = None

    async def batches(self) -> AsyncGenerator[Tailed, None]:
        """What comes, as it comes."""
        left_out = False
        while True:
            try:
                subscription = await self._subscribe()
            except (NatsError, OSError):
                await clock.sleep(RETRY_S)
                continue
            try:
                expected = 1
                while True:
                    messages = await _fetch(subscription)
                    if messages:
                        expected = self._after(messages, expected)
                        yield Tailed(tuple(messages), left_out)
                        left_out = self._skips(messages[-1])
                        if left_out:
                            break
            except (NatsError, OSError, _BrokenError):
                await clock.sleep(RETRY_S)
            finally:
                with suppress(NatsError, OSError):
                    await subscription.unsubscribe()

    def _after(self, messages: Sequence[Msg], expected: int) -> int:
        for message in messages:
            place = message.metadata.sequence
            if place.consumer != expected:
                raise _BrokenError
            expected, self._next = expected + 1, place.stream + 1
        return expected

    def _skips(self, last: Msg) -> bool:
        """Whether so much waits that it is left out; the next read begins at the end."""
        if self._at_most_behind is None or last.metadata.num_pending <= self._at_most_behind:
            return False
        self._next = None
        return True

    async def _subscribe(self) -> JetStreamContext.PullSubscription:
        client = self._client()
        js = client.jetstream()
        if self._next is None:
            last = (await js.stream_info(self._stream)).state.last_seq
            self._next = max(1, last + 1 - self._back)
        config = ConsumerConfig(
            name=f"watch-{clock.new_id()[:12]}",
            deliver_policy=DeliverPolicy.BY_START_SEQUENCE,
            opt_start_seq=self._next,
            filter_subjects=self._subjects,
            ack_policy=AckPolicy.NONE,
            inactive_threshold=EXPIRES_S,
            mem_storage=True,
            num_replicas=1,
        )
        await js.add_consumer(self._stream, config)
        return await js.pull_subscribe_bind(
            consumer=config.name,
            stream=self._stream,
            inbox_prefix=f"{client.new_inbox()}.".encode(),
        )


async def _fetch(subscription: JetStreamContext.PullSubscription) -> list[Msg]:
    """The next messages; none when it is quiet and the consumer is still there."""
    try:
        return await subscription.fetch(BATCH, timeout=IDLE_S)
    except NatsTimeoutError:
        await subscription.consumer_info()
        return []
