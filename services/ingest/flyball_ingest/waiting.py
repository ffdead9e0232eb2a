"""Rows that wait for the lateness before they are decided, with `emit: watermark`. Pure.

An element's watermark is its newest time less the lateness: a row at or behind it comes out, in
order of time; one that arrives behind it is late. So any permutation within the lateness gives the
same rows in the same order.
"""

from bisect import bisect_left
from collections import deque
from typing import Any

from flyball_ingest.features import NEVER
from flyball_ingest.rows import Row


class WaitingRoom:
    """At most `max_rows` rows; beyond it the longest-waiting row's element comes out early."""

    def __init__(self, max_rows: int) -> None:
        self._max_rows = max_rows
        self._rows: dict[int, list[Row]] = {}
        self._arrived: deque[tuple[int, int, int]] = deque()  # slot, sequence, time; some are out
        self._total = 0

    def __len__(self) -> int:
        return self._total

    def newest_ms(self, slot: int) -> int:
        """The newest time waiting; NEVER = none."""
        rows = self._rows.get(slot)
        return rows[-1].time_ms if rows else NEVER

    def find(self, slot: int, time_ms: int) -> Row | None:
        """The waiting row of this time."""
        rows = self._rows.get(slot, [])
        at = bisect_left(rows, time_ms, key=_time)
        return rows[at] if at < len(rows) and rows[at].time_ms == time_ms else None

    def add(self, slot: int, row: Row) -> None:
        """Let a row wait; its element has none of the same time."""
        rows = self._rows.setdefault(slot, [])
        rows.insert(bisect_left(rows, row.time_ms, key=_time), row)
        self._arrived.append((slot, row.sequence, row.time_ms))
        self._total += 1

    def release(self, slot: int, until_ms: int) -> list[Row]:
        """The element's rows up to a time, in order; they wait no more."""
        rows = self._rows.get(slot, [])
        count = bisect_left(rows, until_ms + 1, key=_time)
        if not count:
            return []
        out, kept = rows[:count], rows[count:]
        self._total -= count
        if kept:
            self._rows[slot] = kept
        else:
            del self._rows[slot]
        return out

    def surplus(self) -> tuple[int, int] | None:
        """Slot and time up to which to release because the room is too full."""
        oldest = self._oldest()
        return (oldest[0], oldest[2]) if oldest and self._total > self._max_rows else None

    def oldest_sequence(self) -> int | None:
        """The oldest METRICS sequence that waits."""
        oldest = self._oldest()
        return oldest[1] if oldest else None

    def slots(self) -> list[int]:
        """Slots with waiting rows, in order of their names' first wait."""
        return sorted(self._rows)

    def dump(self) -> list[Any]:
        """Rows in order of arrival."""
        found = []
        for slot, sequence, time_ms in self._arrived:
            row = self.find(slot, time_ms)
            if row is not None and row.sequence == sequence:
                found.append((slot, *row))
        return found

    def load(self, state: list[Any]) -> None:
        """Become what `dump` gave."""
        for slot, time_ms, sequence, sample, quality, values in state:
            self.add(slot, Row(time_ms, sequence, sample, quality, tuple(values)))

    def _oldest(self) -> tuple[int, int, int] | None:
        while self._arrived:
            slot, sequence, time_ms = self._arrived[0]
            row = self.find(slot, time_ms)
            if row is not None and row.sequence == sequence:
                return self._arrived[0]
            self._arrived.popleft()
        return None


def _time(row: Row) -> int:
    return row.time_ms
