"""Follows the records of sources and pipelines, and keeps stages running for each pipeline."""

import logging
from collections.abc import Callable
from typing import Final

from nats.aio.client import Client

from flyball_ingest.contract import Contract, compile_contract
from flyball_ingest.samples_stage import SampleStages
from flyball_ingest.settings import Settings
from flyball_ingest.stages import Folding, Stage, forget_readers, quarantining
from flyball_kit.connect import Connect
from flyball_kit.specifications import Fitting
from flyball_kit.tasks import Tasks

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
    ) -> None:
        self._settings, self._connect, self._client, self._tasks = settings, connect, client, tasks
        self._stages: dict[str, list[Stage]] = {}
        self._samples = SampleStages(settings, connect=connect, client=client, tasks=tasks)

    async def apply(self, found: Fitting) -> None:
        """Start stages, revise them, or replace them when the features changed."""
        contract = compile_contract(
            found.pipeline,
            found.source,
            pipeline_revision=found.pipeline_revision,
            source_revision=found.source_revision,
        )
        await self._run(found.pipeline.name, contract)
        await self._samples.run(found.pipeline, found.source, found.pipeline_revision)

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
            await self.end(name)
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

    async def end(self, name: str) -> None:
        """Stop the stages of a pipeline and let nobody wait for them."""
        await self._samples.end(name)
        for stage in await self._stop(name):
            await forget_readers(self._client(), stage)

    async def _stop(self, name: str) -> list[Stage]:
        stages = self._stages.pop(name, [])
        for stage in stages:
            for part in ("ingest", "quarantine"):
                await self._tasks.remove(f"{part}.{stage.name}")
        return stages
