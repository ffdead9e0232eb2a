"""Wiring of the gateway: commands in, records and events out."""

from faststream import FastStream

from flyball_gateway.commands import Commands
from flyball_gateway.settings import Settings
from flyball_gateway.store import Specs
from flyball_kit import connect
from flyball_kit.announce import Announcer
from flyball_kit.connect import client_of
from flyball_kit.kv import Kv
from flyball_kit.service import assemble
from flyball_kit.settings import load
from flyball_kit.tasks import Tasks
from flyball_proto import streams, subjects
from flyball_proto.commands import Apply, ApplyReply, StatusReply, StatusRequest
from flyball_proto.deployments import ActiveModel
from flyball_proto.events import PipelineApplied
from flyball_proto.spec import Pipeline, Source

SERVICE = "gateway"


def build(settings: Settings | None = None) -> FastStream:
    """The service, not started; connects to nothing yet."""
    settings = settings or load(Settings)
    broker = connect.broker(settings, SERVICE)
    tasks = Tasks(SERVICE)
    pipelines: Kv[Pipeline] = Kv(lambda: client_of(broker), streams.PIPELINES, Pipeline)
    sources: Kv[Source] = Kv(lambda: client_of(broker), streams.PIPELINES, Source)
    pointers: Kv[ActiveModel] = Kv(lambda: client_of(broker), streams.DEPLOYMENTS, ActiveModel)
    commands = Commands(Specs(pipelines, sources, pointers), Announcer(broker, PipelineApplied))

    @broker.subscriber(subjects.command(SERVICE, "apply"), queue=SERVICE)
    async def on_apply(command: Apply) -> ApplyReply:
        """Bring a specification into force."""
        return await commands.apply(command)

    @broker.subscriber(subjects.command(SERVICE, "status"), queue=SERVICE)
    async def on_status(_: StatusRequest) -> StatusReply:
        """Say what is running."""
        return await commands.status()

    tasks.spawn("untold", commands.announce_untold)
    return assemble(
        SERVICE,
        settings,
        broker,
        tasks=tasks,
        description="Where people and programs see and steer the loop.",
    )
