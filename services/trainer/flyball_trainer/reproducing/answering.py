"""Answers `cmd.trainer.reproduce`: fetch what there is of a model, have it trained again, compare."""

import asyncio
import logging
import pickle
import sys
from asyncio.subprocess import PIPE, Process
from contextlib import suppress
from typing import Final, cast

from flyball_kit.errors import PermanentError, TransientError
from flyball_proto.bundles import is_digest
from flyball_proto.commands import Reproduce, ReproduceReply, Reproduction
from flyball_proto.events import Manifest
from flyball_proto.spec import BASELINE
from flyball_trainer.seatzero import again as baselines
from flyball_trainer.store import Bundles
from flyball_trainer.training.stored import Stored

log = logging.getLogger("flyball.trainer.reproducing")

MAX_ASKING: Final = 4
"""Requests that are answered at once: one is carried out, others are told that it is."""


class BusyError(TransientError):
    """Another model is being trained again."""

    kind = "busy"


class UnknownModelError(PermanentError):
    """No such model of that pipeline."""

    kind = "not-found"


class NotReproducedError(PermanentError):
    """It could not be trained again here."""

    kind = "unreproducible"

    def __init__(self, message: str, kind: str = "unreproducible") -> None:
        super().__init__(message)
        self.kind = kind


class Reproducing:
    """One at a time, in a process of its own that is given `timeout_s`; trainings go on meanwhile.

    It reads and writes nothing down. A `tasks.Runner`: stopping ends the process.
    """

    def __init__(self, bundles: Bundles, timeout_s: float, scheduler: str = "") -> None:
        self._bundles, self._timeout_s, self._scheduler = bundles, timeout_s, scheduler
        self._under_way: str | None = None
        self._process: Process | None = None
        self._ended = asyncio.Event()

    async def run(self) -> None:
        """Do nothing until stopped: a process starts when one is needed."""
        await self._ended.wait()

    async def stop(self) -> None:
        """End the process, also in the middle of a fit."""
        self._ended.set()
        if self._process is not None:
            await _end(self._process)

    async def reproduce(self, command: Reproduce) -> ReproduceReply:
        """Train a model again and say what came of it.

        Raises:
            BusyError: one is under way.
            UnknownModelError: there is no such model of that pipeline.
            NotReproducedError: it cannot be fitted here, or not in time.
            ObjectMissingError, ObjectRefusedError: the data set is gone or damaged.
        """
        if self._under_way is not None:
            raise BusyError(
                f"model {self._under_way[:12]} is being trained again; one at a time, ask again when "
                "it is done"
            )
        self._under_way = command.digest
        try:
            found = await self._again(await self._manifest(command))
        finally:
            self._under_way = None
        log.info("model %s trained again: same %s", command.digest[:12], found.same)
        return ReproduceReply(ok=True, reproduction=found)

    async def _manifest(self, command: Reproduce) -> Manifest:
        if not is_digest(command.digest):
            raise UnknownModelError(
                f"model {command.digest[:64]!r}: a digest of 64 hex digits is right; see: flyball "
                "models list"
            )
        manifest = await self._bundles.manifest(command.digest)
        if manifest.pipeline != command.pipeline:
            raise UnknownModelError(
                f"model {command.digest[:12]} is of pipeline {manifest.pipeline}, not of "
                f"{command.pipeline}"
            )
        return manifest

    async def _again(self, manifest: Manifest) -> Reproduction:
        if manifest.kind == BASELINE:
            return baselines.again(manifest)
        onnx = await self._bundles.onnx(manifest.digest)
        dataset = await self._bundles.dataset(manifest.dataset_digest)
        return await self._fitted(Stored(manifest, onnx, dataset, self._scheduler))

    async def _fitted(self, stored: Stored) -> Reproduction:
        """What the process answers."""
        self._process = process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "flyball_trainer.reproducing.process", stdin=PIPE, stdout=PIPE
        )
        try:
            async with asyncio.timeout(self._timeout_s):
                said, _ = await process.communicate(pickle.dumps(stored, pickle.HIGHEST_PROTOCOL))
        except TimeoutError as error:
            raise NotReproducedError(
                f"model {stored.manifest.digest[:12]} was not trained again within "
                f"{self._timeout_s:g} s; raise FLYBALL_TRAINER_REPRODUCE_TIMEOUT_S"
            ) from error
        finally:
            await _end(process)
            self._process = None
        if not said:
            raise NotReproducedError("the process died; its last words are in the trainer's log")
        answer = pickle.loads(said)  # noqa: S301 - of our own child
        if isinstance(answer, tuple):
            raise NotReproducedError(answer[1], answer[0])
        return cast("Reproduction", answer)


async def _end(process: Process) -> None:
    with suppress(ProcessLookupError):
        process.kill()
    await process.wait()
