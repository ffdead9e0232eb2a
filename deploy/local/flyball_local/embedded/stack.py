"""The embedded stack: NATS, Redis, S3 and every service on loopback, from one folder.

    async with Stack(Home(folder), Options(partitions=2)) as stack:
        connection = await stack.connect("operator")

`flyball up`, `demo`, `replay`, `bench` and the tests use it. Open it in the main thread.
"""

import asyncio
import os
import signal
import time
from collections.abc import Awaitable, Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from types import TracebackType
from typing import Final, Self

from nats.aio.client import Client

from flyball_local.embedded import preflight
from flyball_local.embedded.access import RELOAD_SIGNAL, connect
from flyball_local.embedded.credentials import REDIS_USERS, Credentials
from flyball_local.embedded.engines import Engine, NatsEngine, RedisEngine, S3Engine
from flyball_local.embedded.home import Home, Running
from flyball_local.embedded.natsconf import NatsConf
from flyball_local.embedded.parts import PartError
from flyball_local.embedded.preflight import Outcome
from flyball_local.embedded.provision import provision_bucket, provision_streams
from flyball_local.embedded.service import Service
from flyball_local.embedded.supervisor import Say, State, Supervisor
from flyball_proto.roles import element_role
from flyball_proto.streams import RETAIN_RATIO

SERVICES: Final = ("ingest", "inference", "risk", "trainer", "registry", "deployer", "gateway")
"""In the order of starting; they are stopped from the end."""

PURGING: Final = ("ingest", "inference", "risk")
"""Services that write data-plane streams and purge them behind their readers."""

VERIFYING: Final = ("registry", "inference")
"""Services that take a bundle only with the trainer's signature."""

MEMORY_MIB: Final = 96
"""Input that ingest's windows reach back at most, when the streams are large enough."""

BUCKET: Final = "flyball"
REGION: Final = "us-east-1"


@dataclass(frozen=True, slots=True)
class Options:
    """How a stack differs from the default one.

    `retain_mib` bounds each data-plane stream, `variables` are settings by service beside those
    that the stack gives, `sync_interval` is NATS' (`always` survives a power cut), `http` says
    whether the gateway serves the page and /v1.
    """

    partitions: int = 1
    services: tuple[str, ...] = SERVICES
    retain_mib: int | None = None
    sync_interval: str | None = None
    variables: Mapping[str, Mapping[str, str]] = field(default_factory=dict)
    say: Say = print
    http: bool = True


