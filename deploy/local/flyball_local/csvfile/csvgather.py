"""What is remembered of a CSV file while it is read: cells by column, rows by element and time. Pure."""

import math
import zlib
from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flyball_local.csvfile.csvdialect import to_number
from flyball_proto.spec.source import MISSING

MAX_DISTINCT: Final = 64
"""Different texts of a column that are remembered."""
MAX_ODD: Final = 12
"""Different texts of a column of numbers that are taken as signs for a missing value."""
ODD_SHARE: Final = 0.05
GAP_INTERVALS: Final = 10
"""A longer silence of an element is a gap."""
_NAN: Final = math.nan


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `values` has a number a row, NaN = missing; it is empty when cells are text."""

    name: str
    values: NDArray[np.float64]
    missing: int
    distinct: tuple[str, ...]
    """Texts found, the commonest first; `many` = there were more than these."""
    many: bool
    counts: tuple[int, ...]
    odd: tuple[str, ...] = ()
    """Texts in a column of numbers; they say that a value is missing."""
    codes: NDArray[np.int16] = field(default_factory=lambda: np.empty(0, np.int16))
    """A text column's cells as places in `distinct`, one a row; -1 = missing or rarer."""

    @property
    def is_numeric(self) -> bool:
        """Whether cells are finite numbers, or missing."""
        return len(self.values) > self.missing

    @property
    def numbers(self) -> NDArray[np.float64]:
        """Its values without those missing."""
        return self.values[np.isfinite(self.values)]


class Gathered:
    """What was seen of one column so far."""

    def __init__(self, decimal: str) -> None:
        self._decimal = decimal
        self._values = array("d")
        self._missing = self._texts = 0
        self._distinct: Counter[str] = Counter()
        self._odd: Counter[str] = Counter()
        self._ranks: dict[str, int] = {}
        self._codes = array("h")

    def add(self, cell: str) -> None:
        """Count a cell."""
        if cell in MISSING:
            self._missing += 1
            self._values.append(_NAN)
            return
        distinct = self._distinct
        if len(distinct) <= MAX_DISTINCT or cell in distinct:
            distinct[cell] += 1
        number = to_number(cell, self._decimal)
        if number is None:
            self._text(cell)
            number = _NAN
        elif not math.isfinite(number):
            self._missing += 1
            number = _NAN
        self._values.append(number)

    def _text(self, cell: str) -> None:
        self._texts += 1
        if len(self._odd) <= MAX_ODD:
            self._odd[cell] += 1
        if len(self._ranks) <= MAX_DISTINCT:
            self._ranks.setdefault(cell, len(self._ranks))
        self._codes.extend([-1] * (len(self._values) - len(self._codes)))
        self._codes.append(self._ranks.get(cell, -1))

    def column(self, name: str) -> Column:
        """What it is, once all cells are counted."""
        found = self._distinct.most_common()
        many = len(found) > MAX_DISTINCT
        filled = len(self._values) - self._missing
        few = self._texts <= ODD_SHARE * filled and len(self._odd) <= MAX_ODD
        odd = tuple(sorted(self._odd)) if self._texts and few else ()
        numeric = not self._texts or bool(odd)
        found = [(text, count) for text, count in found if text not in odd]
        return Column(
            name,
            np.array(self._values if numeric else (), np.float64),
            self._missing + (self._texts if odd else 0),
            tuple(text for text, _ in found),
            many,
            tuple(count for _, count in found),
            odd,
            np.empty(0, np.int16) if numeric else self._coded([text for text, _ in found]),
        )

    def _coded(self, distinct: Sequence[str]) -> NDArray[np.int16]:
        self._codes.extend([-1] * (len(self._values) - len(self._codes)))
        place = {text: i for i, text in enumerate(distinct)}
        by_rank = np.array([*(place.get(text, -1) for text in self._ranks), -1], np.int16)
        return by_rank[np.array(self._codes, np.int16)]


class Places:
    """Rows by element and time, of the part of the file that is read wholly."""

    def __init__(self) -> None:
        self.newest: dict[str, int] = {}
        self.first_ms, self.last_ms = 1 << 62, 0
        self.structured = 0
        self.late = 0
        """Rows older than their element's newest row before them."""
        self.back = 0
        """Rows older than any row before them."""
        self._elements = array("q")
        self._times = array("q")
        self._digests = array("q")
        self._lateness_ms = array("q")
        self._rank: dict[str, int] = {}

    def add(self, element: str, time_ms: int | None, row: Sequence[str]) -> None:
        """Count a row; one without a time only keeps the arrays aligned."""
        self.structured += 1
        self._elements.append(self._rank.setdefault(element, len(self._rank)))
        self._times.append(-1 if time_ms is None else time_ms)
        self._digests.append(zlib.crc32("\0".join(row).encode(errors="replace")))
        if time_ms is None:
            return
        self.back += time_ms < self.last_ms
        before = self.newest.setdefault(element, time_ms)
        if time_ms < before:
            self.late += 1
            self._lateness_ms.append(before - time_ms)
        else:
            self.newest[element] = time_ms
        self.first_ms, self.last_ms = min(self.first_ms, time_ms), max(self.last_ms, time_ms)

    @cached_property
    def element_index(self) -> NDArray[np.int64]:
        """A number an element, one entry a row."""
        return np.array(self._elements, np.int64)

    @cached_property
    def time_ms(self) -> NDArray[np.int64]:
        """Event times, one entry a row; -1 = unreadable."""
        return np.array(self._times, np.int64)

    @cached_property
    def by_element(self) -> NDArray[np.int64]:
        """Places of rows with a time, ordered by element, then time."""
        order = np.lexsort((self.time_ms, self.element_index))
        return order[self.time_ms[order] >= 0]

    @cached_property
    def _steps_ms(self) -> NDArray[np.int64]:
        """From each row of an element to its next in time; -1 where another element begins."""
        order = self.by_element
        steps = np.diff(self.time_ms[order])
        steps[np.diff(self.element_index[order]) != 0] = -1
        return steps

    @cached_property
    def repeated(self) -> int:
        """Rows with the element and time of another."""
        return int((self._steps_ms == 0).sum())

    @cached_property
    def identical(self) -> int:
        """Of these, those with all cells alike."""
        digests = np.array(self._digests, np.int64)[self.by_element]
        return int(((self._steps_ms == 0) & (np.diff(digests) == 0)).sum())

    @cached_property
    def interval_ms(self) -> int:
        """Median time between two rows of one element; 1 s when no element has two."""
        steps = self._steps_ms[self._steps_ms > 0]
        return _rounded(float(np.median(steps))) if len(steps) else 1_000

    @property
    def usual_lateness_ms(self) -> int:
        """How late 99 of 100 late rows are at most; 0 when none is."""
        late = np.array(self._lateness_ms, np.int64)
        return int(np.quantile(late, 0.99)) if len(late) else 0

    @property
    def gaps(self) -> tuple[int, int]:
        """Silences of an element above ten intervals, and the longest of them in milliseconds."""
        found = self._steps_ms[self._steps_ms > GAP_INTERVALS * self.interval_ms]
        return len(found), int(found.max()) if len(found) else 0


def _rounded(ms: float) -> int:
    """Whole seconds from ten seconds on: clocks jitter, and people read it."""
    return round(ms / 1_000) * 1_000 if ms >= 10_000 else max(1, round(ms))
