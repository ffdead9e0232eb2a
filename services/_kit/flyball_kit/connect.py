"""Connections to NATS and Redis, all made alike: they never give up and never stay silent.

A connection that breaks is tried again every 0.2 s for ever; a broker that hangs is noticed after
two missed pings of 5 s. What the broker forbids is an error in the log and a counter, because it
is always a mistake in the table of roles.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final

from faststream import AckPolicy
from faststream.nats import JStream, NatsBroker, PullSub
from faststream.nats.opentelemetry import NatsTelemetryMiddleware
from faststream.nats.security import NatsNKey
from nats.aio.client import Client
from nats.js.api import AckPolicy as JetStreamAckPolicy
from nats.js.api import ConsumerConfig
from opentelemetry import metrics
from redis.asyncio import Redis

from flyball_kit.errors import PermanentError
from flyball_kit.settings import KitSettings
from flyball_kit.settle import ACK_WAIT_S, Retry, Settle
from flyball_proto.roles import inbox_prefix
from flyball_proto.streams import Stream

RECONNECT_WAIT_S: Final = 0.2
CONNECT_TIMEOUT_S: Final = 2
PING_S: Final = 5
ABANDON_S: Final = 0.5
REDIS_TIMEOUT_S: Final = 1.0

Connect = Callable[[str], Awaitable[Client]]
"""Opens a connection; the argument names it on the server's connection list."""


class ForbiddenError(PermanentError):
    """The broker does not know our key."""

    kind = "forbidden"


def connector(settings: KitSettings, service: str) -> Connect:
    """A function that opens connections under the service's own key and inbox.

    The opened connection waits for the broker for ever.

    Raises:
        ForbiddenError: when called, if the broker refuses the key.
    """

    async def connect(name: str) -> Client:
        watch, client = _Watch(service), Client()
        opening = asyncio.ensure_future(
            client.connect(
                settings.nats_url.split(","),
                name=f"{service}.{name}",
                error_cb=watch.on_error,
                nkeys_seed=str(settings.nats_seed_file) if settings.nats_seed_file else None,
                inbox_prefix=inbox_prefix(service).encode(),
                allow_reconnect=True,
                max_reconnect_attempts=-1,
                reconnect_time_wait=RECONNECT_WAIT_S,  # type: ignore[arg-type] # it only sleeps for it
                connect_timeout=CONNECT_TIMEOUT_S,
                ping_interval=PING_S,
                max_outstanding_pings=2,
            )
        )
        try:
            await asyncio.shield(opening)
        except (ForbiddenError, asyncio.CancelledError):
            await _abandon(client, opening)
            raise
        watch.connected = True
        return client

    return connect


async def _abandon(client: Client, opening: "asyncio.Future[None]") -> None:
    """Close a connection that is perhaps half open.

    Cancelled between its socket and its handshake the library forgets the socket, so a handshake
    that is under way gets a moment to end.
    """
    with suppress(asyncio.CancelledError):
        await asyncio.wait({opening}, timeout=ABANDON_S)
    opening.cancel()
    await asyncio.gather(opening, return_exceptions=True)
    await client.close()


def broker(settings: KitSettings, service: str, retry: Retry | None = None) -> NatsBroker:
    """The FastStream broker of a service's control plane; connects when started.

    A failed handler is settled by `Settle`; a trace that arrives in the headers is continued.
    """
    logger = logging.getLogger(f"flyball.{service}")
    settle = Settle(service, retry or Retry())
    made = NatsBroker(
        settings.nats_url.split(","),
        name=f"{service}.control",
        security=NatsNKey(settings.nats_seed_file) if settings.nats_seed_file else None,
        inbox_prefix=inbox_prefix(service),
        error_cb=_Watch(service, connected=True).on_error,
        max_reconnect_attempts=-1,
        reconnect_time_wait=RECONNECT_WAIT_S,  # type: ignore[arg-type] # as above
        connect_timeout=CONNECT_TIMEOUT_S,
        ping_interval=PING_S,
        max_outstanding_pings=2,
        ack_policy=AckPolicy.NACK_ON_ERROR,
        middlewares=[NatsTelemetryMiddleware(), settle],
        logger=logger,
        log_level=logging.DEBUG,
    )
    settle.bind(lambda: client_of(made))
    return made


def client_of(made: NatsBroker) -> Client:
    """The connection of a started broker."""
    connection: Client = made.config.connection_state.connection
    return connection


def follow(service: str, stream: Stream, durable: str, *, in_order: bool = True) -> dict[str, Any]:
    """Arguments of `broker.subscriber` for a durable consumer of a stream.

        @broker.subscriber(ModelTrained.pattern(), **follow("registry", EVENTS, "registry-trained"))

    `durable` is unique in the stream, one a subscriber. In order means: a message that is retried
    holds back those behind it; otherwise up to 64 are under way at once.
    """
    return {
        "stream": JStream(stream.name, declare=False),
        "durable": durable,
        "pull_sub": PullSub(batch_size=1 if in_order else 64, timeout=5.0),
        "inbox_prefix": f"{inbox_prefix(service)}.".encode(),
        "config": ConsumerConfig(
            ack_policy=JetStreamAckPolicy.EXPLICIT,
            ack_wait=ACK_WAIT_S,
            max_ack_pending=1 if in_order else 64,
        ),
    }


def redis(settings: KitSettings) -> "Redis | None":
    """The service's Redis, None in degraded mode. Connects on first use; a command waits 1 s."""
    if settings.redis_url is None:
        return None
    made: Redis = Redis.from_url(
        settings.redis_url,
        socket_timeout=REDIS_TIMEOUT_S,
        socket_connect_timeout=REDIS_TIMEOUT_S,
    )
    return made


class _Watch:
    """Says what goes wrong on a connection."""

    def __init__(self, service: str, *, connected: bool = False) -> None:
        self.connected = connected
        self._log = logging.getLogger(f"flyball.{service}.nats")
        self._forbidden = metrics.get_meter("flyball").create_counter(
            "flyball.nats.forbidden", description="Subjects that the broker did not allow us."
        )

    async def on_error(self, error: Exception) -> None:
        reason = str(error).lower()
        if "permissions violation" in reason:
            self._forbidden.add(1)
            self._log.error("the broker forbids it: %s; see flyball_proto.roles", error)
        elif "authorization" in reason and not self.connected:
            raise ForbiddenError(
                f"the broker refuses our key ({error}); check FLYBALL_NATS_SEED_FILE and the users "
                "in nats-server.conf"
            )
        else:
            self._log.warning("connection trouble: %s", str(error) or type(error).__name__)
