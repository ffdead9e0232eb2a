"""Bounded counters: failures an address, and what is recorded once a minute with a count. Pure."""

from collections import OrderedDict, deque
from dataclasses import dataclass, field
from math import ceil
from typing import Final

WINDOW_S: Final = 60.0
MAX_FAILURES: Final = 10
MAX_ADDRESSES: Final = 4096
"""At the bound the address that was longest without a failure is forgotten."""

MAX_KEYS: Final = 4096
"""At the bound the oldest key is forgotten: its next occurrence is told at once."""


@dataclass(slots=True)
class Failures:
    """Failed logins and bad tokens by address, over the last minute."""

    most: int = MAX_FAILURES
    _seen: OrderedDict[str, deque[float]] = field(default_factory=OrderedDict)

    def note(self, address: str, now_s: float) -> int:
        """Count a failure; returns 0, or after how many seconds the next one may come."""
        times = self._seen.setdefault(address, deque(maxlen=self.most))
        self._seen.move_to_end(address)
        if len(self._seen) > MAX_ADDRESSES:
            self._seen.popitem(last=False)
        while times and now_s - times[0] >= WINDOW_S:
            times.popleft()
        if len(times) == self.most:
            return max(1, ceil(WINDOW_S - (now_s - times[0])))
        times.append(now_s)
        return 0


@dataclass(slots=True)
class _Minute:
    began_s: float
    untold: int = 0


@dataclass(slots=True)
class Sparse:
    """Tells the first of a key at once, then at most once a minute how many there were since."""

    _minutes: OrderedDict[str, _Minute] = field(default_factory=OrderedDict)

    def count(self, key: str, now_s: float) -> int | None:
        """How many to tell of, this one included; None = not now, it is counted."""
        minute = self._minutes.get(key)
        if minute is not None and now_s - minute.began_s < WINDOW_S:
            minute.untold += 1
            return None
        told = 1 + (minute.untold if minute else 0)
        self._minutes[key] = _Minute(now_s)
        self._minutes.move_to_end(key)
        if len(self._minutes) > MAX_KEYS:
            self._minutes.popitem(last=False)
        return told
