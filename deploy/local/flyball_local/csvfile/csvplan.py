"""Which column of a CSV file is the event time and which the element, told from its first rows. Pure."""

from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

from flyball_local.csvfile.csvdialect import CsvError, Dialect, pick_column
from flyball_local.csvfile.csvtimes import ROW, TimeGuess, guess_format
from flyball_proto.spec.names import listed

MAX_FLAWED: Final = 0.5
"""Share of rows with another number of cells beyond which a file is refused."""
NAMED_COLUMNS: Final = 30
"""Columns that a refusal lists."""
_TIME_NAMES: Final = ("timestamp", "time", "datetime", "ts", "date", "@timestamp", "time_ms")
_MORE_TIME_NAMES: Final = ("time", "date", "timestamp", "epoch", "created", "when")
_ELEMENT_NAMES: Final = (
    *("element", "cell", "device", "node", "host", "station", "sensor", "entity", "machine"),
    *("unit", "asset", "instance", "server", "series", "port", "interface"),
)
_ID_ENDINGS: Final = ("_id", " id", "-id", "id", "_name", " name", "name")


class Plan:
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
