"""The newest rows of every element, kept so that windows of a whole batch come out in one gather.

The state of an element is its newest `depth` rows by event time. A row is forgotten, with or
without a successor, once `memory_bytes` of the partition's input came behind it: that bounds what
a rebuilt state has to read again, and it is measured in input, not in seconds, so that it is the
same in a living stage, after a restart, and at any speed of a replay.

A state rebuilt from the oldest remembered row equals the living one. One case is exempt: a row that
was late or a double because of one that is now forgotten may be in the rebuilt window and not in
the living one, until `depth` further rows of that element came.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from enum import IntEnum
from math import isnan
from typing import Any, Final

import numpy as np
from numpy.lib.stride_tricks import sliding_window_view
from numpy.typing import NDArray

from flyball_ingest.features import NEVER, Flags, Floats, Integers
from flyball_ingest.rows import Row

CHUNK_ROWS: Final = 256
"""Windows gathered at a time, so that what is computed from them stays in the processor's cache."""

MIN_ROOM_ROWS: Final = 32
MAX_ROOM_ROWS: Final = 256
"""As many rows as a window has, within these bounds, fit behind it before the element's rows are
moved to the front."""

Pending = tuple[int, int, int, int, Row]
"""slot, position, offset, entry, row."""


class Outcome(IntEnum):
    """What became of a row that is not simply newer than all of its element."""

    NEWEST = 0
    """Newer than all that is remembered: push it."""
    DOUBLE = 1
    CONTRADICTION = 2
    """A double with other values; the first ones stay."""
    LATE = 3


@dataclass(frozen=True, slots=True)
class Gathered:
    """Rows in the order in which they were pushed, each with its window."""

    windows: Floats  # (n, metrics, depth), the row itself last
    times: Integers  # (n, depth); NEVER = no row
    values: Floats  # (n, all columns of the row, also those that windows do not hold)
    time_ms: Integers  # (n,)
    sequence: Integers  # (n,)
    sample: tuple[int, ...]
    entry: tuple[int, ...]
    quality: NDArray[np.uint8]  # (n,)
    repaired: Flags  # (n,): an earlier row arrived after later ones


def element_bytes(metrics: int, depth: int) -> int:
    """What the windows of one element take."""
    return (metrics + 3) * 8 * _length(depth)


