"""The registry's side of the examiner: one process, kept warm, replaced when it dies or dawdles."""

import asyncio
import logging
import pickle
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from typing import Final

from pydantic import ValidationError

from flyball_kit.errors import PermanentError, TransientError
from flyball_registry.admission.claims import Refusal, Signers
from flyball_registry.admission.frames import (
    CHECK,
    HEADER,
    MAX_ANSWER_BYTES,
    Limits,
    Order,
    Outcome,
    refused,
)

log = logging.getLogger("flyball.registry.examiner")

START_TIMEOUT_S: Final = 120.0
"""Importing the libraries may take that long on a busy machine."""
GRACE_S: Final = 10.0
"""An examiner that is silent for so long after an examination's time is up is ended, too."""
ATTEMPTS: Final = 2
"""A model that an examiner died over so often is refused."""

_ENVIRONMENT: Final = {
    "MALLOC_ARENA_MAX": "1",
    "OMP_NUM_THREADS": "1",
    "OPENBLAS_NUM_THREADS": "1",
}


class ExaminerLostError(PermanentError):
    """The examiner died in the middle of an examination."""

    kind = "examiner-lost"


class Examiner:
    """Examines one model at a time. A `tasks.Runner`: it warms up at once, stopping ends it."""

    def __init__(self, limits: Limits, signers: Signers) -> None:
        self.signers, self._limits = signers, limits
        self._turn, self._ended = asyncio.Lock(), asyncio.Event()
        self._process: Process | None = None

    @property
    def pid(self) -> int | None:
        """Of the process, while there is one."""
        return None if self._process is None else self._process.pid

    async def run(self) -> None:
        """Have a process at hand until stopped; if none starts, the first examination tells."""
        with suppress(TransientError):
            async with self._turn:
                await self._started()
        await self._ended.wait()

    async def stop(self) -> None:
        """End the process, also in the middle of an examination."""
        self._ended.set()
        await self._end()

    async def examine(self, order: Order) -> Outcome:
        """What the examination found; its death is a refusal.

        Raises:
            TransientError: no process starts, or the registry stops.
        """
        frame = pickle.dumps(order, pickle.HIGHEST_PROTOCOL)
        for _ in range(ATTEMPTS):
            try:
                async with self._turn:
                    return await self._asked(frame)
            except ExaminerLostError as error:
                if self._ended.is_set():
                    raise TransientError(
                        "the registry stops; the model is examined later"
                    ) from error
                log.warning("the examiner of %s: %s", order.claim.digest[:12], error)
        found = f"the examiner died over it {ATTEMPTS} times"
        return refused(Refusal(CHECK, found, "an examination that ends"))

    async def _asked(self, frame: bytes) -> Outcome:
        process = await self._started()
        answer = None
        try:
            async with asyncio.timeout(self._limits.wall_s + GRACE_S):
                await _send(process, frame)
                answer = await _received(process)
        except TimeoutError as error:
            raise ExaminerLostError(f"silent for {self._limits.wall_s + GRACE_S:g} s") from error
        except (OSError, EOFError) as error:
            raise ExaminerLostError("the process died") from error
        finally:
            if answer is None:
                await self._end()
        try:
            return Outcome.model_validate_json(answer)
        except ValidationError:
            found = f"an outcome of {len(answer)} bytes that is none"
            return refused(Refusal(CHECK, found, "an outcome"))

    async def _started(self) -> Process:
        if self._process is not None and self._process.returncode is None:
            return self._process
        if self._ended.is_set():
            raise TransientError("the registry stops; the model is examined later")
        process = self._process = await asyncio.create_subprocess_exec(
            sys.executable,
            "-I",
            "-m",
            "flyball_registry.admission.examiner",
            *map(str, self._limits),
            *(("signed",) if self.signers.pem else ()),
            stdin=PIPE,
            stdout=PIPE,
            env=_ENVIRONMENT,
        )
        sound = False
        try:
            async with asyncio.timeout(START_TIMEOUT_S):
                await _received(process)
            sound = True
        except (TimeoutError, OSError, EOFError) as error:
            raise TransientError("no examiner starts; the log says why") from error
        finally:
            if not sound:
                await self._end()
        return process

    async def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            with suppress(ProcessLookupError):
                process.kill()
            await process.wait()


async def _send(process: Process, frame: bytes) -> None:
    assert process.stdin is not None, "made with a pipe"  # noqa: S101 - wiring mistake
    process.stdin.write(HEADER.pack(len(frame)))
    process.stdin.write(frame)
    await process.stdin.drain()


async def _received(process: Process) -> bytes:
    """One frame.

    Raises:
        EOFError: it ended, or its frame is longer than an outcome can be.
    """
    assert process.stdout is not None, "made with a pipe"  # noqa: S101 - wiring mistake
    length = HEADER.unpack(await process.stdout.readexactly(HEADER.size))[0]
    if length > MAX_ANSWER_BYTES:
        raise EOFError(f"a frame of {length} bytes")
    return await process.stdout.readexactly(length)
