"""Folds and watches as supervised tasks: started with the service, added and removed while it runs.

A task that fails is not restarted here. The first failure is told (`on_failure`) and ends the
process with the failure's exit code; the supervisor starts it afresh, and a fold resumes at its
position. Nothing is half alive.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final, Protocol

from flyball_kit.errors import PermanentError
from flyball_kit.fold.broker import end

STOP_TIMEOUT_S: Final = 10.0
"""A runner that has not stopped by then is cancelled; its position is safe in its output."""


class Runner(Protocol):
    """A `FoldRunner`, a `Dispatcher`, or anything else that runs until it is told to stop."""

    async def run(self) -> None:
        """Run until stopped."""
        ...

    async def stop(self) -> None:
        """Finish what is under way and return from `run`."""
        ...


class Loop:
    """A plain coroutine function as a runner; stopping cancels it."""

    def __init__(self, body: Callable[[], Awaitable[None]]) -> None:
        self._body = body
        self._task: asyncio.Task[None] | None = None

    async def run(self) -> None:
        """Run the body to its end."""
        self._task = asyncio.ensure_future(self._as_coroutine())
        with suppress(asyncio.CancelledError):
            await self._task

    async def stop(self) -> None:
        """Cancel the body until it has ended: the client library may swallow a cancellation."""
        with suppress(TimeoutError):
            async with asyncio.timeout(STOP_TIMEOUT_S):
                await end(self._task)

    async def _as_coroutine(self) -> None:
        await self._body()


OnFailure = Callable[[str, BaseException], Awaitable[None]]


class Tasks:
    """The running parts of one service, by name; a handful a pipeline."""

    def __init__(self, service: str) -> None:
        self.failure: BaseException | None = None
        self.failed: str | None = None
        self.on_failure: OnFailure | None = None
        self._log = logging.getLogger(f"flyball.{service}.tasks")
        self._runners: dict[str, Runner] = {}
        self._running: dict[str, asyncio.Task[None]] = {}
        self._telling: set[asyncio.Task[None]] = set()
        self.started = False

    @property
    def names(self) -> frozenset[str]:
        """All tasks that were added and not removed."""
        return frozenset(self._runners)

    def add(self, name: str, runner: Runner) -> None:
        """Add a task; it starts now, or with the service.

        Raises:
            PermanentError: the name is taken.
        """
        if name in self._runners:
            raise PermanentError(f"task {name} runs already; remove it first")
        self._runners[name] = runner
        if self.started:
            self._start(name, runner)

    def spawn(self, name: str, body: Callable[[], Awaitable[None]]) -> None:
        """Add a plain coroutine function; it is cancelled to stop it."""
        self.add(name, Loop(body))

    async def remove(self, name: str) -> None:
        """Stop a task and forget it; harmless when there is none."""
        runner = self._runners.pop(name, None)
        task = self._running.pop(name, None)
        if runner is not None and task is not None:
            await self._end(name, runner, task)

    async def start(self) -> None:
        """Start everything that was added."""
        self.started = True
        for name, runner in self._runners.items():
            if name not in self._running:
                self._start(name, runner)

    async def stop(self) -> None:
        """Stop everything at once; what was added can be started again."""
        self.started = False
        running, self._running = self._running, {}
        ends = (self._end(name, self._runners[name], task) for name, task in running.items())
        await asyncio.gather(*ends)
        if self._telling:
            await asyncio.wait(self._telling, timeout=STOP_TIMEOUT_S)

    def check(self) -> str | None:
        """For `Health`: what failed, if anything did."""
        return None if self.failure is None else f"{self.failed}: {self.failure}"

    def _start(self, name: str, runner: Runner) -> None:
        task = asyncio.create_task(runner.run(), name=name)
        self._running[name] = task
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        if task.cancelled() or (error := task.exception()) is None:
            return
        name = task.get_name()
        expected = isinstance(error, PermanentError)
        self._log.error("%s failed: %s", name, error, exc_info=None if expected else error)
        if self.failure is not None:
            return
        self.failed, self.failure = name, error
        if self.on_failure is not None:
            telling = asyncio.ensure_future(self._tell(self.on_failure, name, error))
            self._telling.add(telling)
            telling.add_done_callback(self._telling.discard)

    async def _tell(self, on_failure: OnFailure, name: str, error: BaseException) -> None:
        await on_failure(name, error)

    async def _end(self, name: str, runner: Runner, task: asyncio.Task[None]) -> None:
        if not task.done():
            await runner.stop()
        _, late = await asyncio.wait({task}, timeout=STOP_TIMEOUT_S)
        if late:
            self._log.warning("%s did not stop in %g s; cancelled", name, STOP_TIMEOUT_S)
            task.cancel()
            await asyncio.wait({task})
