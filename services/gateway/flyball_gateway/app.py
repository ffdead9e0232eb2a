"""Wiring of the gateway: commands in, records and events out, and HTTP where it is on."""

from faststream import FastStream
from faststream.nats import NatsBroker

from flyball_gateway import archiving, serving
from flyball_gateway.api.parts import Parts
from flyball_gateway.identity.entering import Entering
from flyball_gateway.settings import Settings
from flyball_kit import connect
from flyball_kit.health import Health
from flyball_kit.service import assemble
from flyball_kit.settings import load
from flyball_kit.tasks import Tasks
from flyball_proto import subjects
from flyball_proto.autonomy import AcceptAutonomy, AutonomyReply
from flyball_proto.commands import (
    AccessReply,
    Apply,
    ApplyReply,
    DoraReply,
    DoraRequest,
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

SERVICE = serving.SERVICE


def build(settings: Settings | None = None) -> FastStream:
    """The service, not started; connects to nothing yet."""
    settings = settings or load(Settings)
    broker = connect.broker(settings, SERVICE)
    tasks, health = Tasks(SERVICE), Health()
    parts = serving.parts_of(broker, settings)
    _hear_of_pipelines(broker, parts)
    _hear_of_people(broker, _entering(parts, settings))
    tasks.spawn("untold", parts.commands.announce_untold)
    tasks.spawn("open-holds", parts.views.follow_holds)
    tasks.spawn("people", parts.people.follow)
    tasks.spawn("people.sweep", parts.people.sweep)
    health.add("people", parts.people.check)
    archiving.run(parts, tasks, health)
    if settings.http_port:
        serving.serve(parts, tasks, health)
    return assemble(
        SERVICE,
        settings,
        broker,
        tasks=tasks,
        health=health,
        description="Where people and programs see and steer the loop.",
    )


def _entering(parts: Parts, settings: Settings) -> Entering:
    return Entering(parts.people, parts.recording, settings.url, parts.asking.withdraw)


def _hear_of_pipelines(broker: NatsBroker, parts: Parts) -> None:
    @broker.subscriber(subjects.command(SERVICE, "apply"), queue=SERVICE)
    async def on_apply(command: Apply) -> ApplyReply:
        """Bring a specification into force."""
        return await parts.apply(command)

    @broker.subscriber(subjects.command(SERVICE, "status"), queue=SERVICE)
    async def on_status(command: StatusRequest) -> StatusReply:  # noqa: ARG001 - the name has the body checked
        """Say what is running."""
        return await parts.commands.status()

    @broker.subscriber(subjects.command(SERVICE, "accept-autonomy"), queue=SERVICE)
    async def on_accept(command: AcceptAutonomy) -> AutonomyReply:
        """Apply a pipeline's specification with the proposed autonomy."""
        return await parts.autonomies.accept(command)

    @broker.subscriber(subjects.command(SERVICE, "dora"), queue=SERVICE)
    async def on_dora(command: DoraRequest) -> DoraReply:
        """Say how well the loop delivers."""
        return await parts.delivering.answer(command.pipeline)


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
    async def on_access(command: ListAccess) -> AccessReply:  # noqa: ARG001 - the name has the body checked
        """Say who may come in."""
        return entering.access()

    @broker.subscriber(subjects.command(SERVICE, "url"), queue=SERVICE)
    async def on_url(command: GatewayUrl) -> UrlReply:  # noqa: ARG001 - the name has the body checked
        """Say where HTTP is served."""
        return entering.url()