class Stack:
    """All parts of one home. Entering starts them, leaving stops them."""

    def __init__(self, home: Home | Path, options: Options | None = None) -> None:
        self.home = home if isinstance(home, Home) else Home(home)
        self.options = options or Options()
        self.credentials = Credentials(self.home.credentials)
        self.degraded = False
        """Whether there is no Redis."""
        self._supervisor = Supervisor(self.options.say, self._note)
        self._nats: NatsEngine | None = None
        self._reloading: asyncio.Future[None] | None = None

    async def __aenter__(self) -> Self:
        self._preflight()
        self.home.prepare()
        self.home.acquire()
        try:
            await self._start()
        except BaseException:
            await self._stop()
            raise
        return self

    async def __aexit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        await self._stop()

    @property
    def nats_url(self) -> str:
        """Where NATS clients connect; see also `connect`."""
        return f"nats://127.0.0.1:{self.home.port('nats')}"

    @property
    def monitor_url(self) -> str:
        """NATS' monitoring endpoint: /varz, /connz, /jsz."""
        return f"http://127.0.0.1:{self.home.port('nats-monitor')}"

    @property
    def s3_endpoint(self) -> str:
        """`host:port` of the object store; keys in `credentials.s3_keys`."""
        return f"127.0.0.1:{self.home.port('s3')}"

    @property
    def page_url(self) -> str:
        """The gateway's page; /v1 and /docs lie beside it."""
        return f"http://127.0.0.1:{self.home.port('gateway')}"

    @property
    def pids(self) -> dict[str, int]:
        """Pids of the running parts: nats, redis, s3 and the services."""
        return self._supervisor.pids

    @property
    def states(self) -> dict[str, State]:
        """Where each part is."""
        return self._supervisor.states

    def metrics_url(self, service: str) -> str:
        """A service's /metrics, /healthz and /readyz."""
        return f"http://127.0.0.1:{self.home.port(f'metrics-{service}')}"

    def variables(self, service: str) -> dict[str, str]:
        """The environment that a service is started with, beside the inherited one."""
        access_key, secret_key = self.credentials.s3_keys
        return {
            "FLYBALL_NATS_URL": self.nats_url,
            "FLYBALL_NATS_SEED_FILE": str(self.credentials.seed_file(service)),
            **self._redis_variables(service),
            "FLYBALL_S3_ENDPOINT": self.s3_endpoint,
            "FLYBALL_S3_ACCESS_KEY": access_key,
            "FLYBALL_S3_SECRET_KEY": secret_key,
            "FLYBALL_S3_REGION": REGION,
            "FLYBALL_S3_BUCKET": BUCKET,
            "FLYBALL_PARTITIONS": str(self.options.partitions),
            "FLYBALL_METRICS_PORT": str(self.home.port(f"metrics-{service}")),
            "FLYBALL_LOG_FORMAT": "json",
            **self._own_variables(service),
            # Each arena of malloc keeps freed memory; the services are single-threaded anyway.
            "MALLOC_ARENA_MAX": "2",
            **self.options.variables.get(service, {}),
        }

    async def connect(self, role: str, name: str | None = None) -> Client:
        """A NATS connection under one of `flyball_proto.roles.ROLES`; the caller closes it."""
        return await connect(self.nats_url, role, self.credentials.seed_file(role), name)

    async def connect_element(self, source: str, element: str) -> Client:
        """A NATS connection of an element, which is made known to the server if need be."""
        seed = await self.add_element(source, element)
        return await connect(self.nats_url, element_role(source, element).name, seed)

    async def add_element(self, source: str, element: str) -> Path:
        """Give an element a seed of its own and return the file; nothing changes if it has one."""
        known = self.credentials.element_seed_file(source, element).exists()
        seed = self.credentials.add_element(source, element)
        if not known:
            await self.reload_users()
        return seed

    async def reload_users(self) -> None:
        """Let NATS know elements that were added to the credentials folder."""
        if self._nats:
            await asyncio.to_thread(self._nats.reload)

    async def wait_ready(self) -> None:
        """Wait until no part is starting or about to be restarted."""
        await self._supervisor.wait_ready()

    async def wait_for(self, part: str, state: State) -> None:
        """Wait until a part is in a state."""
        await self._supervisor.wait_for(part, state)

    def kill(self, part: str) -> None:
        """SIGKILL a part; the stack notices and restarts it."""
        self._supervisor.kill(part)

    async def restart(self, part: str) -> None:
        """Stop a part cleanly and start it again."""
        await self._supervisor.stop_part(part)
        await self._supervisor.start_part(part)

    async def stop_part(self, part: str) -> None:
        """Stop a part and keep it down."""
        await self._supervisor.stop_part(part)

    async def start_part(self, part: str) -> None:
        """Start a part that was stopped or has failed."""
        await self._supervisor.start_part(part)

    def _preflight(self) -> None:
        found = preflight.checks(preflight.gather(self.home.folder))
        preflight.require(found)
        for check in found:
            if check.outcome is Outcome.WARN:
                self.options.say(f"warning: {check}")
        self.degraded = any(c.name == "redis-server" and c.outcome is Outcome.WARN for c in found)

    async def _start(self) -> None:
        began_s = time.monotonic()
        self.credentials.prepare()
        await self._supervisor.start(self._engines())
        await self._provision()
        asyncio.get_running_loop().add_signal_handler(RELOAD_SIGNAL, self._reload_soon)
        await self._supervisor.start([self._service(name) for name in self.options.services])
        self.options.say(f"stack ready in {time.monotonic() - began_s:.1f} s")

    async def _stop(self) -> None:
        asyncio.get_running_loop().remove_signal_handler(RELOAD_SIGNAL)
        await self._supervisor.stop()
        self.home.release()

    def _engines(self) -> list[Engine]:
        home, access = self.home, self.credentials.s3_keys
        self._nats = NatsEngine(home.data("nats"), home.port("nats"), conf=self._nats_conf)
        s3 = S3Engine(home.data("s3"), home.port("s3"), access_key=access[0], secret_key=access[1])
        if self.degraded:
            return [self._nats, s3]
        acl = self.credentials.redis_acl()
        return [self._nats, RedisEngine(home.data("redis"), home.port("redis"), acl), s3]

    def _service(self, name: str) -> Service:
        metrics_port = self.home.port(f"metrics-{name}")
        return Service(name, self.home.log(name), metrics_port, lambda: self.variables(name))

    def _nats_conf(self) -> NatsConf:
        return NatsConf(
            users=self.credentials.users(),
            encryption_key=self.credentials.encryption_key,
            sync_interval=self.options.sync_interval,
            http_port=self.home.port("nats-monitor"),
        )

    async def _provision(self) -> None:
        connection = await self.connect("stack", "provision")
        try:
            await provision_streams(
                connection,
                partitions=self.options.partitions,
                retain_mib=self.options.retain_mib,
            )
        finally:
            await connection.close()
        access, secret = self.credentials.s3_keys
        await provision_bucket(
            self.s3_endpoint, access, secret, bucket=BUCKET, region=REGION, secure=False
        )

    def _own_variables(self, service: str) -> dict[str, str]:
        """What only one service knows. Half of a stream is kept for readers that come late."""
        found = {}
        if service in VERIFYING:
            key = self.credentials.public_key("trainer")
            found[f"FLYBALL_{service.upper()}_TRAINER_KEYS"] = key
        if service == "trainer":
            key = str(self.credentials.model_signing_key)
            found["FLYBALL_TRAINER_MODEL_SIGNING_KEY_FILE"] = key
        if service == "registry":
            key = str(self.credentials.model_signing_public_key)
            found["FLYBALL_REGISTRY_MODEL_SIGNING_PUBLIC_KEY_FILES"] = key
        if service == "gateway" and self.options.http:
            found["FLYBALL_GATEWAY_HTTP_PORT"] = str(self.home.port("gateway"))
        if service == "inference":
            found["FLYBALL_INFERENCE_BUNDLE_DIR"] = str(self.home.data("bundles"))
        if self.options.retain_mib and service in PURGING:
            kept_mib = max(2, int(self.options.retain_mib * RETAIN_RATIO))
            found[f"FLYBALL_{service.upper()}_RETAIN_MIB"] = str(kept_mib)
            if service == "ingest":  # its look-back must lie within what is kept
                found["FLYBALL_INGEST_MEMORY_MIB"] = str(min(MEMORY_MIB, kept_mib * 3 // 4))
        return found

    def _redis_variables(self, service: str) -> dict[str, str]:
        if self.degraded or service not in REDIS_USERS:
            return {}
        password, port = self.credentials.redis_password(service), self.home.port("redis")
        return {
            "FLYBALL_REDIS_URL": f"redis://{service}:{password}@127.0.0.1:{port}/0",
            "FLYBALL_REDIS_PREFIX": f"{service}:",
        }

    def _note(self) -> None:
        self.home.note(Running(os.getpid(), self.nats_url, self.pids))

    def _reload_soon(self) -> None:
        self._reloading = asyncio.ensure_future(self._reload())

    async def _reload(self) -> None:
        try:
            await self.reload_users()
        except PartError as error:
            self.options.say(str(error))


async def run_until_signalled(
    stack: Stack, ready: Callable[[Stack], Awaitable[None] | None] | None = None
) -> None:
    """Run a stack until Ctrl-C or SIGTERM, then stop every part. `ready` is called once it is up.

    A second Ctrl-C does not hurry: the parts are given their ten seconds, then killed.
    """
    loop, task, said = asyncio.get_running_loop(), asyncio.current_task(), False

    def stop() -> None:
        nonlocal said
        if task and not said:
            stack.options.say("stopping")
            task.cancel()
        said = True

    for number in (signal.SIGINT, signal.SIGTERM):
        loop.add_signal_handler(number, stop)
    try:
        with suppress(asyncio.CancelledError):
            async with stack:
                if ready and (work := ready(stack)):
                    await work
                await asyncio.Event().wait()
    finally:
        for number in (signal.SIGINT, signal.SIGTERM):
            loop.remove_signal_handler(number)
