"""How a CSV file is written: its characters, separator, decimals, whether it has a header.

`csvprofile` tells it from the file's beginning; `csvrows` is told by the source. Both name columns
here, so that a specification and a replay speak of the same ones.
"""

import csv
import gzip
import math
import re
import zlib
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import islice
from pathlib import Path
from typing import Final, TextIO

from flyball_kit.errors import PermanentError
from flyball_local.csvfile.csvtimes import guess_format
from flyball_proto import subjects
from flyball_proto.spec.names import listed, nearest

SNIFFED_BYTES: Final = 64 << 10
SNIFFED_ROWS: Final = 50
SEPARATORS: Final = (",", ";", "\t", "|")
TRUTH_WORDS: Final = {"true": 1.0, "false": 0.0}
_DECIMAL_COMMA: Final = re.compile(r"\s*[+-]?\d*,\d+([eE][+-]?\d+)?\s*")
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0e-\x1f\x7f]")
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_\-:@/=+,~]")
_NAMELESS: Final = "unnamed"


class CsvError(PermanentError):
    """A CSV file cannot be read as rows of elements over time."""

    kind = "invalid-csv"


@dataclass(frozen=True, slots=True)
class Dialect:
    """As in `spec.csv` of a Source."""

    separator: str = ","
    decimal: str = "."
    encoding: str = "utf-8"
    header: bool = True


@contextmanager
def sentences(path: Path) -> Iterator[None]:
    """Let what goes wrong while a file is read end in one sentence.

    Raises:
        CsvError: Instead of what the standard library raises.
    """
    try:
        yield
    except OSError as error:
        why = f"{path}: found no readable file ({error.strerror or error})"
        raise CsvError(f"{why}; valid: CSV or gzipped CSV; check the path") from error
    except (csv.Error, UnicodeError, EOFError, zlib.error) as error:
        why = f"{path}: found content that is no CSV ({error})"
        valid = "text, cells between the same separators, quotes that are closed"
        raise CsvError(f"{why}; valid: {valid}; export the file again") from error


def open_csv(path: Path, encoding: str = "utf-8") -> TextIO:
    """The file as text, unzipped if it begins like gzip; a byte-order mark is passed over."""
    encoding = "utf-8-sig" if encoding == "utf-8" else encoding
    if _is_zipped(path):
        return gzip.open(path, "rt", encoding=encoding, newline="")
    return path.open(encoding=encoding, newline="")


def open_rows(lines: TextIO, dialect: Dialect) -> tuple[list[str], Iterator[list[str]]]:
    """Column names, and the rows behind them; empty names when the file is empty."""
    reader = csv.reader(lines, delimiter=dialect.separator, strict=True)
    first = next((row for row in reader if row), [])
    names = column_names(first, header=dialect.header)
    return names, reader if dialect.header else _again(first, reader)


def _again(first: list[str], rest: Iterator[list[str]]) -> Iterator[list[str]]:
    yield first
    yield from rest


def column_names(first: Sequence[str], *, header: bool = True) -> list[str]:
    """A name a column: trimmed, the nameless by their place, the second `x` as `x_2`."""
    names: list[str] = []
    for place, cell in enumerate(first, start=1):
        stem = (cell.strip() if header else "") or f"column_{place}"
        name, count = stem, 2
        while name in names:
            name, count = f"{stem}_{count}", count + 1
        names.append(name)
    return names


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


def to_number(cell: str, decimal: str = ".") -> float | None:
    """A cell as a number, true and false as 1 and 0; None when it is neither. May be infinite."""
    try:
        return float(cell if decimal == "." else cell.replace(decimal, ".", 1))
    except ValueError:
        return TRUTH_WORDS.get(cell.strip().lower())


def element_name(cell: str) -> str:
    """A name that NATS can carry: what it cannot stands as %XX, and an empty one as `unnamed`.

    Valid names stay as they are. Two cells get one name only when one is written as the other's
    escape.
    """
    cell = cell.strip() or _NAMELESS
    if subjects.is_element(cell):
        return cell
    escaped = _UNSAFE.sub(lambda m: "".join(f"%{byte:02X}" for byte in m[0].encode()), cell)
    escaped = "%5F" + escaped[1:] if escaped.startswith("_") else escaped
    if len(escaped) > subjects.MAX_ELEMENT_CHARS:
        mark = f"~{zlib.crc32(cell.encode()):08x}"
        escaped = escaped[: subjects.MAX_ELEMENT_CHARS - len(mark)] + mark
    return escaped


