"""Event times as CSV files write them: parsed by the format a source names, or told from cells. Pure."""

import math
import re
from collections.abc import Callable, Mapping, Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Final, NamedTuple

ROW: Final = "row"
"""The file has no times: one row a second."""
ROW_EPOCH_MS: Final = 946_684_800_000
"""2000-01-01: the time of the first row of such a file."""
ROW_STEP_MS: Final = 1_000
LATEST_MS: Final = 32_503_680_000_000
"""The year 3000: tells seconds from milliseconds."""
PLAIN_NUMBER_S: Final = 100_000_000
"""Below it (1973) a number is a time only if it grows: it may be an hour of the day."""

READABLE: Final = 0.95
"""Share of cells that must be times of a format."""

Parse = Callable[[str], int]
"""Unix milliseconds of a cell; raises ValueError or OverflowError."""

_DATES: Final = (
    "%Y/%m/%d",
    "%d/%m/%Y",
    "%m/%d/%Y",
    "%d.%m.%Y",
    "%d-%m-%Y",
    "%m-%d-%Y",
    "%Y.%m.%d",
    "%d/%m/%y",
    "%m/%d/%y",
    "%d.%m.%y",
    "%d-%b-%Y",
    "%d %b %Y",
    "%b %d %Y",
    "%b %d, %Y",
)
_CLOCKS: Final = (
    "",
    " %H:%M:%S",
    " %H:%M",
    " %H:%M:%S.%f",
    "T%H:%M:%S",
    " %H.%M.%S",
    " %I:%M:%S %p",
    " %I:%M %p",
    ", %H:%M:%S",
)
_LIKE_A_DATE: Final = re.compile(r"\s*(\d{1,4}[/.\- ]|[A-Za-z]{3} \d)")
PATTERNS: Final = tuple(date + clock for date in _DATES for clock in _CLOCKS)


class TimeGuess(NamedTuple):
    """A format that all cells have; `instead` is another that they also have."""

    time_format: str
    instead: str | None = None


def parser(time_format: str, decimal: str = ".") -> Parse:
    """What reads a cell of that format; `row` reads none."""
    if time_format == "iso":
        return _iso_ms
    if time_format in _SCALE:
        return _epoch(_SCALE[time_format], decimal)
    return _pattern(time_format)


def row_time_ms(number: int) -> int:
    """When the `number`-th row happened, from 0, in a file without times."""
    return ROW_EPOCH_MS + number * ROW_STEP_MS


def guess_format(cells: Sequence[str], decimal: str = ".") -> TimeGuess | None:
    """The format of which nearly all cells are times between 1970 and 3000; None = there is none."""
    cells = [cell for cell in cells if cell]
    if not cells:
        return None
    if (
        sum("-" in cell[1:] for cell in cells) >= READABLE * len(cells)
        and _read(cells, _iso_ms) is not None
    ):
        return TimeGuess("iso")
    for name in _SCALE:
        found = _read(cells, parser(name, decimal))
        if found is not None:
            grows = sum(b >= a for a, b in pairwise(found)) >= 0.8 * (len(found) - 1)
            plain = max(found) < PLAIN_NUMBER_S * 1000
            return TimeGuess(name) if grows or not plain else None
    likely = dict.fromkeys(p for cell in cells[:3] for p in _likely(cell))
    fitting = {p: found for p in likely if (found := _read(cells, _pattern(p)))}
    ranked = sorted(fitting, key=lambda p: _disorder(fitting[p]))  # stable: the first of equals
    return TimeGuess(ranked[0], ranked[1] if len(ranked) > 1 else None) if ranked else None


def _read(cells: Sequence[str], parse: Parse) -> list[int] | None:
    found: list[int] = []
    for cell in cells:
        try:
            time_ms = parse(cell)
        except (ValueError, OverflowError):
            continue
        if 0 <= time_ms < LATEST_MS:
            found.append(time_ms)
    return found if len(found) >= READABLE * len(cells) else None


def _likely(cell: str) -> list[str]:
    """Patterns that one cell has; most files have none."""
    if not _LIKE_A_DATE.match(cell):
        return []
    return [p for p in PATTERNS if _read([cell], _pattern(p)) is not None]


def _disorder(times: Sequence[int]) -> tuple[int, int]:
    """Steps back, then the whole span: days read as months scatter over a year."""
    return sum(b < a for a, b in pairwise(times)), max(times) - min(times)


def _iso_ms(text: str) -> int:
    at = datetime.fromisoformat(text.strip())
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


def _epoch(per_ms: float, decimal: str) -> Parse:
    def parse(text: str) -> int:
        number = float(text if decimal == "." else text.replace(decimal, "."))
        if not math.isfinite(number):
            raise ValueError(text)
        return round(number * per_ms)

    return parse


def _pattern(pattern: str) -> Parse:
    def parse(text: str) -> int:
        at = datetime.strptime(text.strip(), pattern)  # noqa: DTZ007 - the next line gives it one
        return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)

    return parse


_SCALE: Final[Mapping[str, float]] = {
    "epoch_s": 1_000.0,
    "epoch_ms": 1.0,
    "epoch_us": 1e-3,
    "epoch_ns": 1e-6,
}
