"""Wiring of ingest: records in, folds and quarantines started."""

from faststream import FastStream

from flyball_ingest.pipelines import Pipelines
from flyball_ingest.refusals import Refusals
from flyball_ingest.settings import Settings
from flyball_ingest.stages import SERVICE
from flyball_kit import connect
from flyball_kit.connect import client_of
from flyball_kit.health import Health
from flyball_kit.kv import Kv
from flyball_kit.service import assemble
from flyball_kit.settings import load
from flyball_kit.specifications import Specifications
from flyball_kit.tasks import Tasks
from flyball_proto import streams, subjects
from flyball_proto.commands import ListQuarantined, QuarantinedReply
from flyball_proto.spec import Pipeline, Source


def build(settings: Settings | None = None) -> FastStream:
    """The service, not started; connects to nothing yet."""
    settings = settings or load(Settings)
    broker = connect.broker(settings, SERVICE)
    tasks, health = Tasks(SERVICE), Health()
    running = Pipelines(
        settings,
        connect=connect.connector(settings, SERVICE),
        client=lambda: client_of(broker),
        tasks=tasks,
    )
    specifications = Specifications(applied=running.apply, gone=running.end, health=health)
    sources = Kv[Source](lambda: client_of(broker), streams.PIPELINES, Source)
    pipelines = Kv[Pipeline](lambda: client_of(broker), streams.PIPELINES, Pipeline)
    refusals = Refusals(lambda: client_of(broker))

    @broker.subscriber(subjects.command(SERVICE, "quarantine"), queue=SERVICE)
    async def on_quarantine(command: ListQuarantined) -> QuarantinedReply:
        """Show what was refused and why."""
        return await refusals.answer(command)

    tasks.spawn("sources", lambda: specifications.follow_sources(sources))
    tasks.spawn("pipelines", lambda: specifications.follow_pipelines(pipelines))
    return assemble(
        SERVICE,
        settings,
        broker,
        tasks=tasks,
        health=health,
        description="What the network said, whether it can be trusted, and what models see of it.",
    )
