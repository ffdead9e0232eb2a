"""What the stack is made of: a part is one child process with a name, a log and a way to be ready.

Call `spawn` and `start` from a thread that lives as long as the part should: Linux ties the child's
life to the thread that started it, so that a killed parent leaves no orphans.
"""

import asyncio
import os
import signal
import time
from pathlib import Path
from typing import Final

from flyball_kit.errors import TransientError
from flyball_local.embedded.processes import (
    STOP_TIMEOUT_S,
    Child,
    exit_code,
    kill_process,
    start_process,
    stop_process,
)

READY_TIMEOUT_S: Final = 60.0
POLL_S: Final = 0.01


class PartError(TransientError):
    """A part did not come up; the message carries the end of its log."""


class Part:
    """One child process. It can be started again after `stop` or `kill`."""

    name: str

    def __init__(self, name: str, log: Path) -> None:
        self.name = name
        self.log = log
        self._child: Child | None = None

    @property
    def pid(self) -> int | None:
        """Pid of the running process, None when it does not run."""
        return self._child.pid if self._child and self.exit_code is None else None

    @property
    def exit_code(self) -> int | None:
        """How the last run ended; negative is a signal, None while it runs or before it ran."""
        return exit_code(self._child) if self._child else None

    def command(self) -> list[str]:
        """What to execute; may write files that the process reads."""
        raise NotImplementedError

    def variables(self) -> dict[str, str]:
        """Environment beside the inherited one; secrets travel here, command lines are public."""
        return {}

    def answers(self) -> bool:
        """Whether the running process is ready for work. May block for a second."""
        raise NotImplementedError

    def start(self) -> None:
        """Start it and block until it is ready.

        Raises:
            PartError: it exited or was not ready in time; the message ends with its log.
        """
        self.spawn()
        self.wait()

    def spawn(self) -> None:
        """Start it without waiting; follow with `wait` or `await ready()`."""
        if self.pid is None:
            environment = {**os.environ, **self.variables()}
            self._child = start_process(self.command(), log=self.log, env=environment)

    def wait(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Block until it is ready."""
        deadline = time.monotonic() + timeout_s
        while not self._checked(deadline):
            time.sleep(POLL_S)

    async def ready(self, timeout_s: float = READY_TIMEOUT_S) -> None:
        """Wait until it is ready."""
        deadline = time.monotonic() + timeout_s
        while not await asyncio.to_thread(self._checked, deadline):  # noqa: ASYNC110 - no event
            await asyncio.sleep(POLL_S)

    def stop(self, timeout_s: float = STOP_TIMEOUT_S) -> None:
        """End it cleanly, by force after the timeout; harmless when it does not run. Blocks."""
        if self._child:
            stop_process(self._child, timeout_s)

    def kill(self) -> None:
        """SIGKILL, as a power cut would; harmless when it does not run."""
        if self._child:
            kill_process(self._child)

    def freeze(self) -> None:
        """SIGSTOP: alive, holding its connections, and silent."""
        self.signal(signal.SIGSTOP)

    def thaw(self) -> None:
        """SIGCONT after `freeze`."""
        self.signal(signal.SIGCONT)

    def signal(self, number: signal.Signals) -> None:
        """Send it a signal; harmless when it does not run."""
        if self.pid is not None and self._child:
            self._child.send_signal(number)

    def tail(self, lines: int = 8) -> str:
        """The end of its log."""
        text = self.log.read_text(errors="replace") if self.log.exists() else ""
        return "\n".join(text.splitlines()[-lines:])

    def _checked(self, deadline: float) -> bool:
        if self.pid is None:
            raise self._failure(f"exited with {self.exit_code} before it was ready")
        if self.answers():
            return True
        if time.monotonic() > deadline:
            self.kill()
            raise self._failure("was not ready in time")
        return False

    def _failure(self, what: str) -> PartError:
        return PartError(f"{self.name} {what}; the end of {self.log}:\n{self.tail()}")
