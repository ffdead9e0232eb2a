"""Puts a service together: broker, tasks, health, pulse and probes, in the right order.

Start: probes, then the broker with its handlers, then the tasks. Stop: the tasks first (folds
commit and save), then the broker (handlers finish), then the probes.
"""

import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress

from faststream import FastStream
from faststream.nats import NatsBroker
from faststream.specification import AsyncAPI
from nats.aio.client import Client
from nats.errors import Error as NatsError

from flyball_kit import clock
from flyball_kit.connect import client_of
from flyball_kit.fold.errors import Fenced, InputChanged, InputLost, OutputLost
from flyball_kit.health import Health
from flyball_kit.probes import Probes
from flyball_kit.pulses import Pulses
from flyball_kit.settings import KitSettings
from flyball_kit.tasks import Tasks
from flyball_proto import events

NO_PIPELINE = "all"
"""Stands for the pipeline in events of folds that serve all of them."""


def assemble(
    service: str,
    settings: KitSettings,
    broker: NatsBroker,
    *,
    tasks: Tasks | None = None,
    health: Health | None = None,
    description: str = "",
) -> FastStream:
    """The running service around a broker whose handlers are registered.

    Name tasks `<fold>.<pipeline>...` so that the runtime event of a failure names its pipeline.
    Leaving `app.run()` raises the failure of a task, which `flyball_kit.run` turns into the exit
    code.
    """
    tasks, health = tasks or Tasks(service), health or Health()
    _register_checks(health, settings, broker, tasks)
    pulses = Pulses(service, lambda: client_of(broker), pid=os.getpid(), health=health, tasks=tasks)
    tasks.spawn("pulse", pulses.beat_for_ever)

    opened: list[Client] = []

    async def start() -> None:
        opened.append(client_of(broker))
        await _subscribed(opened[-1])
        await tasks.start()

    async def close() -> None:
        while opened:  # the library leaves its connection open when it could not drain it
            with suppress(NatsError, OSError):
                await opened.pop().close()

    app = FastStream(
        broker,
        logger=None,
        lifespan=lambda: _lifespan(health, settings.metrics_port, tasks),
        after_startup=[start],
        on_shutdown=[tasks.stop],
        after_shutdown=[close],
        specification=AsyncAPI(title=f"flyball-{service}", version="1", description=description),
    )

    async def on_failure(name: str, error: BaseException) -> None:
        await _announce(broker, runtime_event(service, name, error))
        app.exit()

    tasks.on_failure = on_failure
    return app


async def _subscribed(client: Client) -> None:
    """Wait until the broker knows every subscription: only then are we ready.

    One flush is not enough, because the library's ping overtakes what waits to be written.
    """
    await client.flush()
    while client.pending_data_size:
        await clock.sleep(0.001)
    await client.flush()


@asynccontextmanager
async def _lifespan(health: Health, port: int, tasks: Tasks) -> AsyncIterator[None]:
    probes = Probes(health, port)
    if port:
        await probes.start()
    try:
        yield
    finally:
        await probes.stop()
    if tasks.failure is not None:
        raise tasks.failure


def _register_checks(
    health: Health, settings: KitSettings, broker: NatsBroker, tasks: Tasks
) -> None:
    health.add("started", lambda: None if tasks.started else "starting")
    health.add("nats", lambda: _nats(broker))
    health.add("tasks", tasks.check, "live")
    if settings.redis_url is None:
        health.add("redis", lambda: "degraded: FLYBALL_REDIS_URL is not set", "note")


async def _announce(broker: NatsBroker, event: events.Event | None) -> None:
    if event is None:
        return
    with suppress(NatsError, OSError):  # the exit code says it too
        js = client_of(broker).jetstream()
        await js.publish(event.subject, event.model_dump_json().encode())


def runtime_event(service: str, fold: str, error: BaseException) -> events.Event | None:
    """The event that tells of a failed fold; None when no event exists for such a failure."""
    tokens = fold.split(".")
    pipeline = tokens[1] if len(tokens) > 1 else NO_PIPELINE
    facts = {"pipeline": pipeline, "service": service, "fold": fold, "detail": str(error)}
    if isinstance(error, Fenced):
        return events.FoldFenced(at=clock.utc_now(), **facts)
    if isinstance(error, InputLost | InputChanged | OutputLost):
        return events.InputLost(at=clock.utc_now(), **facts)
    return None


def _nats(broker: NatsBroker) -> str | None:
    state = broker.config.connection_state
    connected = bool(state) and client_of(broker).is_connected
    return None if connected else "not connected; is nats-server running?"
