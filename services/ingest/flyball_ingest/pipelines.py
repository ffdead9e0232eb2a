"""Follows the records of sources and pipelines, and keeps stages running for each pipeline."""

import asyncio
import logging
from collections.abc import Callable
from contextlib import aclosing
from typing import Final

from nats.aio.client import Client

from flyball_ingest.contract import Contract, compile_contract
from flyball_ingest.samples_stage import SampleStages
from flyball_ingest.settings import Settings
from flyball_ingest.stages import Folding, Stage, forget_readers, quarantining
from flyball_kit.connect import Connect
from flyball_kit.health import Health
from flyball_kit.kv import Kv
from flyball_kit.tasks import Tasks
from flyball_proto.spec import Pipeline, Source, crosscheck

log = logging.getLogger(__name__)

SOURCE: Final = "source."
PIPELINE: Final = "pipeline."
"""Keys in the bucket `pipelines`."""


class Pipelines:
    """All pipelines of this process; a handful of tasks each."""

    def __init__(
        self,
        settings: Settings,
        *,
        connect: Connect,
        client: Callable[[], Client],
        tasks: Tasks,
        health: Health,
    ) -> None:
        self._settings, self._connect, self._client, self._tasks = settings, connect, client, tasks
        self._sources: dict[str, tuple[Source, int]] = {}
        self._pipelines: dict[str, tuple[Pipeline, int]] = {}
        self._stages: dict[str, list[Stage]] = {}
        self._samples = SampleStages(settings, connect=connect, client=client, tasks=tasks)
        self._unread = {"sources", "pipelines"}
        self._changing = asyncio.Lock()  # stages end while others are about to begin
        health.add("records", self._check_records)

    async def follow_sources(self, sources: Kv[Source]) -> None:
        """Take over sources, for ever. A deleted source changes nothing: pipelines go first."""
        changes = sources.watch(SOURCE, synced=lambda: self._unread.discard("sources"))
        async with aclosing(changes):
            async for change in changes:
                if change.value is None:
                    continue
                name = change.value.name
                self._sources[name] = (change.value, change.revision)
                for pipeline, _ in list(self._pipelines.values()):
                    if pipeline.spec.source == name:
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
                    self._pipelines[name] = (change.value, change.revision)
                    await self._apply(name)

    async def _apply(self, name: str) -> None:
        """Start stages, revise them, or replace them when the features changed."""
        async with self._changing:
            contract = self._compiled(name)
            if contract is not None:
                pipeline, revision = self._pipelines[name]
                source, _ = self._sources[contract.source]
                await self._run(name, contract)
                await self._samples.run(pipeline, source, revision)

    async def _run(self, name: str, contract: Contract) -> None:
        running = self._stages.get(name, [])
        if running and running[0].contract.feature_digest == contract.feature_digest:
            reads = [stage.source for stage in running]
            for stage in running:
                stage.revise(contract)
            if [stage.source for stage in running] == reads:
                return
            await self._stop(name)  # to read its labels too, or no more; the positions stay
        else:
            await self._end(name)
        self._stages[name] = [
            Stage(contract, partition, self._settings)
            for partition in range(self._settings.partitions)
        ]
        for stage in self._stages[name]:
            for part in (
                Folding(stage, self._connect),
                quarantining(stage, self._connect, self._client),
            ):
                self._tasks.add(part.name, part)

    async def _end(self, name: str) -> None:
        await self._samples.end(name)
        for stage in await self._stop(name):
            await forget_readers(self._client(), stage)

    async def _stop(self, name: str) -> list[Stage]:
        stages = self._stages.pop(name, [])
        for stage in stages:
            for part in ("ingest", "quarantine"):
                await self._tasks.remove(f"{part}.{stage.name}")
        return stages

    def _compiled(self, name: str) -> Contract | None:
        """The pipeline's contract; None while its source is unknown or does not fit it."""
        if name not in self._pipelines:
            return None
        pipeline, revision = self._pipelines[name]
        if pipeline.spec.source not in self._sources:
            return None
        source, source_revision = self._sources[pipeline.spec.source]
        mistakes = crosscheck(pipeline, source)
        if mistakes:
            log.error("%s does not fit %s, what runs stays: %s", name, source.name, mistakes[0])
            return None
        return compile_contract(
            pipeline, source, pipeline_revision=revision, source_revision=source_revision
        )

    def _check_records(self) -> str | None:
        waiting = " and ".join(sorted(self._unread))
        return f"reading {waiting} in the bucket `pipelines`" if waiting else None