def sniff(path: Path) -> Dialect:
    """Tell from the file's beginning how it is written.

    Raises:
        CsvError: It cannot be read, is empty or is no text.
    """
    with sentences(path):
        head = _head(path)
        encoding = _encoding(path, head)
        codec = "utf-8-sig" if encoding == "utf-8" else encoding
        text = head.decode(codec, errors="ignore")
    lines = text.splitlines(keepends=True)
    if len(head) == SNIFFED_BYTES and len(lines) > 1:
        lines.pop()  # cut in two
    tables = {s: _table(lines, s) for s in SEPARATORS}
    separator = max(SEPARATORS, key=lambda s: (*_fit(tables[s]), -SEPARATORS.index(s)))
    if _is_one_column_of_decimals(lines):
        separator = ";"
    table = [row for row in tables[separator] if row]
    if not table or not any(cell.strip() for row in table for cell in row):
        raise CsvError(f"{path}: found an empty file; valid: a row of names, then rows; add data")
    decimal = _decimal(table[1:], separator)
    return Dialect(separator, decimal, encoding, _has_header(table, decimal))


def _is_zipped(path: Path) -> bool:
    with path.open("rb") as file:
        return file.read(2) == b"\x1f\x8b"


def _head(path: Path) -> bytes:
    if _is_zipped(path):
        with gzip.open(path, "rb") as zipped:
            return zipped.read(SNIFFED_BYTES)
    with path.open("rb") as file:
        return file.read(SNIFFED_BYTES)


def _encoding(path: Path, head: bytes) -> str:
    if head[:2] in (b"\xff\xfe", b"\xfe\xff"):
        return "utf-16"
    try:
        head.decode("utf-8")
    except UnicodeDecodeError as error:
        if error.start < len(head) - 4 or len(head) < SNIFFED_BYTES:
            if _CONTROL.search(head):
                why = f"{path}: found content that is no CSV (bytes that are no text)"
                raise CsvError(f"{why}; valid: text; export the file again") from error
            return "cp1252"
    return "utf-8"


def _table(lines: Sequence[str], separator: str) -> list[list[str]]:
    """The first rows; fewer when a quote is not closed. The whole pass says what is wrong."""
    found: list[list[str]] = []
    reader = csv.reader(lines, delimiter=separator, strict=True)
    try:
        found.extend(islice(reader, SNIFFED_ROWS))
    except csv.Error:
        return found
    return found


def _is_one_column_of_decimals(lines: Sequence[str]) -> bool:
    """Whether the commas stand in numbers and between nothing."""
    first, *rest = lines[:SNIFFED_ROWS] or [""]
    return bool(rest) and "," not in first and all(_DECIMAL_COMMA.fullmatch(line) for line in rest)


def _fit(table: Sequence[Sequence[str]]) -> tuple[bool, float, float, int]:
    """How well a separator fits: several columns, in which share of rows, as many as in the first."""
    widths = [len(row) for row in table if row]
    if not widths:
        return False, 0.0, 0.0, 0
    alike = Counter(widths)[widths[0]] / len(widths)
    several = sum(width > 1 for width in widths) / len(widths)
    return widths[0] > 1 and alike >= 0.5, several, alike, widths[0]


def _decimal(rows: Sequence[Sequence[str]], separator: str) -> str:
    if separator == ",":
        return "."
    cells = [cell for row in rows for cell in row if cell]
    commas = sum(_DECIMAL_COMMA.fullmatch(cell) is not None for cell in cells)
    points = sum("." in cell and to_number(cell) is not None for cell in cells)
    return "," if commas > points else "."


def _has_header(table: Sequence[Sequence[str]], decimal: str) -> bool:
    """The first row names columns, unless it looks like data wherever the next rows do."""
    first, rest = table[0], [row for row in table[1:] if len(row) == len(table[0])]
    if not rest:
        return not all(_is_data(cell, decimal) for cell in first)
    data = [
        i
        for i in range(len(first))
        if (cells := [row[i] for row in rest if row[i]])
        and sum(_is_data(c, decimal) for c in cells) > 0.8 * len(cells)
    ]
    return not data or not all(_is_data(first[i], decimal) or not first[i] for i in data)


def _is_data(cell: str, decimal: str) -> bool:
    number = to_number(cell, decimal)
    if number is not None:
        return math.isfinite(number)
    return guess_format([cell]) is not None
