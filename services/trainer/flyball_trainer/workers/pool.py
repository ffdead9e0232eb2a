"""Worker processes: started when they may be needed, kept warm, replaced when they die or dawdle."""

import asyncio
import dataclasses
import logging
import pickle
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, cast

from flyball_kit import clock
from flyball_kit.errors import PermanentError
from flyball_trainer.workers.frames import HEADER, Dataset

if TYPE_CHECKING:
    from flyball_trainer.training.fitting import NotTrained, Order, Trained

log = logging.getLogger("flyball.trainer.workers")

PIPE_BYTES: Final = 4 << 20
"""So much of an answer is read at a time."""

START_TIMEOUT_S: Final = 120.0
"""Importing the libraries may take that long on a busy machine."""


class WorkerLostError(PermanentError):
    """A worker died or took too long over one order."""

    kind = "worker-lost"


class Workers:
    """At most `count` processes; more orders wait for one. A `tasks.Runner`: stopping ends them.

    `delay_s` is asked before each order for how long to wait, to show in tests that nothing
    depends on it. `scheduler` is where a worker asks Dask to fit what is to be fitted there; the
    service itself never talks to it.
    """

    def __init__(
        self,
        count: int,
        timeout_s: float,
        delay_s: Callable[[], float] = lambda: 0.0,
        *,
        scheduler: str = "",
    ) -> None:
        self._timeout_s, self._delay_s, self._scheduler = timeout_s, delay_s, scheduler
        self._free = asyncio.Semaphore(count)
        self._idle: list[Process] = []
        self._all: set[Process] = set()
        self._ended = asyncio.Event()

    @property
    def pids(self) -> frozenset[int]:
        """Of the processes that live."""
        return frozenset(process.pid for process in self._all)

    async def run(self) -> None:
        """Do nothing until stopped: processes start when they are needed."""
        await self._ended.wait()

    async def stop(self) -> None:
        """End every process, also in the middle of an order."""
        self._ended.set()
        await asyncio.gather(*map(self._end, self._all))

    async def warm_up(self) -> None:
        """Have a process at hand; if none starts, the first training tells."""
        async with self._free:
            if not self._all:
                with suppress(WorkerLostError):
                    self._idle.append(await self._started())

    async def train(
        self,
        order: "Order",
        hand_over: Callable[[Dataset], object] = lambda _: None,
        begun: Callable[[], object] = lambda: None,
    ) -> "Trained | NotTrained":
        """Have a worker train; `hand_over` gets the data set while the fit goes on.

        `begun` is called when a worker is free for it.

        Raises:
            WorkerLostError: the worker died, or took longer than `timeout_s`; another one takes its
                place.
        """
        placed = dataclasses.replace(order, scheduler=self._scheduler)
        frame = pickle.dumps(placed, pickle.HIGHEST_PROTOCOL)
        async with self._free:
            begun()
            if delay_s := self._delay_s():
                await clock.sleep(delay_s)
            try:
                return await self._answered(frame, hand_over)
            except WorkerLostError:
                if self._ended.is_set():  # we ended it; whoever waits is being stopped, too
                    await asyncio.Future()
                raise

    async def _answered(
        self, frame: bytes, hand_over: Callable[[Dataset], object]
    ) -> "Trained | NotTrained":
        process = self._idle.pop() if self._idle else await self._started()
        sound = False
        try:
            async with asyncio.timeout(self._timeout_s):
                await _send(process, frame)
                while isinstance(answer := pickle.loads(await _received(process)), Dataset):  # noqa: S301 - of our own child
                    hand_over(answer)
            sound = True
        except TimeoutError as error:
            raise WorkerLostError(f"no model within {self._timeout_s:g} s") from error
        except (OSError, EOFError) as error:
            raise WorkerLostError(
                "the worker process died; its last words are in the log"
            ) from error
        finally:
            if sound and not self._ended.is_set():
                self._idle.append(process)
            else:
                await self._end(process)
        return cast("Trained | NotTrained", answer)

    async def _started(self) -> Process:
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-m",
            "flyball_trainer.workers.worker",
            stdin=PIPE,
            stdout=PIPE,
            limit=PIPE_BYTES,
        )
        self._all.add(process)
        sound = False
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await _received(process)
            sound = True
        except (TimeoutError, OSError, EOFError) as error:
            raise WorkerLostError("a worker process does not start; the log says why") from error
        finally:
            if not sound:
                await self._end(process)
        return process

    async def _end(self, process: Process) -> None:
        with suppress(ProcessLookupError):
            process.kill()
        await process.wait()
        self._all.discard(process)


async def _send(process: Process, frame: bytes) -> None:
    assert process.stdin is not None, "made with a pipe"  # noqa: S101 - wiring mistake
    process.stdin.write(HEADER.pack(len(frame)))
    process.stdin.write(frame)
    await process.stdin.drain()


async def _received(process: Process) -> bytes:
    assert process.stdout is not None, "made with a pipe"  # noqa: S101 - wiring mistake
    header = await process.stdout.readexactly(HEADER.size)
    return await process.stdout.readexactly(HEADER.unpack(header)[0])
