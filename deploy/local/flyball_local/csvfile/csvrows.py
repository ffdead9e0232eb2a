"""Rows of a CSV file as the reports that elements would have sent.

What a cell says is sent as it is: a text where a number should be, a time that is none, or a row
with too few cells goes out and ends in quarantine with its reason. Truth never stands in a report:
it is a label, which may be published later.
"""

import gzip
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import msgspec

from flyball_local.csvfile.csvdialect import (
    CsvError,
    Dialect,
    element_name,
    open_csv,
    open_rows,
    pick_column,
    sentences,
    to_number,
)
from flyball_local.csvfile.csvtimes import ROW, parser, row_time_ms
from flyball_proto.spec import CsvMapping, Source

MAX_SORTED_ROWS: Final = 500_000
"""Rows that are held in memory for `order: time`."""
CHUNK_BYTES: Final = 1 << 20

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
    """Where in a row everything stands; `time` None = the row number says it."""

    time: int | None
    element: int | None
    metrics: tuple[tuple[str, int], ...]
    coded: tuple[tuple[str, int], ...]
    """Metrics whose cells are texts that numbers stand for."""
    labels: tuple[tuple[str, int], ...]
    truth: int | None


def read_rows(path: Path, source: Source) -> Iterator[CsvRow]:
    """Rows of a CSV or gzipped CSV file, in file order unless the source says `order: time`.

    Raises:
        CsvError: No readable CSV, a column that the source names is missing, or too many rows to
            sort.
    """
    rows = _read(path, source)
    return _sorted(path, rows) if source.spec.csv.order == "time" else rows


def count_rows(path: Path) -> int:
    """About how many rows a file has: its lines, but the first. For progress.

    Raises:
        CsvError: It cannot be read.
    """
    with sentences(path), path.open("rb") as plain:
        zipped = plain.read(2) == b"\x1f\x8b"
        plain.seek(0)
        lines = 0
        with gzip.open(plain) if zipped else plain as file:
            while chunk := file.read(CHUNK_BYTES):
                lines += chunk.count(b"\n")
    return max(0, lines - 1)


def find_columns(path: Path, header: Sequence[str], source: Source) -> Columns:
    """Where the columns stand that the source's `csv` mapping names.

    Raises:
        CsvError: One is not there; says what is, and what may have been meant.
    """
    mapping = source.spec.csv

    def place(name: str, what: str) -> int:
        return header.index(pick_column(path, header, name, what))

    metrics = [(m.name, place(mapping.column(m.name), "metric's")) for m in source.spec.metrics]
    return Columns(
        None if mapping.time_format == ROW else place(mapping.time, "time"),
        None if mapping.one_element else place(mapping.element, "element"),
        tuple((m, at) for m, at in metrics if m not in mapping.codes),
        tuple((m, at) for m, at in metrics if m in mapping.codes),
        tuple((name, place(mapping.label_column(name), "label's")) for name in source.spec.labels),
        None if mapping.truth is None else place(mapping.truth.column, "truth's"),
    )


def _read(path: Path, source: Source) -> Iterator[CsvRow]:
    mapping = source.spec.csv
    dialect = Dialect(mapping.separator, mapping.decimal, mapping.encoding, mapping.header)
    with sentences(path), open_csv(path, mapping.encoding) as lines:
        header, rows = open_rows(lines, dialect)
        maker = _Maker(find_columns(path, header, source), mapping, len(header))
        number = 0
        for cells in rows:
            if cells:
                yield maker.row(number, cells)
                number += 1


def _sorted(path: Path, rows: Iterator[CsvRow]) -> Iterator[CsvRow]:
    """By time; a row without one stays behind the row above it."""
    held: list[tuple[int, CsvRow]] = []
    time_ms = 0
    for row in rows:
        time_ms = time_ms if row.time_ms is None else row.time_ms
        held.append((time_ms, row))
        if len(held) > MAX_SORTED_ROWS:
            raise CsvError(
                f"{path}: found more than {MAX_SORTED_ROWS} rows to sort by time; valid: at most "
                "as many; sort the file beforehand, then write `order: file` in the specification"
            )
    held.sort(key=lambda timed: timed[0])
    yield from (row for _, row in held)


class _Maker:
    """Makes reports of rows."""

    def __init__(self, columns: Columns, mapping: CsvMapping, width: int) -> None:
        self._columns, self._width = columns, width
        self._one, self._decimal = mapping.one_element, mapping.decimal
        self._missing = frozenset(mapping.missing)
        self._metric_codes = mapping.codes
        self._codes = mapping.truth.codes if mapping.truth else {}
        self._parse = None if columns.time is None else parser(mapping.time_format, mapping.decimal)

    def row(self, number: int, cells: Sequence[str]) -> CsvRow:
        """The `number`-th row from 0; one of another width as what it is, without a time."""
        columns, missing, decimal = self._columns, self._missing, self._decimal
        element = self._element(cells)
        if len(cells) != self._width:
            return CsvRow(element, None, _encode({"element": element, "cells": cells}))
        values = {
            name: None if cells[place] in missing else _value(cells[place], decimal)
            for name, place in columns.metrics
        }
        for name, place in columns.coded:
            values[name] = self._metric_codes[name].get(cells[place])
        labels = {name: cells[place] for name, place in columns.labels if cells[place]}
        report: dict[str, object] = {"element": element, "values": values}
        time_ms, at = self._time(number, cells)
        report |= at
        if labels:
            report["labels"] = labels
        truth = None if columns.truth is None else self._truth(cells[columns.truth])
        label = None if truth is None else _encode({**at, "value": truth})
        return CsvRow(element, time_ms, _encode(report), label)

    def _element(self, cells: Sequence[str]) -> str:
        if self._one is not None:
            return self._one
        at = self._columns.element or 0
        return element_name(cells[at] if at < len(cells) else "")

    def _time(self, number: int, cells: Sequence[str]) -> tuple[int | None, dict[str, object]]:
        """Event time, and what a report says of it."""
        if self._parse is None or self._columns.time is None:
            time_ms = row_time_ms(number)
            return time_ms, {"time_ms": time_ms}
        cell = cells[self._columns.time]
        try:
            time_ms = self._parse(cell)
        except (ValueError, OverflowError):
            return None, {"time": cell}
        return time_ms, {"time_ms": time_ms}

    def _truth(self, cell: str) -> float | str | None:
        """What is published of a cell of truth: its code, else what it says; None = nothing."""
        if cell in self._codes:
            return self._codes[cell]
        if cell in self._missing:
            return None
        return cell if self._codes else _value(cell, self._decimal)


def _value(cell: str, decimal: str) -> float | str:
    number = to_number(cell, decimal)
    return cell if number is None else number
