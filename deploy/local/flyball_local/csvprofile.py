"""What a CSV file holds: its columns, its time, its elements. Read once, from top to bottom.

`newspec` proposes a specification from a `Profile`; nothing here decides what it means.
"""

import csv
import gzip
import math
import zlib
from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from itertools import chain, islice
from pathlib import Path
from typing import Final, Literal, NoReturn, TextIO

import numpy as np
from numpy.typing import NDArray

from flyball_kit.errors import PermanentError
from flyball_proto.spec.names import listed, nearest
from flyball_proto.spec.source import MISSING

MAX_CELLS: Final = 8_000_000
"""A larger file is judged by its beginning."""
MAX_COLUMNS: Final = 2_000
MAX_DISTINCT: Final = 64
"""Different texts of a column that are remembered."""
PEEKED_ROWS: Final = 200

TimeFormat = Literal["iso", "epoch_s", "epoch_ms"]
_TIME_NAMES: Final = ("timestamp", "time", "datetime", "ts", "date", "@timestamp", "time_ms")
_ELEMENT_NAMES: Final = ("element", "cell", "device", "node", "host", "station", "sensor", "entity")


class CsvError(PermanentError):
    """A CSV file cannot be read as rows of elements over time."""

    kind = "invalid-csv"


@dataclass(frozen=True, slots=True)
class Column:
    """One column. `numbers` is empty when any cell is text; `distinct` stops at `MAX_DISTINCT`."""

    name: str
    numbers: NDArray[np.float64]
    missing: int
    distinct: tuple[str, ...]
    many: bool
    """There were more different texts than `distinct` holds."""

    @property
    def is_numeric(self) -> bool:
        """Whether every cell that is not missing is a finite number."""
        return len(self.numbers) > 0


@dataclass(frozen=True, slots=True)
class Profile:
    """A file. Times are Unix milliseconds; `complete` is False when only its beginning was read."""

    path: Path
    rows: int
    complete: bool
    time: str
    time_format: TimeFormat
    element: str | None
    elements: tuple[str, ...]
    first_ms: int
    last_ms: int
    interval_ms: int
    repeated: int
    """Rows with the time of an earlier row of their element."""
    columns: Mapping[str, Column]
    """All but time and element, in file order."""


@dataclass(slots=True)
class _Gathered:
    """What was seen of one column so far."""

    numbers: "array[float]" = field(default_factory=lambda: array("d"))
    missing: int = 0
    texts: int = 0
    distinct: set[str] = field(default_factory=set)

    def add(self, cell: str) -> None:
        if cell in MISSING:
            self.missing += 1
            return
        if len(self.distinct) <= MAX_DISTINCT:
            self.distinct.add(cell)
        try:
            number = float(cell)
        except ValueError:
            self.texts += 1
            return
        if math.isfinite(number):
            self.numbers.append(number)
        else:
            self.missing += 1

    def column(self, name: str) -> Column:
        numbers = np.array(() if self.texts else self.numbers, np.float64)
        many = len(self.distinct) > MAX_DISTINCT
        return Column(name, numbers, self.missing, tuple(sorted(self.distinct)), many)


def profile(path: Path, *, time: str | None = None, element: str | None = None) -> Profile:
    """Read a CSV or gzipped CSV file.

    Args:
        path: The file; the first row names the columns.
        time: Column of the event time; found by name and content when None.
        element: Column of the element's name; found by name when None, else all rows are one's.

    Raises:
        CsvError: The file or a column is missing, or a row does not fit; names what was found.
    """
    try:
        with open_csv(path) as lines:
            return _profile(path, csv.reader(lines, strict=True), time, element)
    except OSError as error:
        why = f"{path}: found no readable file ({error.strerror or error})"
        raise CsvError(f"{why}; valid: CSV or gzipped CSV; check the path") from error
    except (csv.Error, UnicodeDecodeError, EOFError, zlib.error) as error:
        why = f"{path}: found content that is no CSV ({error})"
        raise CsvError(f"{why}; valid: UTF-8, comma-separated, a first row of names") from error


def pick_column(path: Path, header: Sequence[str], wanted: str, what: str) -> str:
    """`wanted`, if the file has it.

    Raises:
        CsvError: It has not; names the columns found and the nearest.
    """
    if wanted in header:
        return wanted
    close = nearest(wanted, header)
    step = f"did you mean {close[0]}?" if close else f"name the {what} column as it is in the file"
    raise CsvError(f"{path}: found no column {wanted!r}; valid: {listed(header, wanted)}; {step}")


def open_csv(path: Path) -> TextIO:
    """The file as text, unzipped if it begins like gzip; a byte-order mark is passed over."""
    with path.open("rb") as file:
        zipped = file.read(2) == b"\x1f\x8b"
    if zipped:
        return gzip.open(path, "rt", encoding="utf-8-sig", newline="")
    return path.open(encoding="utf-8-sig", newline="")


def _profile(
    path: Path, reader: Iterator[list[str]], time: str | None, element: str | None
) -> Profile:
    header = _header(path, next(reader, []))
    peeked = list(islice(reader, PEEKED_ROWS))
    if not peeked:
        raise CsvError(f"{path}: found a header without rows; valid: at least one row; add data")
    sample = {name: [row[i] for row in peeked if i < len(row)] for i, name in enumerate(header)}
    time, time_format = _time_column(path, sample, time)
    if element is not None:
        element = pick_column(path, header, element, "element")
    else:
        element = next((h for n in _ELEMENT_NAMES for h in header if h.casefold() == n), None)
    reading = _Reading(path, header, time, time_format, element)
    complete = reading.run(chain(peeked, reader))
    return reading.profile(complete)


