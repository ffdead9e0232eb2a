"""The servers that Flyball stands on, as child processes: NATS, Redis and S3.

The embedded stack runs them, and so do the tests. All listen on loopback alone. Each is stopped by
its own pid, dies with the process that started it, and can be started again on the same folder and
port after `stop` or `kill`.
"""

import os
import secrets
import signal
import time
from collections.abc import Callable
from pathlib import Path

from typing_extensions import override

from flyball_local.embedded import ports
from flyball_local.embedded.natsconf import NatsConf, render
from flyball_local.embedded.parts import POLL_S, READY_TIMEOUT_S, Part, PartError
from flyball_local.embedded.processes import find_binary, write_private

EngineError = PartError


class Engine(Part):
    """A server with a folder and a port on loopback.

    `port` 0 takes a free one at the first start and keeps it from then on.
    """

    name: str
    binary: str

    def __init__(self, folder: Path, port: int = 0) -> None:
        super().__init__(self.name, folder / f"{self.name}.log")
        self.folder = folder
        self.port = port
        self._port_is_ours = port != 0

    @override
    def start(self) -> None:
        attempts = 1 if self._port_is_ours else 5
        for attempt in range(1, attempts + 1):
            try:
                super().start()
            except EngineError:
                # Somebody else was faster on a port chosen at random: choose another.
                if attempt == attempts or ports.is_free(self.port):
                    raise
                self.port = 0
            else:
                return

    @override
    def spawn(self) -> None:
        if self.pid is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = self.port or ports.free_port()
        if self._port_is_ours and not ports.is_free(self.port):
            raise EngineError(
                f"{self.name}: port {self.port} on 127.0.0.1 is taken by another program; stop "
                f"that program (`ss -ltnp sport = :{self.port}` names it), or choose another port"
            )
        super().spawn()

    @override
    def command(self) -> list[str]:
        return [str(find_binary(self.binary)), *self.arguments()]

    def arguments(self) -> list[str]:
        """Command line after the executable; writes the server's configuration."""
        raise NotImplementedError

    @override
    def answers(self) -> bool:
        if self.pid is None or not ports.listens(self.pid, self.port):
            return False
        self._port_is_ours = True
        return True


class NatsEngine(Engine):
    """nats-server with JetStream on file storage.

    `conf` is asked at every start and reload, `config` is appended to what it gives.
    """

    name = "nats"
    binary = "nats-server"

    def __init__(
        self,
        folder: Path,
        port: int = 0,
        config: str | None = None,
        *,
        conf: Callable[[], NatsConf] = NatsConf,
    ) -> None:
        super().__init__(folder, port)
        self.extra = config or ""
        self.conf = conf

    @property
    def url(self) -> str:
        """Where clients connect."""
        return f"nats://127.0.0.1:{self.port}"

    @property
    def config_path(self) -> Path:
        """The configuration as last written, readable by the owner alone: it holds the key."""
        return self.folder / "nats-server.conf"

    @override
    def arguments(self) -> list[str]:
        """Write the configuration and point the server at it."""
        self._write()
        return ["-c", str(self.config_path)]

    def reload(self, pid: int | None = None) -> None:
        """Take over changed users without dropping a connection (SIGHUP); returns once it has.

        Args:
            pid: of the server, when another process started it.

        Raises:
            EngineError: the server refused the new configuration; the old one stays in force.
        """
        self._write()
        if (pid := pid or self.pid) is None:
            return
        start = self.log.stat().st_size
        os.kill(pid, signal.SIGHUP)
        deadline = time.monotonic() + READY_TIMEOUT_S
        while True:
            with self.log.open("rb") as log:
                log.seek(start)
                said = log.read().decode(errors="replace")
            if "Reloaded server configuration" in said:
                return
            if "Failed to reload" in said or time.monotonic() > deadline:
                raise EngineError(f"nats did not take the new configuration: {said.strip()}")
            time.sleep(POLL_S)

    def _write(self) -> None:
        text = render(self.conf(), port=self.port, store=self.folder) + self.extra
        write_private(self.config_path, text)


class RedisEngine(Engine):
    """redis-server, durable to within a second. `config` is appended to its configuration.

    At `maxmemory` it refuses writes rather than forget what a service believes to be stored.
    """

    name = "redis"
    binary = "redis-server"

    def __init__(self, folder: Path, port: int = 0, config: str | None = None) -> None:
        super().__init__(folder, port)
        self.extra = config or ""

    @property
    def url(self) -> str:
        """Where clients connect, without user or password."""
        return f"redis://127.0.0.1:{self.port}/0"

    @override
    def arguments(self) -> list[str]:
        """Write the configuration and point the server at it."""
        path = self.folder / "redis.conf"
        lines = [
            f"port {self.port}",
            "bind 127.0.0.1",
            f'dir "{self.folder.resolve()}"',
            'save ""',
            "appendonly yes",
            "appendfsync everysec",
            "maxmemory 128mb",
            "maxmemory-policy noeviction",
            "maxclients 256",
        ]
        write_private(path, "\n".join(lines) + "\n" + self.extra)
        return [str(path)]


class S3Engine(Engine):
    """`rclone serve s3` over a local folder: one folder a bucket, one file an object."""

    name = "s3"
    binary = "rclone"

    def __init__(
        self,
        folder: Path,
        port: int = 0,
        *,
        access_key: str | None = None,
        secret_key: str | None = None,
    ) -> None:
        super().__init__(folder, port)
        self.access_key = access_key or secrets.token_hex(8)
        self.secret_key = secret_key or secrets.token_hex(20)

    @property
    def endpoint(self) -> str:
        """`host:port`, as the minio client wants it; path style, region `us-east-1`, no TLS."""
        return f"127.0.0.1:{self.port}"

    @property
    def url(self) -> str:
        """The endpoint as a URL."""
        return f"http://{self.endpoint}"

    @property
    def objects(self) -> Path:
        """Where the buckets lie."""
        return self.folder / "objects"

    @override
    def arguments(self) -> list[str]:
        """Serve `objects`; files put there by hand are seen after a second.

        Without any directory cache rclone spins once it has served an object: half a core at rest
        and seconds a request.
        """
        self.objects.mkdir(exist_ok=True)
        address = f"127.0.0.1:{self.port}"
        cache = ["--dir-cache-time", "1s", "--poll-interval", "0"]
        return ["serve", "s3", str(self.objects), "--addr", address, "--config", "", *cache]

    @override
    def variables(self) -> dict[str, str]:
        """The key pair."""
        # rclone reads this variable as CSV, so the pair is one quoted field.
        return {"RCLONE_AUTH_KEY": f'"{self.access_key},{self.secret_key}"'}
