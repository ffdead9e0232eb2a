"""Keeps parts running: starts them, restarts what dies, says so, and leaves nothing behind.

What happens after an exit is decided by `after_exit`; the rest only carries it out.
"""

import asyncio
import contextlib
import signal
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Final

from flyball_kit.errors import PermanentError
from flyball_local.embedded.parts import Part, PartError
from flyball_local.embedded.processes import trim_log

Say = Callable[[str], None]
"""Receives one line for people."""

BAD_SETTINGS, FENCED, INPUT_LOST = 2, 3, 4
"""Exit codes of a service that mean something, see `flyball_kit.run`."""

FIRST_DELAY_S: Final = 0.2
MAX_DELAY_S: Final = 30.0
FENCED_DELAY_S: Final = 10.0
"""A fenced service waits until the instance that fenced it has surely claimed its output."""
STABLE_S: Final = 60.0
"""After running this long, earlier failures are forgotten."""
CRASH_LOOP: Final = 5
POLL_S: Final = 0.1
TRIM_S: Final = 10.0


class State(StrEnum):
    """Where a part is; FAILED ones stay down until a person starts them."""

    STARTING = "starting"
    READY = "ready"
    WAITING = "waiting"
    FAILED = "failed"
    STOPPED = "stopped"


@dataclass(frozen=True, slots=True)
class AfterExit:
    """Wait so long and start again; None keeps the part down."""

    delay_s: float | None
    reason: str


def after_exit(code: int, failures: int) -> AfterExit:
    """What to do about a part that ended by itself.

    Args:
        code: how it ended, negative for a signal.
        failures: in a row, this one included.
    """
    if code == INPUT_LOST:
        return AfterExit(None, "lost input that it had not read; its log says how much")
    if code == BAD_SETTINGS:
        return AfterExit(None, "cannot use its settings; its log names the variable")
    backoff_s = min(FIRST_DELAY_S * 2 ** (failures - 1), MAX_DELAY_S)
    if code == FENCED:
        reason = "was fenced: another instance writes its output"
        return AfterExit(max(FENCED_DELAY_S, backoff_s), reason)
    how = f"was killed by {_signal_name(-code)}" if code < 0 else f"ended with exit code {code}"
    if failures >= CRASH_LOOP:
        how += f", the {failures}th time in a row: a crash loop"
    return AfterExit(backoff_s, how)


@dataclass(eq=False)
class _Watched:
    part: Part
    state: State = State.STARTING
    failures: int = 0
    task: asyncio.Task[None] | None = None
    settled: asyncio.Event = field(default_factory=asyncio.Event)
    """Set while the part is ready, failed or stopped; clear while somebody should wait for it."""
    error: Exception | None = None
    """Why its very first start failed."""


