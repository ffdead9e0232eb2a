"""Wiring of inference: records in, models loaded, folds started."""

from faststream import FastStream

from flyball_inference.desks import Desks
from flyball_inference.settings import Settings
from flyball_inference.store import Bundles
from flyball_inference.telling import KINDS, Teller
from flyball_kit import connect
from flyball_kit.announce import Announcer
from flyball_kit.connect import client_of
from flyball_kit.health import Health
from flyball_kit.kv import Kv
from flyball_kit.lockstep import Settlements
from flyball_kit.objects import Objects
from flyball_kit.service import assemble
from flyball_kit.settings import load
from flyball_kit.tasks import Tasks
from flyball_proto import streams
from flyball_proto.deployments import ActiveModel, DeployerSettled
from flyball_proto.spec import Pipeline

SERVICE = "inference"


def build(settings: Settings | None = None) -> FastStream:
    """The service, not started; connects to nothing yet."""
    settings = settings or load(Settings)
    broker = connect.broker(settings, SERVICE)
    tasks, health = Tasks(SERVICE), Health()
    desks = Desks(
        settings,
        connect=connect.connector(settings, SERVICE),
        bundles=Bundles(
            Objects(settings), settings.bundle_dir, settings.max_bundle_bytes, settings.trusted
        ),
        teller=Teller(Announcer(broker, *KINDS), settings.partitions),
        settlements=Settlements(lambda: client_of(broker), DeployerSettled),
        tasks=tasks,
        health=health,
    )
    pipelines: Kv[Pipeline] = Kv(lambda: client_of(broker), streams.PIPELINES, Pipeline)
    pointers: Kv[ActiveModel] = Kv(lambda: client_of(broker), streams.DEPLOYMENTS, ActiveModel)
    tasks.spawn("pipelines", lambda: desks.follow_pipelines(pipelines))
    tasks.spawn("pointers", lambda: desks.follow_pointers(pointers))
    tasks.spawn("measuring", desks.measure)
    return assemble(
        SERVICE,
        settings,
        broker,
        tasks=tasks,
        health=health,
        description="What the active model says about each element now.",
    )
