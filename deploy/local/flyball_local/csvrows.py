"""Rows of a CSV file as the reports that elements would have sent.

What a cell says is sent as it is: a text where a number should be, or a time that is none, goes out
and ends in quarantine with its reason. Only what cannot be published at all is an error here. Truth
never stands in a report: it is a label, which may be published later.
"""

import csv
import zlib
from collections.abc import Callable, Iterator, Sequence
from contextlib import closing
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import msgspec

from flyball_local.csvprofile import CsvError, open_csv, pick_column
from flyball_proto import subjects
from flyball_proto.spec import CsvMapping, Source

_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class CsvRow:
    """One row: whose it is, when it happened (None = its time cannot be read), what is sent.

    `label` is the truth about it as it would be published; None = the file has none.
    """

    element: str
    time_ms: int | None
    report: bytes
    label: bytes | None = None


@dataclass(frozen=True, slots=True)
class Columns:
    """Where in a row everything stands."""

    time: int
    element: int | None
    metrics: tuple[tuple[str, int], ...]
    labels: tuple[tuple[str, int], ...]
    truth: int | None


def read_rows(path: Path, source: Source) -> Iterator[CsvRow]:
    """Rows of a CSV or gzipped CSV file in file order.

    Raises:
        CsvError: No readable CSV, a column that the source names is missing, or a row that no
            element could have sent.
    """
    try:
        with closing(open_csv(path)) as lines:
            reader = csv.reader(lines, strict=True)
            header = next(reader, [])
            columns = find_columns(path, header, source)
            for number, cells in enumerate(reader, start=2):
                if not cells:
                    continue
                if len(cells) != len(header):
                    raise _unsendable(path, number, f"{len(cells)} cells", f"{len(header)} cells")
                yield _row(path, number, cells, columns, source.spec.csv)
    except OSError as error:
        raise CsvError(
            f"{path}: found no readable file ({error.strerror or error}); "
            "valid: CSV or gzipped CSV; check the path"
        ) from error
    except (csv.Error, UnicodeDecodeError, EOFError, zlib.error) as error:
        raise CsvError(
            f"{path}: found content that is no CSV ({error}); "
            "valid: UTF-8, comma-separated, a first row of names; export the file again"
        ) from error


def find_columns(path: Path, header: Sequence[str], source: Source) -> Columns:
    """Where the columns stand that the source's `csv` mapping names.

    Raises:
        CsvError: One is not there; says what is, and what may have been meant.
    """
    mapping = source.spec.csv

    def place(name: str, what: str) -> int:
        return header.index(pick_column(path, header, name, what))

    return Columns(
        place(mapping.time, "time"),
        None if mapping.one_element else place(mapping.element, "element"),
        tuple((m.name, place(mapping.column(m.name), "metric's")) for m in source.spec.metrics),
        tuple((name, place(mapping.label_column(name), "label's")) for name in source.spec.labels),
        None if mapping.truth is None else place(mapping.truth.column, "truth's"),
    )


def _row(
    path: Path, number: int, cells: list[str], columns: Columns, mapping: CsvMapping
) -> CsvRow:
    element = mapping.one_element or cells[columns.element or 0]
    if not subjects.is_element(element):
        raise _unsendable(
            path,
            number,
            f"the element name {element!r}",
            f"1 to {subjects.MAX_ELEMENT_CHARS} of A-Z a-z 0-9 _ - : @ / = + , % ~",
        )
    missing = mapping.missing
    values = {
        name: None if cells[at] in missing else _number(cells[at]) for name, at in columns.metrics
    }
    labels = {name: cells[at] for name, at in columns.labels if cells[at]}
    report: dict[str, object] = {"element": element, "values": values}
    try:
        time_ms = _TIMES[mapping.time_format](cells[columns.time])
        at: dict[str, object] = {"time_ms": time_ms}
    except (ValueError, OverflowError):
        time_ms, at = None, {"time": cells[columns.time]}
    report |= at
    if labels:
        report["labels"] = labels
    truth = None if columns.truth is None else _truth(cells[columns.truth], mapping)
    label = None if truth is None else _encode({**at, "value": truth})
    return CsvRow(element, time_ms, _encode(report), label)


def _truth(cell: str, mapping: CsvMapping) -> float | str | None:
    """What is published of a cell of truth: its code, else what it says; None = nothing."""
    codes = mapping.truth.codes if mapping.truth else {}
    if cell in codes:
        return codes[cell]
    if cell in mapping.missing:
        return None
    return cell if codes else _number(cell)


def _number(cell: str) -> float | str:
    try:
        return float(cell)
    except ValueError:
        return cell


def _iso_ms(text: str) -> int:
    at = datetime.fromisoformat(text)
    return round((at if at.tzinfo else at.replace(tzinfo=UTC)).timestamp() * 1000)


_TIMES: Final[dict[str, Callable[[str], int]]] = {
    "iso": _iso_ms,
    "epoch_s": lambda text: round(float(text) * 1000),
    "epoch_ms": lambda text: round(float(text)),
}


def _unsendable(path: Path, number: int, found: str, valid: str) -> CsvError:
    return CsvError(f"{path}: line {number}: found {found}; valid: {valid}; correct the row")
