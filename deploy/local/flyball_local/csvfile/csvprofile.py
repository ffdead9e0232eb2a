"""What a CSV file holds: its columns, its time, its elements. Read once, from top to bottom.

`newspec` proposes a specification from a `Profile`; nothing here decides what it means. Of a long
file the beginning is read wholly, then every tenth, then every hundredth row.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flyball_local.csvfile.csvdialect import (
    CsvError,
    Dialect,
    element_name,
    open_csv,
    open_rows,
    pick_column,
    sentences,
    sniff,
)
from flyball_local.csvfile.csvgather import MAX_DISTINCT, Column, Gathered, Places
from flyball_local.csvfile.csvplan import Plan
from flyball_local.csvfile.csvtimes import parser, row_time_ms

MAX_CELLS: Final = 4_000_000
"""Cells that are judged; of a longer file these are spread over its beginning."""
MAX_COLUMNS: Final = 10_000
MAX_ROWS: Final = 5_000_000
"""Rows that are looked at; what comes behind is unknown."""
MAX_TIMELESS: Final = 0.5
"""Share of rows without a time beyond which a file is refused."""
PEEKED_ROWS: Final = 500
MAX_PEEKED_CELLS: Final = 200_000

__all__ = ["MAX_DISTINCT", "Column", "CsvError", "Profile", "pick_column", "profile"]


@dataclass(frozen=True, slots=True)
class Profile:
    """A file. Times are Unix milliseconds; the arrays are aligned, one entry a row looked into."""

    path: Path
    dialect: Dialect
    rows: int
    """Rows that were passed; `complete` is False when there are more."""
    complete: bool
    judged: int
    """Rows whose cells were looked into."""
    time: str
    """Empty when the file has none and the row number stands in for it."""
    time_format: str
    time_instead: str | None
    """Another way to read the times: day and month may be swapped."""
    element: str | None
    element_why: str
    places: Places
    columns: Mapping[str, Column]
    """All but time and element, in file order."""
    flawed: int
    """Rows with another number of cells than the first."""
    flawed_line: int
    timeless: int
    """Rows whose time cannot be read."""
    timeless_cell: str

    @property
    def elements(self) -> tuple[str, ...]:
        """Names as they are sent, in order of appearance."""
        return tuple(self.places.newest)

    @property
    def first_ms(self) -> int:
        """The earliest time."""
        return self.places.first_ms

    @property
    def last_ms(self) -> int:
        """The latest time."""
        return self.places.last_ms

    @property
    def interval_ms(self) -> int:
        """The median gap between rows of one element; 1 s when there is none."""
        return self.places.interval_ms

    @property
    def repeated(self) -> int:
        """Rows with the time of the newest row of their element."""
        return self.places.repeated

    def aligned(self, name: str) -> NDArray[np.float64]:
        """Numbers of a column beside `places.element_index` and `places.time_ms`; NaN = missing."""
        return self.columns[name].values[: self.places.structured]


def profile(
    path: Path,
    *,
    time: str | None = None,
    element: str | None = None,
    target: str | None = None,
) -> Profile:
    """Read a CSV or gzipped CSV file.

    Args:
        path: The file.
        time: Column of the event time; found by name and content when None.
        element: Column of the element's name; found when None, else all rows are one's.
        target: A column that is neither, unless they are named.

    Raises:
        CsvError: The file or a column is missing, or it has no rows; names what was found.
    """
    dialect = sniff(path)
    with sentences(path), open_csv(path, dialect.encoding) as lines:
        header, rows = open_rows(lines, dialect)
        if len(header) > MAX_COLUMNS:
            raise CsvError(f"{path}: found {len(header)} columns; valid: at most {MAX_COLUMNS}")
        most = max(20, min(PEEKED_ROWS, MAX_PEEKED_CELLS // len(header)))
        peeked = list(islice(rows, most))
        plan = Plan(path, dialect, header, peeked, target)
        plan.choose(time, element)
        reading = _Reading(plan)
        complete = reading.run(chain(peeked, rows))
        return reading.profile(complete)


class _Reading:
    """One pass over the rows."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        taken = (plan.time, plan.element)
        decimal = plan.dialect.decimal
        self._columns = {n: Gathered(decimal) for n in plan.header if n not in taken}
        self._places = Places()
        self._rows = self._judged = self._flawed = self._flawed_line = self._timeless = 0
        self._timeless_cell = ""
        self._parse = parser(plan.guess.time_format, plan.dialect.decimal)
        self._time_at = plan.header.index(plan.time) if plan.time else None
        self._element_at = None if plan.element is None else plan.header.index(plan.element)

    def run(self, rows: Iterable[list[str]]) -> bool:
        """Read; whether the whole file was."""
        plan, width = self._plan, len(self._plan.header)
        most = max(PEEKED_ROWS, MAX_CELLS // width)
        limits, step = iter(((most // 2, 10), (most * 3 // 4, 100), (most, 0))), 1
        limit, following = next(limits)
        kept = [(plan.header.index(name), column.add) for name, column in self._columns.items()]
        for row in rows:
            if not row:
                continue
            if self._judged >= limit:
                step, (limit, following) = following, next(limits, (limit, 0))
            if self._rows >= MAX_ROWS or not step:
                return False
            self._rows += 1
            if step > 1 and self._rows % step:
                continue
            if len(row) != width:
                self._flawed_line = self._flawed_line or self._rows + plan.dialect.header
                self._flawed += 1
                continue
            self._judged += 1
            if step == 1:
                self._place(row)
            for at, add in kept:
                add(row[at])
        return True

    def _place(self, row: Sequence[str]) -> None:
        """Count a row by element and time."""
        element = "" if self._element_at is None else element_name(row[self._element_at])
        time_ms: int | None = row_time_ms(self._rows - 1)
        if self._time_at is not None:
            try:
                time_ms = self._parse(row[self._time_at])
            except (ValueError, OverflowError):
                self._timeless_cell = self._timeless_cell or row[self._time_at][:64]
                self._timeless += 1
                time_ms = None
        self._places.add(element, time_ms, row)

    def profile(self, complete: bool) -> Profile:
        """What was read.

        Raises:
            CsvError: Most rows have no time.
        """
        plan = self._plan
        if self._timeless > MAX_TIMELESS * self._judged or not self._places.newest:
            why = f"{plan.path}: found {self._timeless} of {self._judged} rows without a time"
            why += f" in column {plan.time!r}, e.g. {self._timeless_cell!r}"
            raise CsvError(f"{why}; valid: {plan.guess.time_format}; name the column with --time")
        return Profile(
            path=plan.path,
            dialect=plan.dialect,
            rows=self._rows,
            complete=complete,
            judged=self._judged,
            time=plan.time,
            time_format=plan.guess.time_format,
            time_instead=plan.guess.instead,
            element=plan.element,
            element_why=plan.element_why,
            places=self._places,
            columns={name: found.column(name) for name, found in self._columns.items()},
            flawed=self._flawed,
            flawed_line=self._flawed_line,
            timeless=self._timeless,
            timeless_cell=self._timeless_cell,
        )
