"""Wiring of the registry: trained models in, records and outcomes out."""

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
from flyball_proto.events import ModelAdmitted, ModelRecord, ModelRefused, ModelTrained
from flyball_proto.spec import Pipeline, Source
from flyball_registry.admitting import Admission
from flyball_registry.settings import Settings
from flyball_registry.store import Specs

SERVICE = "registry"
PATIENT = Retry(deliveries=3_000)
"""S3 may be away for a day before an event becomes a dead letter."""


def build(settings: Settings | None = None) -> FastStream:
    """The service, not started; connects to nothing yet."""
    settings = settings or load(Settings)
    broker = connect.broker(settings, SERVICE, PATIENT)
    tasks = Tasks(SERVICE)
    pipelines: Kv[Pipeline] = Kv(lambda: client_of(broker), streams.PIPELINES, Pipeline)
    sources: Kv[Source] = Kv(lambda: client_of(broker), streams.PIPELINES, Source)
    records: Kv[ModelRecord] = Kv(lambda: client_of(broker), streams.MODELS, ModelRecord)
    admission = Admission(
        Specs(pipelines, sources),
        Objects(settings),
        records,
        Announcer(broker, ModelAdmitted, ModelRefused),
    )

    @broker.subscriber(  # type: ignore[untyped-decorator] # `follow` gives Any
        ModelTrained.pattern(),
        **follow(SERVICE, streams.EVENTS, "registry-trained", in_order=False),
    )
    async def on_trained(event: ModelTrained) -> None:
        """Examine the model and say what became of it."""
        await admission.admit(event)

    tasks.spawn("sweep", lambda: admission.sweep_for_ever(settings.sweep_s))
    return assemble(
        SERVICE,
        settings,
        broker,
        tasks=tasks,
        description="Knows every model, where it comes from and whether it may be deployed.",
    )
