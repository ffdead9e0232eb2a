"""The folder that holds one embedded stack: data, credentials, logs, and the ports it keeps.

version            layout of this folder
lock               held while a stack runs here; says who and where
ports.json         chosen once, kept for ever
creds/             0700: seeds and secrets (credentials.py)
nats/ redis/ s3/   the engines' data, configuration and logs
logs/              one log a service
"""

import fcntl
import json
import os
import time
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import IO, Final

from flyball_kit.errors import PermanentError
from flyball_local.embedded.ports import free_port
from flyball_local.embedded.processes import write_private

LAYOUT_VERSION: Final = "1"
LOCK_ATTEMPTS: Final = 5
DEFAULT_HOME: Final = Path(".flyball")


class HomeError(PermanentError):
    """The home folder cannot be used as it is."""


class HomeBusyError(HomeError):
    """Another stack runs on this home."""


@dataclass(frozen=True, slots=True)
class Running:
    """Who holds the lock. `parts` are pids by name as of the last change."""

    pid: int
    nats_url: str = ""
    parts: Mapping[str, int] | None = None


class Home:
    """One home folder. Opening it writes nothing; `prepare` does."""

    def __init__(self, folder: Path = DEFAULT_HOME) -> None:
        self.folder = folder.absolute()
        self._lock: IO[str] | None = None

    @property
    def credentials(self) -> Path:
        """Seeds and secrets; readable by the owner alone."""
        return self.folder / "creds"

    def data(self, engine: str) -> Path:
        """An engine's data, configuration and log."""
        return self.folder / engine

    def log(self, service: str) -> Path:
        """A service's log."""
        return self.folder / "logs" / f"{service}.log"

    def prepare(self) -> None:
        """Create the folder, or make sure that this version understands the one found.

        Raises:
            HomeError: written by another version, or not writable.
        """
        try:
            self.credentials.mkdir(parents=True, exist_ok=True)
            self.credentials.chmod(0o700)
            (self.folder / "logs").mkdir(exist_ok=True)
        except OSError as error:
            raise HomeError(
                f"the home folder {self.folder} cannot be written ({error.strerror}); "
                "choose another one with --home"
            ) from error
        stamp = self.folder / "version"
        if not stamp.exists():
            write_private(stamp, LAYOUT_VERSION + "\n")
        if (found := stamp.read_text().strip()) != LAYOUT_VERSION:
            raise HomeError(
                f"the home folder {self.folder} has layout {found!r}, this Flyball reads "
                f"{LAYOUT_VERSION!r}: use the version that wrote it, or another --home"
            )

    def port(self, name: str) -> int:
        """The port of a part, the same one at every start; None of them is shared."""
        ports = self._ports()
        if name not in ports:
            while (port := free_port()) in ports.values():
                pass
            ports[name] = port
            write_private(self.folder / "ports.json", json.dumps(ports, indent=2) + "\n")
        return ports[name]

    def acquire(self) -> None:
        """Hold the home for this process; the kernel lets go of it when the process ends.

        Raises:
            HomeBusyError: naming the process that holds it.
        """
        path = self.folder / "lock"
        descriptor = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        lock = os.fdopen(descriptor, "r+")
        if not _locked(lock):
            lock.close()
            raise HomeBusyError(self._busy())
        self._lock = lock
        self.note(Running(os.getpid()))

    def note(self, running: Running) -> None:
        """Tell other processes what runs here; only while the lock is held."""
        if self._lock:
            self._lock.seek(0)
            self._lock.truncate()
            json.dump(asdict(running), self._lock)
            self._lock.flush()

    def release(self) -> None:
        """Let go of the home."""
        if self._lock:
            self._lock.truncate(0)
            self._lock.close()
            self._lock = None

    def running(self) -> Running | None:
        """What runs on this home right now; None when nothing does."""
        path = self.folder / "lock"
        if not path.exists():
            return None
        with path.open() as lock:
            try:
                fcntl.flock(lock, fcntl.LOCK_SH | fcntl.LOCK_NB)
            except OSError:
                return self._noted(lock)
        return None

    def _noted(self, lock: IO[str]) -> Running:
        with suppress(ValueError, TypeError):
            return Running(**json.load(lock))
        return Running(pid=0)  # its holder is just writing

    def _busy(self) -> str:
        with (self.folder / "lock").open() as lock:
            running = self._noted(lock)
        at = f", NATS at {running.nats_url}" if running.nats_url else ""
        return (
            f"a stack already runs on {self.folder} (pid {running.pid}{at}); "
            f"end it with `kill {running.pid}`, or choose another folder with --home"
        )

    def _ports(self) -> dict[str, int]:
        path = self.folder / "ports.json"
        ports: dict[str, int] = json.loads(path.read_text()) if path.exists() else {}
        return ports


def _locked(lock: IO[str]) -> bool:
    for _ in range(LOCK_ATTEMPTS):
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except OSError:
            time.sleep(0.02)  # somebody may just be looking, see `running`
        else:
            return True
    return False
