"""Says in KV `runtimes` what this process can run and which deployment is in force here."""

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

from flyball_inference.capabilities import Capabilities
from flyball_inference.desk import Standing
from flyball_kit import clock
from flyball_kit.errors import PermanentError, TransientError
from flyball_kit.kv import Kv, LostRaceError
from flyball_proto.runtimes import ANNOUNCED_EVERY_S, RuntimeState

RETRY_S: Final = 1.0

log = logging.getLogger("flyball.inference.announcing")


@dataclass(frozen=True, slots=True)
class _Said:
    standing: Standing
    at_s: float
    revision: int


class Announcing:
    """A runner. Writes a key a pipeline: at once when something changed, else every ten seconds.

    Stopped cleanly it takes its keys away. `standings` gives what is to be said, by pipeline. What
    cannot be written is tried again every second, the newest only.
    """

    def __init__(
        self,
        runtimes: Kv[RuntimeState],
        able: Capabilities,
        standings: Callable[[], Mapping[str, Standing]],
    ) -> None:
        self._runtimes, self._able, self._standings = runtimes, able, standings
        self._said: dict[str, _Said] = {}
        self._woken, self._stopping = asyncio.Event(), False
        self._trouble = ""

    def changed(self) -> None:
        """Something may be in force now that was not."""
        self._woken.set()

    async def run(self) -> None:
        """Announce until stopped."""
        self._stopping = False
        while not self._stopping:
            self._woken.clear()
            wait_s = ANNOUNCED_EVERY_S
            try:
                await self._announce()
                self._trouble = ""
            except (PermanentError, TransientError) as error:
                self._complain(str(error))
                wait_s = RETRY_S
            with suppress(TimeoutError):
                async with asyncio.timeout(wait_s):
                    await self._woken.wait()
        await self._withdraw(list(self._said))

    async def stop(self) -> None:
        """Take the keys away; whoever reads them sees at once that this runtime is gone."""
        self._stopping = True
        self._woken.set()

    async def _announce(self) -> None:
        standings = self._standings()
        for pipeline, standing in standings.items():
            said = self._said.get(pipeline)
            if said is None or said.standing != standing or _is_due(said):
                await self._say(pipeline, standing, said)
        await self._withdraw([pipeline for pipeline in self._said if pipeline not in standings])

    async def _say(self, pipeline: str, standing: Standing, said: _Said | None) -> None:
        able, key = self._able, self._key(pipeline)
        state = RuntimeState(
            instance=able.instance,
            pipeline=pipeline,
            at=clock.utc_now(),
            partitions=able.partitions,
            architecture=able.architecture,
            providers=able.providers,
            precisions=able.precisions,
            memory_mb=able.memory_mb,
            digest=standing.digest,
            precision=standing.precision,
            epoch=standing.epoch,
            wanted_epoch=standing.wanted_epoch,
            trouble=standing.trouble,
        )
        revision = 0 if said is None else said.revision
        try:
            revision = await self._runtimes.save(key, state, revision=revision)
        except LostRaceError:  # an answer was lost, or the key grew too old
            _, revision = await self._runtimes.load(key)
            revision = await self._runtimes.save(key, state, revision=revision)
        self._said[pipeline] = _Said(standing, clock.monotonic_s(), revision)

    async def _withdraw(self, pipelines: list[str]) -> None:
        for pipeline in pipelines:
            said = self._said.pop(pipeline)
            with suppress(PermanentError, TransientError):  # it grows too old by itself
                await self._runtimes.delete(self._key(pipeline), revision=said.revision)

    def _complain(self, reason: str) -> None:
        if reason != self._trouble:
            log.warning("what runs here is not announced, and tried again: %s", reason)
        self._trouble = reason

    def _key(self, pipeline: str) -> str:
        return f"{self._able.instance}.{pipeline}"


def _is_due(said: _Said) -> bool:
    return clock.monotonic_s() - said.at_s >= ANNOUNCED_EVERY_S / 2