class Supervisor:
    """Runs parts. `changed` is called after each change of a pid or a state."""

    def __init__(self, say: Say, changed: Callable[[], None] = lambda: None) -> None:
        self._say = say
        self._changed = changed
        self._watched: dict[str, _Watched] = {}
        self._trimmer: asyncio.Task[None] | None = None
        self._change = asyncio.Event()

    @property
    def states(self) -> dict[str, State]:
        """Where each part is."""
        return {name: watched.state for name, watched in self._watched.items()}

    @property
    def pids(self) -> dict[str, int]:
        """Pids of the parts that run."""
        return {n: pid for n, w in self._watched.items() if (pid := w.part.pid) is not None}

    async def start(self, parts: Sequence[Part]) -> None:
        """Start parts side by side and wait until each is ready.

        Raises:
            PartError: one did not come up; those that did keep running until `stop`.
        """
        if self._trimmer is None:
            self._trimmer = asyncio.create_task(self._trim_logs())
        for part in parts:
            watched = self._watched[part.name] = _Watched(part)
            self._watch(watched)
        await self.wait_ready()
        for part in parts:
            if error := self._watched[part.name].error:
                raise error

    async def stop(self) -> None:
        """Stop every part, last started first; what does not go in ten seconds is killed."""
        if self._trimmer:
            await _cancel(self._trimmer)
            self._trimmer = None
        for name in reversed(self._watched):
            await self.stop_part(name)

    async def wait_ready(self) -> None:
        """Wait until no part is starting or about to be restarted."""
        while waiting := [w for w in self._watched.values() if not w.settled.is_set()]:
            await asyncio.gather(*(watched.settled.wait() for watched in waiting))

    async def wait_for(self, name: str, state: State) -> None:
        """Wait until a part is in a state; returns at once when it is."""
        while self._watched[name].state is not state:
            await self._change.wait()

    async def stop_part(self, name: str) -> None:
        """Stop one part and keep it down."""
        watched = self._watched[name]
        if watched.task:
            await _cancel(watched.task)
        await asyncio.to_thread(watched.part.stop)
        self._enter(watched, State.STOPPED)

    async def start_part(self, name: str) -> None:
        """Start a part that was stopped or has failed, and wait until it is ready."""
        watched = self._watched[name]
        if watched.state in (State.STOPPED, State.FAILED):
            watched.failures, watched.error = 0, None
            self._watch(watched)
        await watched.settled.wait()
        if watched.error:
            raise watched.error

    def kill(self, name: str) -> None:
        """SIGKILL one part; it is noticed and restarted like any death."""
        watched = self._watched[name]
        if watched.state is State.READY:
            watched.settled.clear()
        watched.part.kill()

    def _watch(self, watched: _Watched) -> None:
        self._enter(watched, State.STARTING)
        watched.task = asyncio.create_task(self._keep(watched), name=f"keep {watched.part.name}")

    async def _keep(self, watched: _Watched) -> None:
        """Start the part, wait for its end, decide, repeat."""
        part, first = watched.part, True
        while True:
            began_s = time.monotonic()
            try:
                part.spawn()
                await part.ready()
            except (PartError, PermanentError, OSError) as error:
                if first and part.exit_code not in (FENCED, INPUT_LOST):
                    watched.error = error
                    self._enter(watched, State.FAILED)
                    return
                self._say(str(error))
            else:
                again = "" if first else " again"
                self._say(f"{part.name} ready{again} in {time.monotonic() - began_s:.2f} s")
                self._enter(watched, State.READY)
                await _ended(part)
            first = False
            lived_long = time.monotonic() - began_s > STABLE_S
            watched.failures = 1 if lived_long else watched.failures + 1
            if not await self._restarts(watched):
                return

    async def _restarts(self, watched: _Watched) -> bool:
        name, code = watched.part.name, watched.part.exit_code
        verdict = after_exit(1 if code is None else code, watched.failures)
        if verdict.delay_s is None:
            self._say(f"{name} {verdict.reason}; it stays down. Log: {watched.part.log}")
            self._enter(watched, State.FAILED)
            return False
        self._say(
            f"{name} {verdict.reason}; attempt {watched.failures + 1} in {verdict.delay_s:.1f} s"
        )
        self._enter(watched, State.WAITING)
        await asyncio.sleep(verdict.delay_s)
        self._enter(watched, State.STARTING)
        return True

    def _enter(self, watched: _Watched, state: State) -> None:
        watched.state = state
        if state in (State.STARTING, State.WAITING):
            watched.settled.clear()
        else:
            watched.settled.set()
        self._change.set()
        self._change = asyncio.Event()
        self._changed()

    async def _trim_logs(self) -> None:
        while True:
            await asyncio.sleep(TRIM_S)
            for watched in self._watched.values():
                await asyncio.to_thread(trim_log, watched.part.log)


async def _ended(part: Part) -> None:
    while part.pid is not None:  # noqa: ASYNC110 - portable: not every kernel has pidfds
        await asyncio.sleep(POLL_S)


async def _cancel(task: asyncio.Task[None]) -> None:
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task


def _signal_name(number: int) -> str:
    try:
        return signal.Signals(number).name
    except ValueError:
        return f"signal {number}"
