"""The running parts that make samples: a fold a partition, and a quarantine for refused labels."""

import logging
from collections.abc import Callable
from dataclasses import dataclass, field

from nats.aio.client import Client

from flyball_ingest import refused_labels
from flyball_ingest.holding import HoldingDispatcher
from flyball_ingest.samples import SamplesFold, spans_of
from flyball_ingest.sampling import Sampling, compile_sampling
from flyball_ingest.settings import Settings
from flyball_kit.connect import Connect
from flyball_kit.fold import (
    Companion,
    Endpoint,
    Fold,
    FoldOptions,
    FoldRunner,
)
from flyball_kit.fold.positions import release
from flyball_kit.tasks import Tasks
from flyball_kit.telemetry import FoldTelemetry, traced, traced_route
from flyball_proto import streams, subjects
from flyball_proto.spec import Pipeline, Source, digest8

log = logging.getLogger(__name__)


@dataclass(slots=True)
class SampleStage:
    """One partition of one pipeline. A revision is offered to the last of the `folds`."""

    sampling: Sampling
    partition: int
    settings: Settings
    folds: list[SamplesFold] = field(default_factory=list)

    @property
    def name(self) -> str:
        """`<pipeline>.<digest8>.<partition>`, as of the stage that makes the features."""
        return f"{self.sampling.pipeline}.{self._digest8}.{self.partition}"

    @property
    def source(self) -> Endpoint:
        """Where verdicts come from, also those about other features."""
        subject = subjects.verdicts(self.sampling.pipeline, self.partition)
        return Endpoint(streams.VERDICTS.name, subject)

    @property
    def companion(self) -> Companion:
        """Where the features stand that the verdicts are about."""
        subject = subjects.features(self.sampling.pipeline, self._digest8, self.partition)
        endpoint = Endpoint(streams.FEATURES.name, subject)
        return Companion(endpoint, spans_of(self.sampling.feature_digest))

    @property
    def target(self) -> Endpoint:
        """Where samples go."""
        subject = subjects.samples(self.sampling.pipeline, self._digest8, self.partition)
        return Endpoint(streams.SAMPLES.name, subject)

    @property
    def labels(self) -> Endpoint:
        """Where refused labels are read once more."""
        every = f"labels.{self.sampling.pipeline}"
        part = f"{every}.{self.partition}.>" if self.settings.partitions > 1 else f"{every}.>"
        return Endpoint(streams.METRICS.name, part)

    @property
    def _digest8(self) -> str:
        return digest8(self.sampling.feature_digest)

    def revise(self, sampling: Sampling) -> None:
        """Go on under another revision of the same features."""
        self.sampling = sampling
        for fold in self.folds[-1:]:
            fold.revise(sampling)

    def make_fold(self, memo: str | None) -> Fold:
        """A fold that goes on from this memo."""
        fold = SamplesFold(self.sampling, memo)
        self.folds[:] = [fold]
        return traced("ingest.samples", fold)


class MakingSamples:
    """Runs a stage's fold."""

    def __init__(self, stage: SampleStage, connect_to: Connect) -> None:
        self.name = f"samples.{stage.name}"
        self._memo: str | None = None
        self._runner = FoldRunner(
            self.name,
            connect=connect_to,
            source=stage.source,
            target=stage.target,
            beside=stage.companion,
            fold=lambda: stage.make_fold(self._memo),
            recall=self._recall,
            options=FoldOptions(retain_bytes=stage.settings.retain_mib * streams.MIB),
            observer=FoldTelemetry(self.name),
        )

    async def run(self) -> None:
        """Run until stopped."""
        await self._runner.run()

    async def stop(self) -> None:
        """Commit what is under way and end."""
        await self._runner.stop()

    def _recall(self, memo: str | None) -> None:
        self._memo = memo


def refusing_labels(
    stage: SampleStage, connect_to: Connect, client: Callable[[], Client]
) -> HoldingDispatcher:
    """Dispatches a stage's refused labels."""
    subject = subjects.refused_labels(stage.sampling.pipeline, stage.partition)
    return HoldingDispatcher(
        f"refused-labels.{stage.name}",
        connect_to=connect_to,
        client=client,
        source=stage.target,
        held=stage.labels,
        route=traced_route("ingest.refused-labels", refused_labels.routing(subject)),
        retain_mib=stage.settings.retain_mib,
    )


class SampleStages:
    """The stages of all pipelines of this process, one a partition."""

    def __init__(
        self,
        settings: Settings,
        *,
        connect: Connect,
        client: Callable[[], Client],
        tasks: Tasks,
    ) -> None:
        self._settings, self._connect, self._client, self._tasks = settings, connect, client, tasks
        self._stages: dict[str, list[SampleStage]] = {}

    async def run(self, pipeline: Pipeline, source: Source, revision: int) -> None:
        """Start the stages of a pipeline, or revise them; with other features call `end` before."""
        partitions = self._settings.partitions
        sampling = compile_sampling(pipeline, source, revision=revision, partitions=partitions)
        stages = self._stages.get(pipeline.name, [])
        for stage in stages:
            stage.revise(sampling)
        if not stages:
            stages = [SampleStage(sampling, i, self._settings) for i in range(partitions)]
            self._stages[pipeline.name] = stages
        for stage in stages:
            self._start(MakingSamples(stage, self._connect))
            if sampling.rule.expression is None:
                self._start(refusing_labels(stage, self._connect, self._client))

    async def end(self, pipeline: str) -> None:
        """Stop the stages of a pipeline and let nobody wait for them."""
        for stage in self._stages.pop(pipeline, []):
            for part in ("samples", "refused-labels"):
                await self._tasks.remove(f"{part}.{stage.name}")
            await _forget_readers(self._client(), stage)

    def _start(self, part: MakingSamples | HoldingDispatcher) -> None:
        if part.name not in self._tasks.names:
            self._tasks.add(part.name, part)


async def _forget_readers(client: Client, stage: SampleStage) -> None:
    js = client.jetstream()
    for stream, reader in (
        (stage.source.stream, f"samples.{stage.name}"),
        (stage.companion.endpoint.stream, f"samples.{stage.name}"),
        (stage.target.stream, f"refused-labels.{stage.name}"),
        (stage.labels.stream, f"refused-labels.{stage.name}"),
    ):
        await release(js, stream, reader)
