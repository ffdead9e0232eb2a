"""Keeps the newest picture: follows records, events, verdicts and pulses, all of it bounded.

    watch = Watch(lambda: client_of(broker))
    watch.spawn(tasks)
    ...
    await watch.changed.next()
    watch.picture()

The broker may go away at any time: the picture stays as it was and says since when it is stale.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import aclosing
from typing import Final, TypeVar

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from pydantic import ValidationError

from flyball_gateway.bell import Bell
from flyball_gateway.picturing import telling
from flyball_gateway.picturing.gathered import Gathered
from flyball_gateway.picturing.picture import Picture, Stored
from flyball_gateway.records.tailing import Tail
from flyball_kit import clock
from flyball_kit.kv import Kv
from flyball_kit.tasks import Tasks
from flyball_proto import streams, subjects
from flyball_proto.breakers import BreakerRecord
from flyball_proto.columns import BatchError, decode_verdicts
from flyball_proto.deployments import ActiveModel
from flyball_proto.holds import Hold, Stop
from flyball_proto.progress import Pulse, Standings, TrainerProgress
from flyball_proto.reviews import Review
from flyball_proto.runtimes import RuntimeState
from flyball_proto.spec import Pipeline, Source
from flyball_proto.streams import Bucket

log = logging.getLogger("flyball.gateway.watching")

EVERY_S: Final = 1.0
AT_LEAST_S: Final = 0.2
"""Two pictures are never closer together."""
EVENTS_BACK: Final = 5_000
"""Stored events that are looked through at the start."""
VERDICTS_BEHIND: Final = 512
"""Verdict batches that may wait; more are left out, and the counts are said to be sampled."""
WEIGHED: Final = (
    streams.METRICS,
    streams.FEATURES,
    streams.DECISIONS,
    streams.VERDICTS,
    streams.ACTIONS,
)

T = TypeVar("T")


class Watch:
    """The newest picture and what it is made of; `client` gives the connection at each call."""

    def __init__(self, client: Callable[[], Client]) -> None:
        self._client = client
        self.changed = Bell()
        self._gathered = Gathered(clock.monotonic_s())
        self._picture = Picture(clock.utc_now())
        self._moved = asyncio.Event()
        self._stored: tuple[Stored, ...] = ()

    def picture(self) -> Picture:
        """The newest one."""
        return self._picture

    def spawn(self, tasks: Tasks) -> None:
        """Add everything that keeps the picture to a service's tasks."""
        take = self._gathered
        bodies: dict[str, Callable[[], Awaitable[None]]] = {
            "sources": lambda: self._follow(
                streams.PIPELINES, Source, take.source, prefix="source."
            ),
            "pipelines": lambda: self._follow(
                streams.PIPELINES, Pipeline, take.pipeline, prefix="pipeline."
            ),
            "deployments": lambda: self._follow(streams.DEPLOYMENTS, ActiveModel, take.deployment),
            "holds": lambda: self._follow(streams.HOLDS, Hold, take.hold),
            "breakers": lambda: self._follow(streams.BREAKERS, BreakerRecord, take.breaker),
            "reviews": lambda: self._follow(streams.REVIEWS, Review, take.review),
            "stops": lambda: self._follow(streams.STOPS, Stop, take.stop),
            "runtimes": lambda: self._follow(streams.RUNTIMES, RuntimeState, take.runtime),
            "progress": lambda: self._follow(streams.PROGRESS, TrainerProgress, take.progress),
            "standings": lambda: self._follow(streams.STANDINGS, Standings, take.standing),
            "events": self._follow_events,
            "verdicts": self._follow_verdicts,
            "pulses": self._follow_pulses,
            "picture": self._keep,
        }
        for name, body in bodies.items():
            tasks.spawn(f"watch.{name}", body)

    async def _follow(
        self,
        bucket: Bucket,
        kind: type[T],
        take: Callable[[str, T | None], None],
        *,
        prefix: str = "",
    ) -> None:
        kv: Kv[T] = Kv(self._client, bucket, kind)
        async with aclosing(kv.watch(prefix)) as changes:
            async for change in changes:
                take(change.key.removeprefix(prefix), change.value)
                self._moved.set()

    async def _follow_events(self) -> None:
        tail = Tail(self._client, streams.EVENTS, telling.PATTERNS, back=EVENTS_BACK)
        async with aclosing(tail.batches()) as batches:
            async for batch in batches:
                for message in batch.messages:
                    if told := telling.line(message.subject, message.data):
                        self._gathered.line(*told)
                self._moved.set()

    async def _follow_verdicts(self) -> None:
        behind = VERDICTS_BEHIND
        tail = Tail(self._client, streams.VERDICTS, ["verdicts.*.*"], at_most_behind=behind)
        async with aclosing(tail.batches()) as batches:
            async for batch in batches:
                for message in batch.messages:
                    self._count(message, left_out=batch.left_out)
                await clock.sleep(0)  # others come between

    def _count(self, message: Msg, *, left_out: bool) -> None:
        if not message.data:
            return
        try:
            verdicts = decode_verdicts(message.data)
        except BatchError as error:
            log.warning("%s is not counted: %s", message.subject, error)
            return
        self._gathered.verdicts(verdicts, clock.monotonic_s(), left_out=left_out)

    async def _follow_pulses(self) -> None:
        subscription = await self._client().subscribe(subjects.pulse("*"), pending_msgs_limit=256)
        async for message in subscription.messages:
            try:
                pulse = Pulse.model_validate_json(message.data)
            except ValidationError:
                log.warning("%s is no pulse of this version", message.subject)
                continue
            self._gathered.pulses.hear(pulse, clock.monotonic_s())

    async def _keep(self) -> None:
        """Another picture once a second, and soon after a record or an event changed."""
        weighed_s = 0.0
        while True:
            if clock.monotonic_s() - weighed_s >= EVERY_S:
                weighed_s = clock.monotonic_s()
                answered = await self._weigh()
                self._gathered.heard(clock.utc_now(), answered=answered)
            self._moved.clear()
            self._picture = self._gathered.picture(
                clock.utc_now(), clock.monotonic_s(), self._stored
            )
            self.changed.ring()
            await clock.sleep(AT_LEAST_S)
            await self._moved_or_second()

    async def _moved_or_second(self) -> None:
        try:
            async with asyncio.timeout(EVERY_S - AT_LEAST_S):
                await self._moved.wait()
        except TimeoutError:
            return

    async def _weigh(self) -> bool:
        """Ask how full the streams are; False when the broker does not answer."""
        client = self._client()
        if not client.is_connected:
            return False
        js = client.jetstream(timeout=EVERY_S)
        try:
            infos = [await js.stream_info(stream.name) for stream in WEIGHED]
        except (NatsError, OSError):
            return False
        self._gathered.nothing_arrived = infos[0].state.last_seq == 0
        self._stored = tuple(
            Stored(stream.name, info.state.messages, info.state.bytes)
            for stream, info in zip(WEIGHED, infos, strict=True)
        )
        return True