def _header(path: Path, header: list[str]) -> list[str]:
    twice = sorted({name for name in header if header.count(name) > 1})
    if len(header) < 2 or twice or not all(header):
        found = f"the name {twice[0]!r} twice" if twice else f"{len(header)} named columns"
        if len(header) == 1 and any(c in header[0] for c in ";\t|"):
            found = f"another separator than a comma in {header[0][:60]!r}"
        why = f"{path}: found {found} in the first row"
        raise CsvError(f"{why}; valid: different column names, comma-separated; correct the header")
    if len(header) > MAX_COLUMNS:
        raise CsvError(f"{path}: found {len(header)} columns; valid: at most {MAX_COLUMNS}")
    return header


def _time_column(
    path: Path, sample: Mapping[str, list[str]], wanted: str | None
) -> tuple[str, TimeFormat]:
    header = list(sample)
    if wanted is not None:
        pick_column(path, header, wanted, "time")
        if found := _time_format(sample[wanted]):
            return wanted, found
        why = f"{path}: found no times in column {wanted!r}, but {sample[wanted][0]!r}"
        raise CsvError(f"{why}; valid: ISO 8601, or Unix seconds or milliseconds")
    named = [name for n in _TIME_NAMES for name in header if name.casefold() == n]
    texts = [name for name in header if _time_format(sample[name]) == "iso"]
    for name in (*named, *texts):
        if found := _time_format(sample[name]):
            return name, found
    why = f"{path}: found no time column among {listed(header)}"
    raise CsvError(f"{why}; valid: ISO 8601, or Unix seconds or milliseconds; name it with --time")


def _time_format(cells: Sequence[str]) -> TimeFormat | None:
    for time_format, parse in _PARSERS.items():
        try:
            times = [parse(cell) for cell in cells]
        except (ValueError, OverflowError):
            continue
        if times and all(_EARLIEST_MS <= t < _LATEST_MS for t in times):
            return time_format
    return None


def _iso_ms(text: str) -> int:
    if "-" not in text:
        raise ValueError(text)  # a bare number such as 20230101 is more often no date
    at = datetime.fromisoformat(text)
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


_PARSERS: Final[dict[TimeFormat, Callable[[str], int]]] = {
    "iso": _iso_ms,
    "epoch_s": lambda text: round(float(text) * 1000),
    "epoch_ms": lambda text: round(float(text)),
}
_EARLIEST_MS: Final = 0
_LATEST_MS: Final = 32_503_680_000_000  # the year 3000: tells seconds from milliseconds


class _Reading:
    """One pass over the rows."""

    def __init__(
        self,
        path: Path,
        header: list[str],
        time: str,
        time_format: TimeFormat,
        element: str | None,
    ) -> None:
        self._path, self._header = path, header
        self._time, self._format, self._element = time, time_format, element
        self._columns = {n: _Gathered() for n in header if n not in (time, element)}
        self._newest: dict[str, int] = {}
        self._gaps_ms = array("q")
        self._rows = self._repeated = 0
        self._first_ms, self._last_ms = 1 << 62, 0

    def run(self, rows: Iterable[list[str]]) -> bool:
        """Read; whether the whole file was."""
        most = max(PEEKED_ROWS, MAX_CELLS // len(self._header))
        parse, time_at = _PARSERS[self._format], self._header.index(self._time)
        element_at = None if self._element is None else self._header.index(self._element)
        kept = [(self._header.index(name), column.add) for name, column in self._columns.items()]
        for row in rows:
            if not row:
                continue
            if self._rows == most:
                return False
            self._rows += 1
            if len(row) != len(self._header):
                self._refuse(f"{len(row)} cells", f"{len(self._header)}, as in the first row")
            try:
                time_ms = parse(row[time_at])
            except (ValueError, OverflowError):
                self._refuse(f"the time {row[time_at]!r}", f"{self._format}, as in rows before")
            self._place("" if element_at is None else row[element_at], time_ms)
            for at, add in kept:
                add(row[at])
        return True

    def profile(self, complete: bool) -> Profile:
        """What was read."""
        gaps = np.array(self._gaps_ms, np.int64)
        return Profile(
            path=self._path,
            rows=self._rows,
            complete=complete,
            time=self._time,
            time_format=self._format,
            element=self._element,
            elements=tuple(self._newest),
            first_ms=self._first_ms,
            last_ms=self._last_ms,
            interval_ms=_rounded(float(np.median(gaps))) if len(gaps) else 1_000,
            repeated=self._repeated,
            columns={name: found.column(name) for name, found in self._columns.items()},
        )

    def _place(self, element: str, time_ms: int) -> None:
        before = self._newest.get(element)
        if before is None or time_ms > before:
            self._newest[element] = time_ms
        if before is not None:
            if time_ms > before:
                self._gaps_ms.append(time_ms - before)
            self._repeated += time_ms == before
        self._first_ms, self._last_ms = min(self._first_ms, time_ms), max(self._last_ms, time_ms)

    def _refuse(self, found: str, valid: str) -> NoReturn:
        where = f"{self._path}: row {self._rows}"
        raise CsvError(f"{where}: found {found}; valid: {valid}; correct the row")


def _rounded(ms: float) -> int:
    """Whole seconds from ten seconds on: clocks jitter, and people read it."""
    return round(ms / 1_000) * 1_000 if ms >= 10_000 else max(1, round(ms))
