"""The clock of a partition: the newest event time judged, but no single element can set it far ahead. Pure.

Budgets, groups and holds count by this clock, and what was done at an element is forgotten by it. One
element whose own clock is an hour ahead would empty all budgets at once, and keep the others' rows
from counting until that hour has passed. So a leap of more than `LEAP_MS` waits until the rows after
it leap as well: the next one of another element, or of the same if it is alone, or else rows over
`LEAP_MS`, with nobody's in between from where the clock still is. The clock then follows to the
first of them.

A source with one element whose rows are further apart than a leap has its clock one row late. Two
elements that are wrong alike are believed, and so is the very first row. Ingest refuses rows that are
further ahead of their arrival than `max_future` says, a minute by default, before any of this.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from flyball_proto.columns import I64, Column, Rows
from flyball_risk.judging.recent import MARGIN_MS

LEAP_MS: Final = MARGIN_MS
"""As far as an element may be behind the clock before what was done at it is forgotten."""


@dataclass(frozen=True, slots=True)
class Leap:
    """A row that waits to be confirmed; `is_alone`: the row before it was of the same element."""

    element: str
    time_ms: int
    is_alone: bool


class Clock:
    """Of one partition; the time itself is kept by `Recent`. `last` is the last row's element."""

    def __init__(self) -> None:
        self.leap: Leap | None = None
        self.last = ""

    def along(self, rows: Rows, now_ms: int) -> Column:
        """The clock at each row, i64 (n,), rising from `now_ms` on; 0 = no row was judged yet."""
        if not len(rows):
            return np.empty(0, I64)
        begin_ms = now_ms or int(rows.time_ms[0])
        newest: Column = np.maximum.accumulate(np.maximum(rows.time_ms, begin_ms))
        elements = rows.element_index.tolist()
        if self.leap is None and int(np.diff(newest, prepend=begin_ms).max()) <= LEAP_MS:
            self.last = rows.element[elements[-1]]
            return newest
        clock_ms = begin_ms
        for i, time_ms in enumerate(rows.time_ms.tolist()):
            element = rows.element[elements[i]]
            newest[i] = clock_ms = self._after(clock_ms, element, time_ms)
            self.last = element
        return newest

    def as_json(self) -> list[Any]:
        """Plain values; the same state gives the same."""
        leap = self.leap
        return [self.last, [leap.element, leap.time_ms, leap.is_alone] if leap else None]

    @classmethod
    def from_json(cls, plain: Sequence[Any] | None) -> "Clock":
        """What `as_json` gave; nothing of a state from before leaps were looked at."""
        clock = cls()
        if plain:
            clock.last, leap = plain
            clock.leap = Leap(*leap) if leap else None
        return clock

    def _after(self, clock_ms: int, element: str, time_ms: int) -> int:
        leap = self.leap
        if time_ms <= clock_ms + LEAP_MS:
            self.leap = None
            return max(clock_ms, time_ms)
        if leap is None:
            self.leap = Leap(element, time_ms, self.last in ("", element))
            return clock_ms
        is_other = leap.element != element
        if not (is_other or leap.is_alone or time_ms - leap.time_ms >= LEAP_MS):
            return clock_ms
        agreed_ms = max(clock_ms, min(leap.time_ms, time_ms))
        self.leap = None
        if time_ms > agreed_ms + LEAP_MS:
            self.leap = Leap(element, time_ms, not is_other)
        return agreed_ms
