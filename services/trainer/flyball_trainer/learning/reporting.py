"""Keeps KV `progress` up to date. Nothing waits for it; what cannot be written is written later."""

import asyncio
import logging
from collections.abc import Callable, Sequence
from contextlib import suppress
from typing import Final

from flyball_kit import clock
from flyball_kit.errors import TransientError
from flyball_kit.kv import Kv
from flyball_proto.progress import TrainerProgress
from flyball_trainer.learning.steps import Steps

log = logging.getLogger("flyball.trainer.reporting")

EVERY_S: Final = 1.0
"""Least time between two writes of a trainer whose state did not change."""


class Reporting:
    """The progress of one pipeline's trainers, one record each; this process alone writes them.

    Records are written as bytes, so that one of another version is replaced and not read.
    """

    def __init__(self, records: Kv[bytes], pipeline: str) -> None:
        self._records, self._pipeline = records, pipeline
        self._revisions: dict[str, int] | None = None
        self._written: dict[str, TrainerProgress] = {}
        self._written_s: dict[str, float] = {}
        self._is_away = False

    async def keep_for_ever(
        self, progress: Callable[[], Sequence[TrainerProgress]], steps: Steps
    ) -> None:
        """Write what changed: once a second, and at once when a state did."""
        while True:
            await steps.moved.wait()
            steps.moved.clear()
            steps.turned.clear()
            if not await self._written_all(progress()):
                steps.moved.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):
                    await steps.turned.wait()

    async def _written_all(self, found: Sequence[TrainerProgress]) -> bool:
        """Whether nothing is left to be written later."""
        try:
            done = await self._write(found)
        except TransientError as error:
            if not self._is_away:
                log.info("progress of %s is written later: %s", self._pipeline, error)
            self._is_away, self._revisions = True, None
            return False
        self._is_away = False
        return done

    async def _write(self, found: Sequence[TrainerProgress]) -> bool:
        """Write what is due; whether that is all."""
        if self._revisions is None:
            self._revisions = await self._known()
            self._written.clear()
        await self._forget({self._key(one.trainer) for one in found})
        done = True
        for one in found:
            before = self._written.get(one.trainer)
            if before is not None and one == before.model_copy(update={"at": one.at}):
                continue
            now_s = clock.monotonic_s()
            same_state = before is not None and before.state == one.state
            if same_state and now_s - self._written_s.get(one.trainer, -EVERY_S) < EVERY_S:
                done = False
                continue
            await self._save(one, self._revisions)
            self._written[one.trainer], self._written_s[one.trainer] = one, now_s
        return done

    async def _save(self, one: TrainerProgress, revisions: dict[str, int]) -> None:
        key = self._key(one.trainer)
        if key not in revisions:  # never written, or deleted
            _, revisions[key] = await self._records.load(key)
        data = one.model_dump_json().encode()
        revisions[key] = await self._records.save(key, data, revision=revisions[key])

    async def _forget(self, wanted: set[str]) -> None:
        """Delete records of trainers that are not in the specification any more."""
        revisions = self._revisions or {}
        if not wanted:  # nothing is known yet
            return
        for key in [key for key in revisions if key not in wanted]:
            with suppress(TransientError):  # tried again at the next start
                await self._records.delete(key, revision=revisions[key])
            del revisions[key]
            self._written.pop(key.removeprefix(f"{self._pipeline}."), None)

    async def _known(self) -> dict[str, int]:
        items = await self._records.items(f"{self._pipeline}.")
        return {key: revision for key, (_, revision) in items.items()}

    def _key(self, trainer: str) -> str:
        return f"{self._pipeline}.{trainer}"
