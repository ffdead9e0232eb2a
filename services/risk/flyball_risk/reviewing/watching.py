"""Draws reviews of every applied pipeline, and hears what labels say about the decisions."""

import logging
from collections.abc import Callable
from functools import partial
from typing import Final

from nats.aio.client import Client
from nats.errors import Error as NatsError

from flyball_kit import clock
from flyball_kit.connect import Connect
from flyball_kit.errors import TransientError
from flyball_kit.fold import Dispatcher, Endpoint
from flyball_kit.fold.positions import release
from flyball_kit.health import Health
from flyball_kit.kv import Kv
from flyball_kit.samples import SampleMessage, SampleReader
from flyball_kit.specifications import Fitting, Specifications
from flyball_kit.tasks import Tasks
from flyball_kit.telemetry import FoldTelemetry
from flyball_proto import streams
from flyball_proto.reviews import ReviewSummary
from flyball_proto.spec import Pipeline, Source, digest8, feature_digest
from flyball_risk.reviewing.desk import Desk
from flyball_risk.reviewing.drawing import RECORDS, Drawing
from flyball_risk.reviewing.summing import summary
from flyball_risk.reviewing.truths import reach_of, truths

EVERY_S: Final = 60.0
READER: Final = "reviews"
"""Who reads SAMPLES for it; the calibration reads them by itself."""

log = logging.getLogger("flyball.risk.reviews")


class _Watched:
    """One pipeline: what it says now, and how far its samples were read."""

    def __init__(self, found: Fitting) -> None:
        self.pipeline, self.digest = found.pipeline, feature_digest(found.pipeline, found.source)
        self.reach = reach_of(found.pipeline)
        self.read: dict[int, int] = {}


class Reviewing:
    """Start `spawn`. Nothing waits for it: what it cannot keep up with is not asked about."""

    def __init__(
        self,
        desk: Desk,
        key: str,
        *,
        tasks: Tasks,
        connect: Connect,
        client: Callable[[], Client],
        partitions: int,
    ) -> None:
        self._desk, self._key, self._tasks = desk, key, tasks
        self._connect, self._client, self._partitions = connect, client, partitions
        self._watched: dict[str, _Watched] = {}
        self._drawings: dict[str, Drawing] = {}

    def spawn(self) -> None:
        """Add everything to the service's tasks."""
        found = Specifications(applied=self._apply, gone=self._end, health=Health())
        sources: Kv[Source] = Kv(self._client, streams.PIPELINES, Source)
        pipelines: Kv[Pipeline] = Kv(self._client, streams.PIPELINES, Pipeline)
        self._tasks.spawn("reviewing.records", self._desk.follow)
        self._tasks.spawn("reviewing.sources", lambda: found.follow_sources(sources))
        self._tasks.spawn("reviewing.pipelines", lambda: found.follow_pipelines(pipelines))
        self._tasks.spawn("reviewing.room", self._make_room)

    def summary(self, pipeline: str) -> ReviewSummary | None:
        """What was found of a pipeline; None when it is not applied."""
        watched, drawing = self._watched.get(pipeline), self._drawings.get(pipeline)
        if watched is None or drawing is None:
            return None
        return summary(
            pipeline,
            self._desk.of(pipeline),
            share=watched.pipeline.spec.risk.audit_share,
            seeded_share=self._desk.seeded_share,
            dropped=drawing.dropped,
        )

    async def _apply(self, found: Fitting) -> None:
        """Begin with a pipeline, or go on with it as it is now."""
        name, now = found.pipeline.name, _Watched(found)
        before = self._watched.get(name)
        if before is not None and before.digest == now.digest:
            before.pipeline, before.reach = now.pipeline, now.reach
            return
        if before is not None:
            await self._end_reading(before)
        self._watched[name] = now
        if name not in self._drawings:
            self._draw(name)
        for partition in range(self._partitions):
            self._tasks.add(self._task(now, partition), self._reader(now, partition))

    async def _end(self, name: str) -> None:
        watched = self._watched.pop(name, None)
        if watched is None:
            return
        await self._end_reading(watched)
        await self._tasks.remove(f"{READER}.{name}")
        js = self._client().jetstream()
        await release(js, streams.VERDICTS.name, f"{READER}.{name}")
        del self._drawings[name]
        self._desk.leave(name)

    async def _end_reading(self, watched: _Watched) -> None:
        js, name = self._client().jetstream(), watched.pipeline.name
        for partition in range(self._partitions):
            await self._tasks.remove(self._task(watched, partition))
            reader = f"{READER}.{name}.{digest8(watched.digest)}.{partition}"
            await release(js, streams.SAMPLES.name, reader)

    def _draw(self, name: str) -> None:
        def share() -> float:
            return self._watched[name].pipeline.spec.risk.audit_share

        drawing = Drawing(self._key, share, self._desk.pooled, lambda: self._desk.is_full)
        self._drawings[name] = drawing
        dispatcher = Dispatcher(
            f"{READER}.{name}",
            connect=self._connect,
            source=Endpoint(streams.VERDICTS.name, f"verdicts.{name}.*"),
            target=RECORDS,
            route=drawing.route,
            observer=FoldTelemetry(f"{READER}.{name}"),
        )
        self._tasks.add(f"{READER}.{name}", dispatcher)

    def _reader(self, watched: _Watched, partition: int) -> SampleReader:
        async def from_the_first() -> int | None:
            return None

        return SampleReader(
            READER,
            connect=self._connect,
            pipeline=watched.pipeline.name,
            feature_digest=watched.digest,
            partition=partition,
            behind=from_the_first,
            take=partial(self._take, watched),
            needed=lambda: watched.read.get(partition, 0) + 1,
        )

    async def _take(self, watched: _Watched, message: SampleMessage) -> None:
        if message.samples is not None:
            for decision, truth in truths(message.samples, watched.reach):
                await self._told(watched.pipeline.name, decision, truth)
        watched.read[message.partition] = message.sequence

    async def _told(self, name: str, decision: str, truth: str) -> None:
        """A truth that cannot be recorded now is lost: it is one of many."""
        try:
            await self._desk.told(name, decision, "right" if truth == "right" else "wrong")
        except TransientError as error:
            log.info("%s: a label is not noted: %s", name, error)

    async def _make_room(self) -> None:
        """Once a minute, for ever; while the broker does not answer, room is made later."""
        while True:
            await clock.sleep(EVERY_S)
            for name in tuple(self._watched):
                try:
                    await self._desk.trim(name)
                except (TransientError, NatsError, OSError) as error:
                    log.info("%s: reviews are trimmed later: %s", name, error)

    @staticmethod
    def _task(watched: _Watched, partition: int) -> str:
        return f"{READER}.{watched.pipeline.name}.{digest8(watched.digest)}.{partition}"
