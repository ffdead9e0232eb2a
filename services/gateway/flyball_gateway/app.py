"""Wiring of the gateway: commands in, records and events out, and HTTP where it is on."""

from faststream import FastStream
from faststream.nats import NatsBroker

from flyball_gateway import serving
from flyball_gateway.commands import Commands
from flyball_gateway.entering import Entering
from flyball_gateway.recording import Recording
from flyball_gateway.settings import Settings
from flyball_gateway.store import Specs
from flyball_gateway.views import Views
from flyball_kit import connect
from flyball_kit.acts import Acts
from flyball_kit.announce import Announcer
from flyball_kit.connect import client_of
from flyball_kit.health import Health
from flyball_kit.kv import Kv
from flyball_kit.service import assemble
from flyball_kit.settings import load
from flyball_kit.tasks import Tasks
from flyball_proto import streams, subjects
from flyball_proto.commands import (
    AccessReply,
    Apply,
    ApplyReply,
    GatewayUrl,
    Invite,
    InviteReply,
    IssueToken,
    ListAccess,
    RevokeAccess,
    RevokeReply,
    StatusReply,
    StatusRequest,
    TokenReply,
    UrlReply,
)
from flyball_proto.deployments import ActiveModel
from flyball_proto.events import PipelineApplied
from flyball_proto.spec import Pipeline, Source

SERVICE = "gateway"


def build(settings: Settings | None = None) -> FastStream:
    """The service, not started; connects to nothing yet."""
    settings = settings or load(Settings)
    broker = connect.broker(settings, SERVICE)
    tasks, health = Tasks(SERVICE), Health()
    pipelines: Kv[Pipeline] = Kv(lambda: client_of(broker), streams.PIPELINES, Pipeline)
    sources: Kv[Source] = Kv(lambda: client_of(broker), streams.PIPELINES, Source)
    pointers: Kv[ActiveModel] = Kv(lambda: client_of(broker), streams.DEPLOYMENTS, ActiveModel)
    specs = Specs(pipelines, sources, pointers)
    views = Views(lambda: client_of(broker))
    commands = Commands(specs, Announcer(broker, PipelineApplied), views)
    recording = Recording(Acts(lambda: client_of(broker), SERVICE))
    people = serving.people_of(broker, settings)
    _hear_of_pipelines(broker, commands, recording)
    _hear_of_people(broker, Entering(people, recording, settings.url))
    tasks.spawn("untold", commands.announce_untold)
    tasks.spawn("open-holds", views.follow_holds)
    tasks.spawn("people", people.follow)
    tasks.spawn("people.sweep", people.sweep)
    health.add("people", people.check)
    if settings.http_port:
        parts = serving.parts_of(
            broker, settings, people=people, commands=commands, specs=specs, recording=recording
        )
        serving.serve(parts, tasks, health)
    return assemble(
        SERVICE,
        settings,
        broker,
        tasks=tasks,
        health=health,
        description="Where people and programs see and steer the loop.",
    )


def _hear_of_pipelines(broker: NatsBroker, commands: Commands, recording: Recording) -> None:
    apply = recording.recorded(commands.apply)

    @broker.subscriber(subjects.command(SERVICE, "apply"), queue=SERVICE)
    async def on_apply(command: Apply) -> ApplyReply:
        """Bring a specification into force."""
        return await apply(command)

    @broker.subscriber(subjects.command(SERVICE, "status"), queue=SERVICE)
    async def on_status(_: StatusRequest) -> StatusReply:
        """Say what is running."""
        return await commands.status()


def _hear_of_people(broker: NatsBroker, entering: Entering) -> None:
    @broker.subscriber(subjects.command(SERVICE, "invite"), queue=SERVICE)
    async def on_invite(command: Invite) -> InviteReply:
        """Make a link that logs one browser in, once."""
        return await entering.invite(command)

    @broker.subscriber(subjects.command(SERVICE, "issue-token"), queue=SERVICE)
    async def on_issue_token(command: IssueToken) -> TokenReply:
        """Make a bearer token."""
        return await entering.issue_token(command)

    @broker.subscriber(subjects.command(SERVICE, "revoke"), queue=SERVICE)
    async def on_revoke(command: RevokeAccess) -> RevokeReply:
        """End all tokens and sessions of a name."""
        return await entering.revoke(command)

    @broker.subscriber(subjects.command(SERVICE, "access"), queue=SERVICE)
    async def on_access(_: ListAccess) -> AccessReply:
        """Say who may come in."""
        return entering.access()

    @broker.subscriber(subjects.command(SERVICE, "url"), queue=SERVICE)
    async def on_url(_: GatewayUrl) -> UrlReply:
        """Say where HTTP is served."""
        return entering.url()
