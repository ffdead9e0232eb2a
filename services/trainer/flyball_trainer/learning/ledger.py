"""Which messages of SAMPLES a restart would need again: those of the window, and the newest mark.

At most `max_bytes` of a partition are held; beyond that the oldest are let go, and a restart then
begins with less.
"""

from collections import deque
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Entry:
    """A message that was read; `newest_ms` is the newest event time of its rows."""

    sequence: int
    size_bytes: int
    newest_ms: int


class Ledger:
    """Messages of one partition that the window rests on, oldest first; about 100 bytes each."""

    def __init__(self, max_bytes: int) -> None:
        self._max_bytes = max_bytes
        self._entries: deque[Entry] = deque()
        self._bytes = 0
        self._marked: int | None = None
        self._next = 0

    def note(self, entry: Entry) -> None:
        """A message with rows was read."""
        self._entries.append(entry)
        self._bytes += entry.size_bytes
        self.passed(entry.sequence)
        while self._bytes > self._max_bytes and len(self._entries) > 1:
            self._bytes -= self._entries.popleft().size_bytes

    def passed(self, sequence: int) -> None:
        """A message was read, whatever it holds."""
        self._next = max(self._next, sequence + 1)

    def mark(self, sequence: int | None) -> None:
        """The message of the newest mark, from which a restart knows lockstep; None = it ended."""
        self._marked = sequence

    def forget_before(self, time_ms: int) -> None:
        """Rows older than this are in nobody's window."""
        while self._entries and self._entries[0].newest_ms < time_ms:
            self._bytes -= self._entries.popleft().size_bytes

    def needed(self, held: int | None = None) -> int:
        """The oldest sequence that is needed; 0 = nothing is known. `held` waits to be taken."""
        candidates = [self._next, self._marked, held]
        if self._entries:
            candidates.append(self._entries[0].sequence)
        return min(sequence for sequence in candidates if sequence is not None)
