"""Wakes everybody who waits for a change, however many they are and whatever it is."""

import asyncio


class Bell:
    """A change that many wait for. All who wait share one future; nothing is queued."""

    def __init__(self) -> None:
        self._next: asyncio.Future[None] | None = None

    def ring(self) -> None:
        """Wake everybody who waits now."""
        rung, self._next = self._next, None
        if rung is not None and not rung.done():
            rung.set_result(None)

    def next(self) -> "asyncio.Future[None]":
        """Done at the next ring. Take it first, then look at what may have changed, then wait."""
        if self._next is None:
            self._next = asyncio.get_running_loop().create_future()
        return self._next

    async def wait(self, timeout_s: float) -> bool:
        """Return once it rings, or False after so many seconds."""
        done, _ = await asyncio.wait({self.next()}, timeout=timeout_s)
        return bool(done)
