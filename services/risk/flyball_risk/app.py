"""Wires risk together; decides nothing."""

from faststream import FastStream

from flyball_kit import connect
from flyball_kit.health import Health
from flyball_kit.service import assemble
from flyball_kit.settings import load
from flyball_kit.tasks import Tasks
from flyball_risk.pipelines import Pipelines
from flyball_risk.settings import Settings

SERVICE = "risk"


def build(settings: Settings | None = None) -> FastStream:
    """The service, ready to run; settings come from the environment unless given."""
    settings = settings or load(Settings)
    broker, tasks, health = connect.broker(settings, SERVICE), Tasks(SERVICE), Health()
    pipelines = Pipelines(
        tasks,
        connect.connector(settings, SERVICE),
        lambda: connect.client_of(broker),
        settings,
    )
    health.add("pipelines", lambda: None if pipelines.synced else "not read yet")
    tasks.spawn("pipelines", pipelines.follow)
    return assemble(
        SERVICE,
        settings,
        broker,
        tasks=tasks,
        health=health,
        description="Judges every decision before it may reach the network.",
    )
