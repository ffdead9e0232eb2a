"""A gate that sends pass one by one, and that a person can close at once.

Closing waits for the sends under way, which are carried to their end: a send whose answer got lost
may still be stored later, so it cannot be called off.
"""

import asyncio


class Gate:
    """Open under a control revision, or closed.

    What was decided under an older revision does not pass any more, however often the gate opens
    again: a stop ends what was decided before it for good.
    """

    def __init__(self) -> None:
        self._revision, self._is_open = 0, True
        self._under_way = 0
        self._idle = asyncio.Event()
        self._idle.set()

    @property
    def is_open(self) -> bool:
        """Whether anything may pass."""
        return self._is_open

    def bars(self, revision: int) -> bool:
        """Whether what was decided under `revision` may not pass now."""
        return not self._is_open or revision < self._revision

    def enter(self, revision: int) -> bool:
        """Begin a send, to be ended by `leave`; False = it may not begin."""
        if self.bars(revision):
            return False
        self._under_way += 1
        self._idle.clear()
        return True

    def leave(self) -> None:
        """A send ended."""
        self._under_way -= 1
        if not self._under_way:
            self._idle.set()

    async def close(self) -> None:
        """Let nothing begin any more; returns when what was under way has ended."""
        self._is_open = False
        await self._idle.wait()

    def set(self, revision: int, *, is_open: bool) -> None:
        """Take over a newer revision; one that is known already changes nothing.

        So a record that is heard of late does not open a gate that was closed meanwhile.
        """
        if revision > self._revision:
            self._revision, self._is_open = revision, is_open

    def open(self, revision: int) -> None:
        """Open under the newest revision, also when a closing was given up half-way."""
        if revision >= self._revision:
            self._revision, self._is_open = revision, True
