"""Wakes everybody who waits for a change, however many they are and whatever it is."""

import asyncio


class Bell:
    """A change that many wait for. Who waits holds a future; nothing is queued."""

    def __init__(self) -> None:
        self._rung: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """Wake everybody who waits now."""
        rung, self._rung = self._rung, None
        if rung is not None and not rung.done():
            rung.set_result(None)

    async def wait(self, timeout_s: float) -> bool:
        """Return once it rings, or False after so many seconds.

        What changed before the call is not told again: look first, then wait, without an `await`
        in between.
        """
        if self._rung is None:
            self._rung = asyncio.get_running_loop().create_future()
        done, _ = await asyncio.wait({self._rung}, timeout=timeout_s)
        return bool(done)
