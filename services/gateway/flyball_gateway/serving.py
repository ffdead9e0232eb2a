"""Puts together what is served over HTTP: /v1, the login and the page."""

from datetime import timedelta
from typing import TYPE_CHECKING, Final

from faststream.nats import NatsBroker
from nats.aio.client import Client

from flyball_gateway.api.parts import Parts
from flyball_gateway.asking import Asking
from flyball_gateway.autonomy import Autonomies
from flyball_gateway.awaited.views import Views
from flyball_gateway.beside import Contexts
from flyball_gateway.commands import Commands
from flyball_gateway.delivering import Delivering
from flyball_gateway.heard import Pulses
from flyball_gateway.http import Address, Http
from flyball_gateway.identity.access import AccessRecord
from flyball_gateway.identity.people import People
from flyball_gateway.incoming import Sources
from flyball_gateway.picturing.watching import Watch
from flyball_gateway.recording import Recording
from flyball_gateway.records.decided import Decided
from flyball_gateway.records.following import Following
from flyball_gateway.records.reading import Reading
from flyball_gateway.settings import Settings
from flyball_gateway.store import Specs
from flyball_kit.acts import Acts
from flyball_kit.announce import Announcer
from flyball_kit.connect import client_of
from flyball_kit.health import Health
from flyball_kit.kv import Kv
from flyball_kit.tasks import Tasks
from flyball_proto import streams
from flyball_proto.autonomy import AutonomyRecord
from flyball_proto.deployments import ActiveModel
from flyball_proto.events import ModelRecord, PipelineApplied
from flyball_proto.holds import Hold
from flyball_proto.outcomes import AnyRecord
from flyball_proto.progress import Standings
from flyball_proto.spec import Pipeline, Source

if TYPE_CHECKING:
    from fastapi import FastAPI


SERVICE: Final = "gateway"


def parts_of(broker: NatsBroker, settings: Settings) -> Parts:
    """Everything that answers; connects to nothing yet."""

    def client() -> Client:
        return client_of(broker)

    pointers: Kv[ActiveModel] = Kv(client, streams.DEPLOYMENTS, ActiveModel)
    specs = Specs(
        Kv(client, streams.PIPELINES, Pipeline), Kv(client, streams.PIPELINES, Source), pointers
    )
    views = Views(client)
    commands = Commands(specs, Announcer(broker, PipelineApplied), views)
    acts = Acts(client, SERVICE)
    recording = Recording(acts)
    people = People(
        Kv(client, streams.ACCESS, AccessRecord),
        client,
        session=timedelta(hours=settings.session_hours),
    )
    apply = recording.recorded(commands.apply)
    autonomies = Autonomies(Kv(client, streams.AUTONOMY, AutonomyRecord), specs, apply)
    reading = Reading(client)
    return Parts(
        settings=settings,
        client=client,
        people=people,
        asking=Asking(client, apply, autonomies, still=people.still, forbidden=recording.forbidden),
        apply=apply,
        autonomies=autonomies,
        commands=commands,
        specs=specs,
        views=views,
        models=Kv(client, streams.MODELS, ModelRecord),
        pointers=pointers,
        holds=Kv(client, streams.HOLDS, Hold),
        acknowledged=Kv(client, streams.ACKNOWLEDGED, AnyRecord),
        standings=Kv(client, streams.STANDINGS, Standings),
        sources=Sources(client),
        pulses=Pulses(client),
        reading=reading,
        decided=Decided(reading),
        delivering=Delivering(client, specs),
        following=Following(client),
        recording=recording,
        acts=acts,
    )


def serve(parts: Parts, tasks: Tasks, health: Health) -> None:
    """Add the web server and what it stands on to the service."""
    watch = Watch(parts.client)
    settings = parts.settings
    http = Http(
        Address(settings.http_host, settings.http_port),
        lambda: _app(parts, watch),
        parts.following.end,
    )
    tasks.add("http", http)
    tasks.spawn("http.sources", parts.sources.follow)
    tasks.spawn("http.pulses", parts.pulses.listen)
    tasks.spawn("http.events", parts.following.follow)
    watch.spawn(tasks)
    health.add("http", http.check, "note")


def _app(parts: Parts, watch: Watch) -> "FastAPI":
    """The application; importing what it needs takes seconds, so this runs in a thread."""
    from flyball_gateway import page  # noqa: PLC0415 - as said above
    from flyball_gateway.api.building import build_api  # noqa: PLC0415
    from flyball_gateway.api.entrance import Entrance  # noqa: PLC0415

    entrance = Entrance(parts.people, parts.asking)
    app = build_api(parts, entrance)
    beside = Contexts(parts.client, parts.specs).of
    page.mount(app, watch.picture, parts.asking, entrance.who, watch.changed, beside)
    return app
