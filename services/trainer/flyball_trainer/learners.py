"""Follows the records of sources and pipelines, and keeps a learner and its readers for each."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from typing import Final

from nats.aio.client import Client

from flyball_kit.connect import Connect
from flyball_kit.fold.positions import release
from flyball_kit.health import Health
from flyball_kit.kv import Kv
from flyball_kit.samples import SampleReader
from flyball_kit.tasks import Tasks
from flyball_proto import streams
from flyball_proto.spec import Pipeline, Source, crosscheck, digest8
from flyball_trainer.contract import Contract, contract
from flyball_trainer.learner import Learner

log = logging.getLogger("flyball.trainer.learners")

SERVICE: Final = "trainer"
SOURCE: Final = "source."
PIPELINE: Final = "pipeline."
"""Keys in the bucket `pipelines`."""


class Learners:
    """All pipelines of this process; one reader a partition and one task for live trainings each."""

    def __init__(
        self,
        partitions: int,
        *,
        learner: Callable[[Contract], Learner],
        connect: Connect,
        client: Callable[[], Client],
        tasks: Tasks,
        health: Health,
    ) -> None:
        self._partitions, self._make, self._connect = partitions, learner, connect
        self._client, self._tasks = client, tasks
        self._sources: dict[str, Source] = {}
        self._pipelines: dict[str, Pipeline] = {}
        self._learners: dict[str, Learner] = {}
        self._unread = {"sources", "pipelines"}
        self._changing = asyncio.Lock()  # readers end while others are about to begin
        health.add("records", self._check_records)

    async def follow_sources(self, sources: Kv[Source]) -> None:
        """Take over sources, for ever. A deleted source changes nothing: pipelines go first."""
        changes = sources.watch(SOURCE, synced=lambda: self._unread.discard("sources"))
        async with aclosing(changes):
            async for change in changes:
                if change.value is None:
                    continue
                self._sources[change.value.name] = change.value
                for pipeline in list(self._pipelines.values()):
                    if pipeline.spec.source == change.value.name:
                        await self._apply(pipeline.name)

    async def follow_pipelines(self, pipelines: Kv[Pipeline]) -> None:
        """Take over pipelines, for ever."""
        changes = pipelines.watch(PIPELINE, synced=lambda: self._unread.discard("pipelines"))
        async with aclosing(changes):
            async for change in changes:
                name = change.key.removeprefix(PIPELINE)
                if change.value is None:
                    self._pipelines.pop(name, None)
                    async with self._changing:
                        await self._end(name)
                else:
                    self._pipelines[name] = change.value
                    await self._apply(name)

    async def drifted(self, pipeline: str) -> None:
        """Drift was noticed in a pipeline; of one that is unknown here nothing needs to be done."""
        if pipeline in self._learners:
            await self._learners[pipeline].look_for_drift()

    async def _apply(self, name: str) -> None:
        """Start learning, revise it, or begin anew when the features changed."""
        async with self._changing:
            wanted = self._contract(name)
            if wanted is None:
                return
            running = self._learners.get(name)
            if running is not None and running.contract.feature_digest == wanted.feature_digest:
                running.revise(wanted)
                return
            await self._end(name)
            self._start(self._make(wanted))

    def _start(self, learner: Learner) -> None:
        name = learner.contract.pipeline
        self._learners[name] = learner
        for partition in range(self._partitions):
            self._tasks.add(f"samples.{name}.{partition}", self._reader(learner, partition))
        self._tasks.spawn(f"training.{name}", learner.train_for_ever)

    def _reader(self, learner: Learner, partition: int) -> SampleReader:
        return SampleReader(
            SERVICE,
            connect=self._connect,
            pipeline=learner.contract.pipeline,
            feature_digest=learner.contract.feature_digest,
            partition=partition,
            behind=lambda: learner.behind(partition),
            take=learner.take,
            needed=lambda: learner.needed(partition),
        )

    async def _end(self, name: str) -> None:
        learner = self._learners.pop(name, None)
        if learner is None:
            return
        digest = digest8(learner.contract.feature_digest)
        for partition in range(self._partitions):
            await self._tasks.remove(f"samples.{name}.{partition}")
            reader = f"{SERVICE}.{name}.{digest}.{partition}"
            await release(self._client().jetstream(), streams.SAMPLES.name, reader)
        await self._tasks.remove(f"training.{name}")

    def _contract(self, name: str) -> Contract | None:
        """The pipeline's contract; None while its source is unknown or does not fit it."""
        pipeline = self._pipelines.get(name)
        source = self._sources.get(pipeline.spec.source) if pipeline is not None else None
        if pipeline is None or source is None:
            return None
        if mistakes := crosscheck(pipeline, source):
            log.error("%s does not fit %s, what runs stays: %s", name, source.name, mistakes[0])
            return None
        return contract(pipeline, source)

    def _check_records(self) -> str | None:
        waiting = " and ".join(sorted(self._unread))
        return f"reading {waiting} in the bucket `pipelines`" if waiting else None
