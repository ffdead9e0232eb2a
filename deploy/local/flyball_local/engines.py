"""The servers that Flyball stands on, as child processes: NATS, Redis and S3.

The embedded stack runs them, and so do the tests. All listen on loopback alone. Each is stopped by
its own pid, dies with the process that started it, and can be started again on the same folder and
port after `stop` or `kill`. Call `spawn` and `start` from a thread that lives as long as the engine
should: Linux ties the child's life to the thread that started it.
"""

import asyncio
import os
import secrets
import signal
import time
from pathlib import Path
from typing import Final

from typing_extensions import override

from flyball_kit.errors import TransientError
from flyball_local import ports
from flyball_local.natsconf import NatsConf, render
from flyball_local.processes import (
    Child,
    find_binary,
    kill_process,
    start_process,
    stop_process,
    write_private,
)

READY_TIMEOUT_S: Final = 20.0
POLL_S: Final = 0.01


class EngineError(TransientError):
    """A server did not come up; the message carries the end of its log."""


class Engine:
    """One server process with its folder, port and log.

    `port` 0 takes a free one at the first start and keeps it from then on.
    """

    name: str
    binary: str

    def __init__(self, folder: Path, port: int = 0) -> None:
        self.folder = folder
        self.port = port
        self.log = folder / f"{self.name}.log"
        self._process: Child | None = None
        self._port_is_ours = port != 0

    @property
    def pid(self) -> int | None:
        """Pid of the running server, None when it does not run."""
        return self._process.pid if self._process and self.exit_code is None else None

    @property
    def exit_code(self) -> int | None:
        """How the last run ended; negative is a signal, None while it runs or before it ran."""
        return self._process.poll() if self._process else None

    def start(self) -> None:
        """Start the server and block until its port answers.

        Raises:
            EngineError: it exited or did not listen in time; the message ends with its log.
        """
        attempts = 1 if self._port_is_ours else 5
        for attempt in range(1, attempts + 1):
            self.spawn()
            try:
                self.wait()
            except EngineError:
                # Somebody else was faster on a port chosen at random: choose another.
                if attempt == attempts or ports.is_free(self.port):
                    raise
                self.port = 0
            else:
                return

    def spawn(self) -> None:
        """Start the server without waiting for it; follow with `wait` or `await ready()`."""
        if self.pid is not None:
            return
        self.folder.mkdir(parents=True, exist_ok=True)
        self.port = self.port or ports.free_port()
        if self._port_is_ours and not ports.is_free(self.port):
            raise EngineError(
                f"{self.name}: port {self.port} on 127.0.0.1 is taken by another program; "
                f"stop that program (`ss -ltnp 'sport = :{self.port}'` names it) or choose another"
            )
        command = [str(find_binary(self.binary)), *self.arguments()]
        self._process = start_process(command, log=self.log, env={**os.environ, **self.variables()})

    def wait(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Block until the server's port answers."""
        deadline = time.monotonic() + timeout_s
        while not self._answers(deadline):
            time.sleep(POLL_S)

    async def ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until the server's port answers."""
        deadline = time.monotonic() + timeout_s
        while not self._answers(deadline):  # noqa: ASYNC110 - a process sends no event
            await asyncio.sleep(POLL_S)

    def stop(self) -> None:
        """End it cleanly; harmless when it does not run. Blocks at most some ten seconds."""
        if self._process:
            stop_process(self._process)

    def kill(self) -> None:
        """SIGKILL, as a power cut would; harmless when it does not run."""
        if self._process:
            kill_process(self._process)

    def freeze(self) -> None:
        """SIGSTOP: alive, holding its connections, and silent."""
        self._signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT after `freeze`."""
        self._signal(signal.SIGCONT)

    def tail(self, lines: int = 8) -> str:
        """The end of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def arguments(self) -> list[str]:
        """Command line after the executable; may write configuration into the folder."""
        raise NotImplementedError

    def variables(self) -> dict[str, str]:
        """Environment for the server alone; secrets travel here, command lines are public."""
        return {}

    def _signal(self, number: signal.Signals) -> None:
        if self.pid is not None and self._process:
            self._process.send_signal(number)

    def _answers(self, deadline: float) -> bool:
        if self.pid is None:
            raise EngineError(
                f"{self.name} exited with {self.exit_code} before it listened on port {self.port}; "
                f"the end of {self.log}:\n{self.tail()}"
            )
        if ports.listens(self.pid, self.port):
            self._port_is_ours = True
            return True
        if time.monotonic() > deadline:
            self.kill()
            raise EngineError(
                f"{self.name} did not listen on port {self.port} in time; "
                f"the end of {self.log}:\n{self.tail()}"
            )
        return False


class NatsEngine(Engine):
    """nats-server with JetStream on file storage. `config` is appended to its configuration."""

    name = "nats"
    binary = "nats-server"

    def __init__(
        self,
        folder: Path,
        port: int = 0,
        config: str | None = None,
        *,
        conf: NatsConf = NatsConf(),  # noqa: B008 - frozen
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

    def reload(self, conf: NatsConf) -> None:
        """Take over changed users without dropping a connection (SIGHUP); returns once it has.

        Raises:
            EngineError: the server refused the new configuration; the old one stays in force.
        """
        self.conf = conf
        self._write()
        if self.pid is None:
            return
        start = self.log.stat().st_size
        self._signal(signal.SIGHUP)
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
        store = self.folder / "jetstream"
        text = render(self.conf, port=self.port, store=store) + self.extra
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
        """Serve `objects`; without a directory cache, so that files put there by hand are seen."""
        self.objects.mkdir(exist_ok=True)
        address = f"127.0.0.1:{self.port}"
        cache = ["--dir-cache-time", "0s", "--poll-interval", "0"]
        return ["serve", "s3", str(self.objects), "--addr", address, "--config", "", *cache]

    @override
    def variables(self) -> dict[str, str]:
        """The key pair."""
        # rclone reads this variable as CSV, so the pair is one quoted field.
        return {"RCLONE_AUTH_KEY": f'"{self.access_key},{self.secret_key}"'}
