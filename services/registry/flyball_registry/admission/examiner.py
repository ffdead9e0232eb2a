"""A process that examines models: each in a fork of its own, which may die or be killed.

Orders come in on standard input, outcomes go out where output was. A fork has bounded memory,
processor time and files, no input, no output, no environment, low priority, and is ended with all
its children when its time is up. It ends itself when its input closes: the registry is gone then.
"""

import ctypes
import gc
import os
import pickle
import resource
import select
import signal
import sys
from contextlib import suppress
from pathlib import Path
from typing import Final, NamedTuple

from flyball_kit import clock
from flyball_registry.admission.claims import Refusal
from flyball_registry.admission.examining import examined, warm_up
from flyball_registry.admission.frames import (
    CHECK,
    HEADER,
    MAX_ANSWER_BYTES,
    READY,
    Limits,
    refused,
)
from flyball_registry.scoring.sessions import OutOfMemoryError

NICENESS: Final = 5
MAX_FILES: Final = 64
MAX_FILE_BYTES: Final = 1 << 30
_PR_SET_PDEATHSIG: Final = 1
_C: Final = ctypes.CDLL(None)


def main() -> None:
    """Serve orders until the input closes; arguments: the limits, then `signed` or nothing."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C is for the service, which closes us
    limits = Limits(*map(int, sys.argv[1:4]))
    answers = os.dup(sys.stdout.fileno())
    os.dup2(sys.stderr.fileno(), sys.stdout.fileno())
    warm_up()
    if "signed" in sys.argv:
        import model_signing  # noqa: F401, PLC0415 - heavy, and every fork would load it anew
    gc.freeze()  # a fork that looks for garbage would copy all that we share with it
    os.nice(NICENESS)  # only now: a busy machine would take long over the imports
    _say(answers, READY)
    while (order := _heard()) is not None:
        _say(answers, _attended(order, limits, answers))


def _attended(order: bytes, limits: Limits, answers: int) -> bytes:
    """The outcome of an examination in a fork, or of its death."""
    reading, writing = os.pipe()
    began_s = clock.monotonic_s()
    if (pid := os.fork()) == 0:
        os.close(answers)
        os.close(reading)
        _examine(order, writing, limits)
    os.close(writing)
    answer = _answer(reading, began_s + limits.wall_s)
    os.close(reading)
    with suppress(ProcessLookupError, PermissionError):
        os.killpg(pid, signal.SIGKILL)
    with suppress(ProcessLookupError):
        os.kill(pid, signal.SIGKILL)
    _, status, used = os.wait4(pid, 0)
    if answer:
        return answer
    end = _End(
        os.waitstatus_to_exitcode(status),
        clock.monotonic_s() - began_s,
        used.ru_utime + used.ru_stime,
        used.ru_maxrss * 1024,
    )
    return refused(died(end, limits)).model_dump_json().encode()


class _End(NamedTuple):
    """How a fork ended: its exit code, or the signal below zero."""

    code: int
    took_s: float
    cpu_s: float
    peak_bytes: int


def died(end: _End, limits: Limits) -> Refusal:
    """Which limit an examination ran into."""
    if end.took_s >= limits.wall_s:
        return Refusal(CHECK, f"no outcome after {end.took_s:.1f} s", f"{limits.wall_s} s")
    if end.code == -signal.SIGXCPU or end.cpu_s >= limits.cpu_s:
        found = f"{end.cpu_s:.1f} s of processor time and no outcome"
        return Refusal(CHECK, found, f"{limits.cpu_s} s")
    by = signal.Signals(-end.code).name if end.code < 0 else f"exit code {end.code}"
    found = f"ended by {by} after {end.took_s:.1f} s with {end.peak_bytes} bytes"
    limit = f"an end of its own, {limits.memory_bytes} bytes more than at its beginning"
    return Refusal(CHECK, found, limit)


def _examine(order: bytes, writing: int, limits: Limits) -> None:
    """In the fork, which ends here. What goes wrong in an unexpected way is said as well."""
    code = 1
    try:
        _confine(limits)
        outcome = examined(pickle.loads(order), _resident)  # noqa: S301 - from the process that started us
        _write(writing, outcome.model_dump_json().encode())
        code = 0
    except (MemoryError, OutOfMemoryError):
        _write(writing, refused(_too_large(limits)).model_dump_json().encode())
        code = 0
    finally:
        if code and (error := sys.exc_info()[1]) is not None:
            refusal = Refusal(CHECK, f"{type(error).__name__}: {error}"[:200], "an outcome")
            _write(writing, refused(refusal).model_dump_json().encode())
        os._exit(code)


def _too_large(limits: Limits) -> Refusal:
    found = "more memory was asked for than there may be"
    return Refusal(CHECK, found, f"{limits.memory_bytes} bytes more than at its beginning")


def _confine(limits: Limits) -> None:
    os.setpgid(0, 0)
    with suppress(AttributeError):  # Linux: gone with whoever started us
        _C.prctl(_PR_SET_PDEATHSIG, signal.SIGKILL)
    nothing = os.open(os.devnull, os.O_RDWR)
    for stream in range(3):
        os.dup2(nothing, stream)
    room = _pages()[0] + limits.memory_bytes
    for what, soft, hard in (
        (resource.RLIMIT_AS, room, room),
        (resource.RLIMIT_CPU, limits.cpu_s, limits.cpu_s + 1),
        (resource.RLIMIT_CORE, 0, 0),
        (resource.RLIMIT_NOFILE, MAX_FILES, MAX_FILES),
        (resource.RLIMIT_FSIZE, MAX_FILE_BYTES, MAX_FILE_BYTES),
    ):
        with suppress(ValueError):  # the machine's own limit is lower
            resource.setrlimit(what, (soft, hard))


def _resident() -> int:
    """Bytes in memory that are no file's, once what was freed was given back."""
    with suppress(AttributeError):
        _C.malloc_trim(0)
    _, resident, shared = _pages()
    return resident - shared


def _pages() -> tuple[int, int, int]:
    """Address space, what of it is in memory, and what of that is files; bytes."""
    try:
        words = Path("/proc/self/statm").read_bytes().split()
    except FileNotFoundError:
        return 0, resource.getrusage(resource.RUSAGE_SELF).ru_maxrss, 0
    size, resident, shared = (int(word) * resource.getpagesize() for word in words[:3])
    return size, resident, shared


def _answer(reading: int, until_s: float) -> bytes:
    """What a fork says in time and within bounds; empty = nothing. Ends us when we are left."""
    found = b""
    while (left_s := until_s - clock.monotonic_s()) > 0 and len(found) <= MAX_ANSWER_BYTES:
        ready, _, _ = select.select([reading, sys.stdin.fileno()], [], [], left_s)
        if sys.stdin.fileno() in ready:  # nothing is sent before we answered: it closed
            os._exit(0)
        if reading in ready:
            if not (part := os.read(reading, MAX_ANSWER_BYTES)):
                return found
            found += part
    return b""


def _heard() -> bytes | None:
    """The next order; None when the input closed."""
    source = sys.stdin.buffer
    header = source.read(HEADER.size)
    if len(header) < HEADER.size:
        return None
    length = HEADER.unpack(header)[0]
    order = source.read(length)
    return order if len(order) == length else None


def _say(target: int, frame: bytes) -> None:
    _write(target, HEADER.pack(len(frame)) + frame)


def _write(target: int, data: bytes) -> None:
    while data:
        data = data[os.write(target, data) :]


if __name__ == "__main__":
    main()
