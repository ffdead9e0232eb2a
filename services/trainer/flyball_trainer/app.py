"""Wiring of the trainer: applied pipelines in, bundles out."""

from faststream import FastStream

from flyball_kit import connect
from flyball_kit.announce import Announcer
from flyball_kit.connect import client_of, follow
from flyball_kit.kv import Kv
from flyball_kit.objects import Objects
from flyball_kit.service import assemble
from flyball_kit.settings import load
from flyball_kit.settle import Retry
from flyball_kit.tasks import Tasks
from flyball_proto import streams
from flyball_proto.events import ModelTrained, PipelineApplied
from flyball_proto.spec import Pipeline, Source
from flyball_trainer.settings import Settings
from flyball_trainer.store import Specs
from flyball_trainer.training import Baselines

SERVICE = "trainer"
PATIENT = Retry(deliveries=3_000)
"""S3 may be away for a day before an event becomes a dead letter."""


def build(settings: Settings | None = None) -> FastStream:
    """The service, not started; connects to nothing yet."""
    settings = settings or load(Settings)
    broker = connect.broker(settings, SERVICE, PATIENT)
    tasks = Tasks(SERVICE)
    pipelines: Kv[Pipeline] = Kv(lambda: client_of(broker), streams.PIPELINES, Pipeline)
    sources: Kv[Source] = Kv(lambda: client_of(broker), streams.PIPELINES, Source)
    baselines = Baselines(
        Specs(pipelines, sources), Objects(settings), Announcer(broker, ModelTrained)
    )

    @broker.subscriber(  # type: ignore[untyped-decorator] # `follow` gives Any
        PipelineApplied.pattern(),
        **follow(SERVICE, streams.EVENTS, "trainer-applied", in_order=False),
    )
    async def on_applied(event: PipelineApplied) -> None:
        """Give the pipeline its baseline."""
        await baselines.deliver(event.pipeline)

    tasks.spawn("sweep", lambda: baselines.sweep_for_ever(settings.sweep_s))
    return assemble(
        SERVICE,
        settings,
        broker,
        tasks=tasks,
        description="Fits models and publishes them as bundles.",
    )
