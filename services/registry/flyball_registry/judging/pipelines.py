"""Follows applied specifications, and keeps an evaluation running for each pipeline."""

import logging
from collections.abc import Callable, Mapping
from typing import Final

from nats.aio.client import Client

from flyball_kit.connect import Connect
from flyball_kit.fold.positions import release
from flyball_kit.health import Health
from flyball_kit.samples import SampleReader
from flyball_kit.specifications import Fitting
from flyball_kit.tasks import Tasks
from flyball_proto import streams
from flyball_proto.deployments import ActiveModel
from flyball_proto.events import ModelMeasured, ModelRecord, ModelTripped
from flyball_proto.spec import digest8
from flyball_registry.contract import Contract, contract
from flyball_registry.judging.evaluating import Evaluation
from flyball_registry.judging.placing import Placing
from flyball_registry.judging.surroundings import Surroundings

SERVICE: Final = "registry"
SOURCE: Final = "source."
PIPELINE: Final = "pipeline."

log = logging.getLogger("flyball.registry.pipelines")

Make = Callable[[Contract], tuple[Evaluation, Surroundings]]


class Pipelines:
    """All pipelines of this process; a reader a partition and three more tasks each."""

    def __init__(
        self,
        partitions: int,
        make: Make,
        *,
        placing: Placing,
        connect: Connect,
        client: Callable[[], Client],
        tasks: Tasks,
        health: Health,
    ) -> None:
        self._partitions, self._make, self._placing = partitions, make, placing
        self._connect, self._client = connect, client
        self._tasks, self._health = tasks, health
        self._running: dict[str, Evaluation] = {}

    def position(self, pipeline: str) -> Mapping[str, int]:
        """How far a pipeline's samples were read."""
        running = self._running.get(pipeline)
        return {} if running is None else running.position

    def evaluation(self, pipeline: str) -> Evaluation | None:
        """A pipeline's evaluation; None = it is not applied."""
        return self._running.get(pipeline)

    def admitted(self, model: ModelRecord) -> None:
        """A model may be deployed."""
        if (running := self._running.get(model.pipeline)) is not None:
            running.note(model)

    def measured(self, event: ModelMeasured) -> None:
        """A runtime told latencies."""
        if (running := self._running.get(event.pipeline)) is not None:
            running.measured(event)

    def tripped(self, event: ModelTripped) -> None:
        """A runtime cannot answer with a model."""
        if (running := self._running.get(event.pipeline)) is not None:
            running.tripped(event)

    async def apply(self, found: Fitting) -> None:
        """Begin an evaluation, revise it, or replace it when the features changed."""
        wanted = contract(found.pipeline, found.source)
        running = self._running.get(wanted.pipeline)
        if running and running.contract.feature_digest == wanted.feature_digest:
            running.revise(wanted)
            return
        await self.end(wanted.pipeline)
        self._begin(wanted)

    def _begin(self, wanted: Contract) -> None:
        name = wanted.pipeline
        evaluation, around = self._make(wanted)
        self._running[name] = evaluation
        if wanted.design is None:
            log.warning("%s is not evaluated: %s", name, wanted.why_not)
        self._health.add(f"evaluation.{name}", lambda: around.trouble, "note")
        self._health.add(f"serving.{name}", lambda: evaluation.skewed, "note")

        async def moved(pointer: ActiveModel) -> None:
            for record in await self._placing.place(list(around.records.values()), pointer):
                around.note(record)

        self._tasks.spawn(f"attention.{name}", evaluation.attend)
        self._tasks.spawn(f"standings.{name}", evaluation.showing.keep_for_ever)
        self._tasks.spawn(f"pointer.{name}", lambda: around.follow(moved, evaluation.turned))
        for partition in range(self._partitions):
            self._tasks.add(f"samples.{name}.{partition}", self._reader(evaluation, partition))

    def _reader(self, evaluation: Evaluation, partition: int) -> SampleReader:
        return SampleReader(
            SERVICE,
            connect=self._connect,
            pipeline=evaluation.contract.pipeline,
            feature_digest=evaluation.contract.feature_digest,
            partition=partition,
            behind=lambda: evaluation.behind(partition),
            take=evaluation.take,
            needed=lambda: evaluation.needed(partition),
        )

    async def end(self, name: str) -> None:
        """Stop an evaluation; SAMPLES does not wait for its readers any more."""
        running = self._running.pop(name, None)
        if running is None:
            return
        self._health.drop(f"evaluation.{name}")
        self._health.drop(f"serving.{name}")
        await self._tasks.remove(f"attention.{name}")
        await self._tasks.remove(f"standings.{name}")
        await self._tasks.remove(f"pointer.{name}")
        digest = digest8(running.contract.feature_digest)
        for partition in range(self._partitions):
            await self._tasks.remove(f"samples.{name}.{partition}")
            reader = f"{SERVICE}.{name}.{digest}.{partition}"
            await release(self._client().jetstream(), streams.SAMPLES.name, reader)
