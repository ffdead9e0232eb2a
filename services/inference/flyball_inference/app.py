"""Wiring of inference: records in, models loaded, folds started."""

import platform

from faststream import FastStream

from flyball_inference import session
from flyball_inference.announcing import Announcing
from flyball_inference.capabilities import Capabilities, check_providers
from flyball_inference.desks import Desks
from flyball_inference.hot import Hot
from flyball_inference.settings import Settings
from flyball_inference.store import Bundles
from flyball_inference.telling import KINDS, Teller
from flyball_kit import clock, connect
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
from flyball_proto.runtimes import RuntimeState
from flyball_proto.spec import Pipeline

SERVICE = "inference"


def build(settings: Settings | None = None) -> FastStream:
    """The service, not started; connects to nothing yet."""
    settings = settings or load(Settings)
    broker = connect.broker(settings, SERVICE)
    tasks, health = Tasks(SERVICE), Health()
    able = _capabilities(settings)
    objects = Objects(settings)
    bundles = Bundles(objects, settings.bundle_dir, settings.max_bundle_bytes, settings.trusted)
    desks = Desks(
        settings,
        connect=connect.connector(settings, SERVICE),
        hot=lambda pipeline: Hot(pipeline, bundles, able),
        teller=Teller(Announcer(broker, *KINDS), settings.partitions, able.instance),
        settlements=Settlements(lambda: client_of(broker), DeployerSettled),
        tasks=tasks,
        health=health,
    )
    runtimes: Kv[RuntimeState] = Kv(lambda: client_of(broker), streams.RUNTIMES, RuntimeState)
    announcing = Announcing(runtimes, able, desks.standings)
    desks.noticed = announcing.changed
    pipelines: Kv[Pipeline] = Kv(lambda: client_of(broker), streams.PIPELINES, Pipeline)
    pointers: Kv[ActiveModel] = Kv(lambda: client_of(broker), streams.DEPLOYMENTS, ActiveModel)
    tasks.spawn("pipelines", lambda: desks.follow_pipelines(pipelines))
    tasks.spawn("pointers", lambda: desks.follow_pointers(pointers))
    tasks.spawn("measuring", desks.measure)
    tasks.add("announcing", announcing)
    return assemble(
        SERVICE,
        settings,
        broker,
        tasks=tasks,
        health=health,
        description="What the active model says about each element now.",
    )


def _capabilities(settings: Settings) -> Capabilities:
    """What this process may and can run, under a name that no other process has."""
    check_providers(settings.execution_providers, session.available())
    host = platform.node().replace(".", "-") or "runtime"
    return Capabilities(
        instance=f"{host}-{clock.new_id()[:8]}",
        architecture=platform.machine(),
        providers=settings.execution_providers,
        precisions=settings.runnable,
        memory_mb=settings.model_memory_mb,
        partitions=settings.partitions,
    )
