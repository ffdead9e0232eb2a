"""What a CSV file holds: its columns, its time, its elements. Read once, from top to bottom.

`newspec` proposes a specification from a `Profile`; nothing here decides what it means. Of a long
file the beginning is read wholly, then every tenth, then every hundredth row.
"""

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain, islice
from pathlib import Path
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flyball_local.csvdialect import (
    CsvError,
    Dialect,
    element_name,
    open_csv,
    open_rows,
    pick_column,
    sentences,
    sniff,
)
from flyball_local.csvgather import MAX_DISTINCT, Column, Gathered, Places
from flyball_local.csvtimes import ROW, TimeGuess, guess_format, parser, row_time_ms
from flyball_proto.spec.names import listed

MAX_CELLS: Final = 4_000_000
"""Cells that are judged; of a longer file these are spread over its beginning."""
MAX_COLUMNS: Final = 10_000
MAX_ROWS: Final = 5_000_000
"""Rows that are looked at; what comes behind is unknown."""
MAX_FLAWED: Final = 0.5
"""Share of rows with another number of cells, or without a time, beyond which a file is refused."""
PEEKED_ROWS: Final = 500
MAX_PEEKED_CELLS: Final = 200_000
NAMED_COLUMNS: Final = 30
"""Columns that a refusal lists."""

_TIME_NAMES: Final = ("timestamp", "time", "datetime", "ts", "date", "@timestamp", "time_ms")
_MORE_TIME_NAMES: Final = ("time", "date", "timestamp", "epoch", "created", "when")
_ELEMENT_NAMES: Final = (
    *("element", "cell", "device", "node", "host", "station", "sensor", "entity", "machine"),
    *("unit", "asset", "instance", "server", "series", "port", "interface"),
)
_ID_ENDINGS: Final = ("_id", " id", "-id", "id", "_name", " name", "name")

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
        plan = _Plan(path, dialect, header, peeked, target)
        plan.choose(time, element)
        reading = _Reading(plan)
        complete = reading.run(chain(peeked, rows))
        return reading.profile(complete)


class _Plan:
    """Which column is the time and which the element, told from the first rows."""

    def __init__(
        self,
        path: Path,
        dialect: Dialect,
        header: list[str],
        peeked: Sequence[list[str]],
        target: str | None,
    ) -> None:
        whole = [row for row in peeked if len(row) == len(header)]
        if not any(peeked):
            why = f"{path}: found a header without rows ({listed(header[:NAMED_COLUMNS])})"
            raise CsvError(f"{why}; valid: at least one row; add data")
        if len(whole) < (1 - MAX_FLAWED) * sum(bool(row) for row in peeked):
            odd = next(row for row in peeked if row and len(row) != len(header))
            why = f"{path}: found {len(header)} cells in the first row and {len(odd)} in others"
            raise CsvError(
                f"{why}; valid: the names of the columns in the first row, then as many cells in "
                "each; remove what stands above the table"
            )
        self.path, self.dialect, self.header, self._target = path, dialect, header, target
        self.sample = {name: [row[i] for row in whole] for i, name in enumerate(header)}
        self._count = len(whole)
        self.time = ""
        self.guess = TimeGuess(ROW)
        self.element: str | None = None
        self.element_why = ""

    def choose(self, time: str | None, element: str | None) -> None:
        """Settle both; `wanted` names win."""
        self._choose_time(time)
        if element is not None:
            self.element = pick_column(self.path, self.header, element, "element")
            self.element_why = "as asked"
        else:
            self._choose_element()

    def _choose_time(self, wanted: str | None) -> None:
        if wanted is not None:
            pick_column(self.path, self.header, wanted, "time")
            found = guess_format(self.sample[wanted], self.dialect.decimal)
            if found is None:
                cells = [c for c in self.sample[wanted] if c] or [""]
                why = f"{self.path}: found no times in column {wanted!r}, but {cells[0]!r}"
                raise CsvError(f"{why}; valid: ISO 8601, a date, or Unix seconds or milliseconds")
            self.time, self.guess = wanted, found
            return
        for name in self._time_candidates():
            found = guess_format(self.sample[name], self.dialect.decimal)
            if found is not None and self.sample[name].count("") <= self._count / 2:
                self.time, self.guess = name, found
                return

    def _time_candidates(self) -> Iterator[str]:
        yield from (h for n in _TIME_NAMES for h in self.header if h.casefold() == n)
        for name in self.header:
            if any(word in name.casefold() for word in _MORE_TIME_NAMES):
                yield name
        for name in self.header:  # numbers of any other name are no times, but texts may be
            cells = self.sample[name][:20]
            if any(c in "-/.:" for c in "".join(cells)) and not _all_numbers(cells):
                yield name

    def _choose_element(self) -> None:
        free = [h for h in self.header if h != self.time]
        for wanted in _ELEMENT_NAMES:
            for name in free:
                if _stem(name) == wanted and name != self._target and not self._is_key(name):
                    self.element, self.element_why = name, "by its name"
                    return
        if not self.time:
            return
        shared = self._shared(None)
        if shared <= 0.05 * self._count:
            return
        rest = [n for n in free if n != self._target and not self._is_key(n)]
        best = min(rest, key=lambda n: (self._shared(n), len(set(self.sample[n]))), default=None)
        if best is not None and self._shared(best) <= 0.2 * shared and self._groups(best):
            self.element = best
            self.element_why = "rows share their times and it tells them apart"

    def _shared(self, element: str | None) -> int:
        """Peeked rows with the time, and the cell of `element`, of another."""
        times = self.sample[self.time]
        if element is None:
            return self._count - len(set(times))
        return self._count - len(set(zip(times, self.sample[element], strict=True)))

    def _groups(self, name: str) -> bool:
        """Whether several rows share a cell, and the cells look like names and not measures."""
        cells = self.sample[name]
        return 2 <= len(set(cells)) <= self._count / 2 and not any("." in c for c in cells)

    def _is_key(self, name: str) -> bool:
        """Whether every row has a value of its own, so that it names rows and not elements."""
        cells = self.sample[name]
        if self._count < 20 or len(set(cells)) < self._count:
            return False
        return not self.time or len(set(self.sample[self.time])) > 0.5 * self._count


def _stem(name: str) -> str:
    """`CellID` and `cell_name` are cells."""
    text = name.casefold()
    for ending in _ID_ENDINGS:
        if text.endswith(ending) and len(text) > len(ending):
            return text[: -len(ending)].rstrip("_ -")
    return text


def _all_numbers(cells: Sequence[str]) -> bool:
    try:
        return bool([float(cell) for cell in cells if cell])
    except ValueError:
        return False


class _Reading:
    """One pass over the rows."""

    def __init__(self, plan: _Plan) -> None:
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
        if self._timeless > MAX_FLAWED * self._judged or not self._places.newest:
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
