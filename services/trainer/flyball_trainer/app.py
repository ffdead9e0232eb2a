"""Wiring of the trainer: applied pipelines and samples in, bundles out."""

import secrets

from faststream import FastStream

from flyball_kit import connect
from flyball_kit.announce import Announcer
from flyball_kit.connect import client_of, follow
from flyball_kit.health import Health
from flyball_kit.kv import Kv
from flyball_kit.objects import Objects
from flyball_kit.service import assemble
from flyball_kit.settings import load
from flyball_kit.settle import Retry
from flyball_kit.specifications import Specifications
from flyball_kit.tasks import Tasks
from flyball_proto import streams, subjects
from flyball_proto.commands import Reproduce, ReproduceReply
from flyball_proto.events import ModelTrained, PipelineApplied, TrainerSettled, TrainingFailed
from flyball_proto.judgements import Drifted
from flyball_proto.spec import Pipeline, Source
from flyball_trainer.learning.contract import Contract
from flyball_trainer.learning.history import History
from flyball_trainer.learning.learner import Learner
from flyball_trainer.learning.learners import Learners
from flyball_trainer.learning.rounds import Rounds
from flyball_trainer.publishing import Publishing
from flyball_trainer.reproducing.answering import MAX_ASKING, Reproducing
from flyball_trainer.seatzero.delivering import Baselines
from flyball_trainer.settings import Settings
from flyball_trainer.store import Bundles, Specs
from flyball_trainer.workers.pool import Workers

SERVICE = "trainer"
PATIENT = Retry(deliveries=3_000)
"""S3 may be away for a day before an event becomes a dead letter."""


def build(settings: Settings | None = None) -> FastStream:
    """The service, not started; connects to nothing yet."""
    settings = settings or load(Settings)
    broker = connect.broker(settings, SERVICE, PATIENT)
    tasks, health = Tasks(SERVICE), Health()
    pipelines: Kv[Pipeline] = Kv(lambda: client_of(broker), streams.PIPELINES, Pipeline)
    sources: Kv[Source] = Kv(lambda: client_of(broker), streams.PIPELINES, Source)
    announcer = Announcer(broker, ModelTrained, TrainingFailed, TrainerSettled)
    bundles = Bundles(Objects(settings), settings.nats_seed_file, settings.model_signing_key_file)
    baselines = Baselines(Specs(pipelines, sources), bundles, announcer)
    publishing = Publishing(bundles, announcer)
    workers = Workers(
        settings.workers,
        settings.fit_timeout_s,
        lambda: secrets.randbelow(settings.delay_ms_max + 1) / 1000,
        scheduler=settings.dask_scheduler,
    )

    def learner(contract: Contract) -> Learner:
        return Learner(
            contract,
            partitions=settings.partitions,
            retain_bytes=settings.retain_mib * streams.MIB,
            rounds=Rounds(contract.pipeline, workers, publishing),
            publishing=publishing,
            history=History(lambda: client_of(broker)),
            settled=lambda: announcer.last(TrainerSettled, contract.pipeline),
        )

    learners = Learners(
        settings.partitions,
        learner=learner,
        connect=connect.connector(settings, SERVICE),
        client=lambda: client_of(broker),
        tasks=tasks,
    )
    specifications = Specifications(applied=learners.apply, gone=learners.end, health=health)

    @broker.subscriber(  # type: ignore[untyped-decorator] # `follow` gives Any
        PipelineApplied.pattern(),
        **follow(SERVICE, streams.EVENTS, "trainer-applied", in_order=False),
    )
    async def on_applied(event: PipelineApplied) -> None:
        """Give the pipeline its baseline."""
        await baselines.deliver(event.pipeline)

    @broker.subscriber(  # type: ignore[untyped-decorator] # `follow` gives Any
        Drifted.pattern(), **follow(SERVICE, streams.EVENTS, "trainer-drifted", in_order=False)
    )
    async def on_drifted(event: Drifted) -> None:
        """Train again those who want that, if it is not too soon."""
        await learners.drifted(event.pipeline)

    reproducing = Reproducing(bundles, settings.reproduce_timeout_s, settings.dask_scheduler)

    @broker.subscriber(
        subjects.command(SERVICE, "reproduce"), queue=SERVICE, max_workers=MAX_ASKING
    )
    async def on_reproduce(command: Reproduce) -> ReproduceReply:
        """Train a stored model again and compare; nothing is written."""
        return await reproducing.reproduce(command)

    health.add("publishing", publishing.waits_for, "note")
    health.add("model-signing", bundles.unsigned, "note")
    tasks.add("reproducing", reproducing)
    tasks.add("workers", workers)
    tasks.spawn("sweep", lambda: baselines.sweep_for_ever(settings.sweep_s))
    tasks.spawn("sources", lambda: specifications.follow_sources(sources))
    tasks.spawn("pipelines", lambda: specifications.follow_pipelines(pipelines))
    return assemble(
        SERVICE,
        settings,
        broker,
        tasks=tasks,
        health=health,
        description="Fits models and publishes them as bundles.",
    )
