"""The runtimes as they announce themselves in KV `runtimes`."""

import asyncio
from contextlib import aclosing
from datetime import datetime
from typing import Final

from flyball_kit.errors import TransientError
from flyball_kit.kv import Kv
from flyball_proto.runtimes import RuntimeState, alive

READ_S: Final = 10.0
"""Nothing new is placed before the bucket was read once; it is tried again after so long."""


class Runtimes:
    """All that are alive, by pipeline. Bound: those of the last minute; the bucket holds an hour's."""

    def __init__(self, runtimes: Kv[RuntimeState]) -> None:
        self._runtimes = runtimes
        self._known: dict[str, RuntimeState] = {}
        self._read = asyncio.Event()

    async def follow(self) -> None:
        """Take over what stands in the bucket, for ever."""
        async with aclosing(self._runtimes.watch(synced=self._read.set)) as changes:
            async for change in changes:
                if change.value is None:
                    self._known.pop(change.key, None)
                    continue
                self._known[change.key] = state = change.value
                stay = alive(self._known.values(), state.at)
                if len(stay) < len(self._known):
                    self._known = {f"{r.instance}.{r.pipeline}": r for r in stay}

    async def of(self, pipeline: str, now: datetime) -> tuple[RuntimeState, ...]:
        """Those of a pipeline that are alive.

        Raises:
            TransientError: the bucket was not read yet.
        """
        try:
            async with asyncio.timeout(READ_S):
                await self._read.wait()
        except TimeoutError:
            raise TransientError(
                "bucket runtimes cannot be read, so nobody knows which form of a model the runtimes "
                "can run; does it exist, and may the deployer read it?"
            ) from None
        here = [r for r in self._known.values() if r.pipeline == pipeline]
        return tuple(alive(here, now))
