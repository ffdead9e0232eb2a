"""Wiring of the deployer: admitted models in, active pointers out."""

from faststream import FastStream

from flyball_deployer.activating import Activation
from flyball_deployer.settings import Settings
from flyball_deployer.store import Seats
from flyball_kit import connect
from flyball_kit.announce import Announcer
from flyball_kit.connect import client_of, follow
from flyball_kit.kv import Kv
from flyball_kit.service import assemble
from flyball_kit.settings import load
from flyball_kit.tasks import Tasks
from flyball_proto import streams
from flyball_proto.deployments import ActiveModel, DeploymentActivated
from flyball_proto.events import ModelAdmitted, ModelRecord

SERVICE = "deployer"


def build(settings: Settings | None = None) -> FastStream:
    """The service, not started; connects to nothing yet."""
    settings = settings or load(Settings)
    broker = connect.broker(settings, SERVICE)
    tasks = Tasks(SERVICE)
    pointers: Kv[ActiveModel] = Kv(lambda: client_of(broker), streams.DEPLOYMENTS, ActiveModel)
    records: Kv[ModelRecord] = Kv(lambda: client_of(broker), streams.MODELS, ModelRecord)
    seats = Seats(pointers, records)
    activation = Activation(seats, Announcer(broker, DeploymentActivated))

    @broker.subscriber(  # type: ignore[untyped-decorator] # `follow` gives Any
        ModelAdmitted.pattern(), **follow(SERVICE, streams.EVENTS, "deployer-admitted")
    )
    async def on_admitted(event: ModelAdmitted) -> None:
        """Let the model take the seat if it should."""
        await activation.consider(await seats.model(event.pipeline, event.digest))

    tasks.spawn("sweep", lambda: activation.sweep_for_ever(settings.sweep_s))
    return assemble(
        SERVICE,
        settings,
        broker,
        tasks=tasks,
        description="Decides which model is active where.",
    )