class Windows:
    """Rows of all elements by slot; `element_bytes` each."""

    def __init__(self, metrics: int, depth: int, memory_bytes: int) -> None:
        self.newest_ms: list[int] = []
        self._newest_offset: list[int] = []
        self._end: list[int] = []
        self._metrics, self._depth, self._memory = metrics, depth, memory_bytes
        self._length = _length(depth)
        self._pending: list[Pending] = []
        self._settled: list[Gathered] = []
        self._touched: dict[int, Row] = {}  # slots with pending rows, and the newest of them
        self._disordered: set[int] = set()
        self._low_offset = 1 << 62  # of any row; never above the true one
        self._capacity = 0
        self._times = self._sequences = self._offsets = np.empty((0, self._length), np.int64)
        self._values = np.empty((0, metrics, self._length))
        self._allocate(64)

    @property
    def slots(self) -> int:
        """Slots ever used."""
        return len(self._end)

    def add_slot(self) -> int:
        """Room for one more element."""
        if len(self._end) == self._capacity:
            self._allocate(2 * self._capacity)
        self._end.append(self._depth)
        self.newest_ms.append(NEVER)
        self._newest_offset.append(NEVER)
        return len(self._end) - 1

    def push(self, slot: int, rows: Sequence[Row], offset: int, entry: int) -> int:
        """Take rows as long as each is newer than all of its element.

        Returns how many were taken; what follows them is for `place`. `offset` is the input read so
        far, in bytes; `entry` goes through to `Gathered`.
        """
        if self.is_forgotten(self._newest_offset[slot], offset):
            return 0
        newest_ms, position, taken = self.newest_ms[slot], self._end[slot], 0
        for row in rows:
            if row[0] <= newest_ms:
                break
            if position == self._length:
                self._settle()
                self._move_to_front()
                position = self._end[slot]
            self._pending.append((slot, position, offset, entry, row))
            newest_ms = row[0]
            taken += 1
            self._end[slot] = position = position + 1
        if taken:
            self.newest_ms[slot], self._newest_offset[slot] = newest_ms, offset
            self._touched[slot] = rows[taken - 1]
        return taken

    def is_forgotten(self, row_offset: int, offset: int) -> bool:
        """Whether a row read at `row_offset` counts no more at `offset`; both in input bytes."""
        return NEVER < row_offset <= offset - self._memory

    def place(self, slot: int, row: Row, offset: int, lateness_ms: int) -> Outcome:
        """Judge a row that `push` refused; a late one within `lateness_ms` goes into the window."""
        time_ms, twin = row.time_ms, self._touched.get(slot)
        if twin is not None:
            remembered = not self.is_forgotten(self._newest_offset[slot], offset)
            if twin.time_ms == time_ms and remembered:  # the usual double, right behind its first
                return self.compare(twin.values, row.values)
            self._settle()
        times, kept = self._alive(slot, offset)
        if not kept.size or time_ms > times[-1]:
            self._rewrite(slot, kept)
            return Outcome.NEWEST
        if time_ms in times:
            same = self._values[slot, :, kept[np.searchsorted(times, time_ms)]]
            return self.compare(same.tolist(), row.values)
        if time_ms >= times[-1] - lateness_ms and (kept.size < self._depth or time_ms > times[0]):
            self._insert(slot, kept, row, offset)
        return Outcome.LATE

    def compare(self, first: Sequence[float], second: Sequence[float]) -> Outcome:
        """What a row is whose element has one of the same time: metrics of windows decide."""
        pairs = zip(first[: self._metrics], second[: self._metrics], strict=True)
        same = all(a == b or (isnan(a) and isnan(b)) for a, b in pairs)
        return Outcome.DOUBLE if same else Outcome.CONTRADICTION

    def newest_at(self, slot: int, offset: int) -> int:
        """Newest time that an element's rows were pushed with; NEVER = none is remembered."""
        forgotten = self.is_forgotten(self._newest_offset[slot], offset)
        return NEVER if forgotten else self.newest_ms[slot]

    def drain(self) -> Iterator[Gathered]:
        """All rows pushed since the last drain, a chunk at a time."""
        settled, self._settled = self._settled, []
        yield from settled
        yield from self._gather()

    def sweep(self, offset: int) -> tuple[Integers, Flags]:
        """Drop what is forgotten; the oldest sequence of each slot, and which slots hold rows."""
        self._settle()
        slots = np.arange(self.slots)
        at = np.array(self._end, np.int64)[:, None] - self._depth + np.arange(self._depth)
        times, offsets = self._times[slots[:, None], at], self._offsets[slots[:, None], at]
        alive = (times != NEVER) & (offsets > offset - self._memory)
        self._times[slots[:, None], at] = np.where(alive, times, NEVER)
        self._low_offset = int(offsets[alive].min(initial=1 << 62))
        sequences = np.where(alive, self._sequences[slots[:, None], at], 1 << 62)
        for slot in np.flatnonzero(~alive[:, -1]).tolist():
            self._rewrite(slot, at[slot][alive[slot]])  # so that the newest row stands last
        return sequences.min(1, initial=1 << 62), alive.any(1)

    def dump(self) -> dict[str, Any]:
        """The state as plain values and little-endian arrays; nothing may be pending."""
        at = np.array(self._end, np.int64)[:, None] - self._depth + np.arange(self._depth)
        slots = np.arange(self.slots)[:, None]
        return {
            "times": self._times[slots, at].tobytes(),
            "sequences": self._sequences[slots, at].tobytes(),
            "offsets": self._offsets[slots, at].tobytes(),
            "values": np.swapaxes(self._values[slots, :, at], 1, 2).tobytes(),
            "disordered": sorted(self._disordered),
        }

    def load(self, state: dict[str, Any], slots: int) -> None:
        """Become what `dump` gave of so many slots."""
        shape = (slots, self._depth)
        while self._capacity < slots:
            self._allocate(2 * self._capacity)
        front = (slice(0, slots), slice(0, self._depth))
        self._times[front] = np.frombuffer(state["times"], np.int64).reshape(shape)
        self._sequences[front] = np.frombuffer(state["sequences"], np.int64).reshape(shape)
        self._offsets[front] = np.frombuffer(state["offsets"], np.int64).reshape(shape)
        self._values[:slots, :, : self._depth] = np.frombuffer(state["values"], np.float64).reshape(
            slots, self._metrics, self._depth
        )
        self._end = [self._depth] * slots
        newest = self._times[:slots, self._depth - 1]
        self.newest_ms = newest.tolist()
        offsets = self._offsets[:slots, self._depth - 1]
        self._newest_offset = np.where(newest == NEVER, NEVER, offsets).tolist()
        self._disordered = set(state["disordered"])
        held = self._offsets[front][self._times[front] != NEVER]
        self._low_offset = int(held.min(initial=1 << 62))

    def _allocate(self, capacity: int) -> None:
        """Grow by doubling; the windows are views that slide over each element's rows."""
        old, shape = self._capacity, (capacity, self._length)
        times, sequences = np.full(shape, NEVER, np.int64), np.zeros(shape, np.int64)
        offsets, values = np.zeros(shape, np.int64), np.zeros((capacity, *self._values.shape[1:]))
        times[:old], sequences[:old] = self._times, self._sequences
        offsets[:old], values[:old] = self._offsets, self._values
        self._times, self._sequences = times, sequences
        self._offsets, self._values = offsets, values
        self._time_windows = sliding_window_view(times, self._depth, 1)
        self._sequence_windows = sliding_window_view(sequences, self._depth, 1)
        self._offset_windows = sliding_window_view(offsets, self._depth, 1)
        self._value_windows = sliding_window_view(values, self._depth, 2)
        self._capacity = capacity

    def _settle(self) -> None:
        """Gather the windows of pending rows now, because what they look at is about to change."""
        self._settled.extend(self._gather())

    def _gather(self) -> Iterator[Gathered]:
        """Write the pending rows into the arrays and gather their windows."""
        if not self._pending:
            return
        slot, position, offset, entry, pushed = zip(*self._pending, strict=True)
        time, sequence, sample, quality, values = zip(*pushed, strict=True)
        self._pending = []
        self._touched.clear()
        slots, positions = np.array(slot), np.array(position)
        times_ms, sequences = np.array(time, np.int64), np.array(sequence, np.int64)
        offsets, rows = np.array(offset, np.int64), np.array(values, np.float64)
        self._times[slots, positions] = times_ms
        self._sequences[slots, positions] = sequences
        self._offsets[slots, positions] = offsets
        self._values[slots, :, positions] = rows[:, : self._metrics]
        self._low_offset = min(self._low_offset, offset[0])
        first, marks = positions - self._depth + 1, np.array(quality, np.uint8)
        for start in range(0, len(slots), CHUNK_ROWS):
            chunk = slice(start, start + CHUNK_ROWS)
            yield Gathered(
                self._value_windows[slots[chunk], :, first[chunk]],
                self._remembered(slots[chunk], first[chunk], offsets[chunk]),
                rows[chunk],
                times_ms[chunk],
                sequences[chunk],
                sample[chunk],
                entry[chunk],
                marks[chunk],
                self._repaired(slots[chunk], first[chunk]),
            )

    def _remembered(self, slots: Integers, first: Integers, offsets: Integers) -> Integers:
        times: Integers = self._time_windows[slots, first]
        if self._low_offset > int(offsets[-1]) - self._memory:
            return times  # nothing is old enough to be forgotten
        forgotten = self._offset_windows[slots, first] <= offsets[:, None] - self._memory
        return np.where(forgotten, NEVER, times)

    def _repaired(self, slots: Integers, first: Integers) -> Flags:
        if not self._disordered:
            return np.zeros(len(slots), np.bool_)
        sequences = self._sequence_windows[slots, first]
        held = self._time_windows[slots, first] != NEVER
        back = (sequences[:, 1:] < sequences[:, :-1]) & held[:, :-1]
        repaired: Flags = back.any(1)
        return repaired

    def _move_to_front(self) -> None:
        """Make room behind every window that has little left."""
        ends = np.array(self._end, np.int64)
        slots = np.flatnonzero(ends > (self._depth + self._length) // 2)
        at = ends[slots, None] - self._depth + np.arange(self._depth)
        for array in (self._times, self._sequences, self._offsets):
            array[slots, : self._depth] = array[slots[:, None], at]
        first = ends[slots] - self._depth
        self._values[slots, :, : self._depth] = self._value_windows[slots, :, first]
        for slot in slots.tolist():
            self._end[slot] = self._depth

    def _alive(self, slot: int, offset: int) -> tuple[Integers, Integers]:
        """Times and positions of an element's remembered rows, in order of time."""
        end = self._end[slot]
        region = slice(end - self._depth, end)
        times = self._times[slot, region]
        alive = (times != NEVER) & (self._offsets[slot, region] > offset - self._memory)
        return times[alive], np.flatnonzero(alive) + region.start

    def _rewrite(self, slot: int, kept: Integers) -> None:
        """Keep only the rows at these positions, packed against the end."""
        end = self._end[slot]
        for array in (self._times, self._sequences, self._offsets):
            array[slot, end - kept.size : end] = array[slot, kept]
        self._values[slot, :, end - kept.size : end] = self._values[slot][:, kept]
        self._times[slot, end - self._depth : end - kept.size] = NEVER
        newest = self._times[slot, end - 1]
        if not kept.size:
            self._disordered.discard(slot)
        self.newest_ms[slot] = int(newest)
        self._newest_offset[slot] = NEVER if newest == NEVER else int(self._offsets[slot, end - 1])

    def _insert(self, slot: int, kept: Integers, row: Row, offset: int) -> None:
        """Put a row between those kept; the oldest goes when there is no room."""
        kept = kept[-(self._depth - 1) :] if kept.size == self._depth else kept
        self._rewrite(slot, kept)
        end = self._end[slot]
        region = slice(end - self._depth, end)
        place = end - int((self._times[slot, region] > row.time_ms).sum()) - 1
        for array, value in (
            (self._times, row.time_ms),
            (self._sequences, row.sequence),
            (self._offsets, offset),
        ):
            array[slot, region.start : place] = array[slot, region.start + 1 : place + 1]
            array[slot, place] = value
        held = self._values[slot]
        held[:, region.start : place] = held[:, region.start + 1 : place + 1].copy()
        held[:, place] = row.values[: self._metrics]
        self._low_offset = min(self._low_offset, offset)
        self._disordered.add(slot)


def _length(depth: int) -> int:
    return depth + min(max(depth, MIN_ROOM_ROWS), MAX_ROOM_ROWS)
