"""How often something happened in the minute up to now, by the clock of a partition. Pure."""

from collections import deque
from collections.abc import Iterable
from typing import Final

MINUTE_S: Final = 60


class Minute:
    """Counts by second; 61 seconds of them, so that no minute is ever cut short."""

    def __init__(self, seconds: Iterable[Iterable[int]] = ()) -> None:
        self._seconds = deque([list(pair) for pair in seconds])  # [second, count], rising
        self._count = sum(count for _, count in self._seconds)

    def add(self, clock_ms: int) -> None:
        """It happened once more; the clock never goes back."""
        second = clock_ms // 1000
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append([second, 0])
            self.count(clock_ms)
        self._seconds[-1][1] += 1
        self._count += 1

    def count(self, clock_ms: int) -> int:
        """How often in the last minute."""
        oldest = clock_ms // 1000 - MINUTE_S
        while self._seconds and self._seconds[0][0] < oldest:
            self._count -= self._seconds.popleft()[1]
        return self._count

    def as_json(self) -> list[list[int]]:
        """What the constructor takes."""
        return [list(pair) for pair in self._seconds]
