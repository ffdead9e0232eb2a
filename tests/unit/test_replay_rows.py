"""What replay makes of a CSV file, and where it cuts a history into stretches."""

import gzip
import json
from itertools import pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball_local.csvfile.csvdialect import column_names, element_name
from flyball_local.csvfile.csvprofile import CsvError
from flyball_local.csvfile.csvrows import CsvRow, count_rows, read_rows
from flyball_local.invalid import InvalidInputError
from flyball_local.playing.labelling import LabelDelay
from flyball_local.playing.player import progress_line, stretches
from flyball_local.playing.replay import choose, parse_speed
from flyball_local.specfile import load_text
from flyball_proto import subjects
from flyball_proto.report import ReportError, decode_report
from flyball_proto.spec import Source

SPEC = """\
apiVersion: flyball/v1
kind: Pipeline
metadata: {name: cells}
spec:
  source:
    metrics: [load, users]
    labels: [site]
    csv: {time: at, element: cell, columns: {load: Load %}}
  target: {task: regression, expression: last(load), horizon: 1s}
"""
HEADER = "at,cell,Load %,users,site\n"


@pytest.fixture
def source() -> Source:
    return load_text(SPEC, "spec").sources["cells"]


def rows_of(tmp_path: Path, source: Source, text: str) -> list[CsvRow]:
    path = tmp_path / "cells.csv"
    path.write_text(text)
    return list(read_rows(path, source))


def test_a_row_becomes_the_report_its_element_would_send(tmp_path: Path, source: Source) -> None:
    (row,) = rows_of(tmp_path, source, HEADER + "2026-01-01T00:00:00,c1,71.5,,north\n")
    assert (row.element, row.time_ms) == ("c1", 1_767_225_600_000)
    report = decode_report(row.report)
    assert report.labels == {"site": "north"}
    assert report.samples[0].values == {"load": 71.5, "users": None}


def test_a_gzipped_file_reads_alike(tmp_path: Path, source: Source) -> None:
    text = HEADER + "2026-01-01T00:00:00Z,c1,1,2,n\n2026-01-01T01:00:00+01:00,c1,1,2,n\n"
    path = tmp_path / "cells.csv.gz"
    path.write_bytes(gzip.compress(text.encode()))
    assert list(read_rows(path, source)) == rows_of(tmp_path, source, text)


@pytest.mark.parametrize(
    ("cells", "code"),
    [
        ("2026-01-01T00:00:00,c1,many,2,n", "bad-shape"),
        ("yesterday,c1,1,2,n", "bad-time"),
        ("2026-01-01T00:00:00,c1,inf,2,n", "null-or-refused"),
    ],
)
def test_what_a_cell_says_wrong_is_sent_as_it_is(
    tmp_path: Path, source: Source, cells: str, code: str
) -> None:
    (row,) = rows_of(tmp_path, source, HEADER + cells + "\n")
    if code == "null-or-refused":  # JSON has no infinity
        assert json.loads(row.report)["values"]["load"] is None
        return
    with pytest.raises(ReportError, match=code):
        decode_report(row.report)


def test_a_missing_column_names_what_was_found_and_the_nearest(
    tmp_path: Path, source: Source
) -> None:
    with pytest.raises(CsvError) as caught:
        rows_of(tmp_path, source, "at,cell,Load,users,site\n2026-01-01T00:00:00,c1,1,2,n\n")
    assert "'Load %'" in str(caught.value)
    assert "did you mean Load?" in str(caught.value)


def test_an_open_quote_is_no_csv(tmp_path: Path, source: Source) -> None:
    with pytest.raises(CsvError, match="no CSV"):
        rows_of(tmp_path, source, HEADER + '2026-01-01T00:00:00,"c1,1,2,n\n')


def test_a_row_of_another_width_is_sent_to_be_refused(tmp_path: Path, source: Source) -> None:
    short, whole = rows_of(
        tmp_path, source, HEADER + "2026-01-01T00:00:00,c1,1,2\n2026-01-01T00:00:01,c1,1,2,n\n"
    )
    assert (short.element, short.time_ms, whole.time_ms) == ("c1", None, 1_767_225_601_000)
    with pytest.raises(ReportError, match="bad-shape"):
        decode_report(short.report)


@pytest.mark.parametrize(
    ("cell", "name"),
    [
        ("cell-1", "cell-1"),
        ("a.b", "a%2Eb"),
        ("Zelle Süd", "Zelle%20S%C3%BCd"),
        ("_mark", "%5Fmark"),
        ("100%.", "100%25%2E"),
        ("", "unnamed"),
        ("*", "%2A"),
    ],
)
def test_a_name_that_nats_cannot_carry_is_escaped(
    tmp_path: Path, source: Source, cell: str, name: str
) -> None:
    (row,) = rows_of(tmp_path, source, HEADER + f"2026-01-01T00:00:00,{cell},1,2,n\n")
    assert row.element == name
    assert decode_report(row.report).element == name


@given(st.lists(st.text(max_size=200), min_size=2, max_size=8, unique_by=str.strip))
def test_every_cell_is_an_element_of_its_own(cells: list[str]) -> None:
    names = [element_name(cell) for cell in cells if "%" not in cell and cell.strip() != "unnamed"]
    assert all(subjects.is_element(name) for name in names)
    assert len(set(names)) == len(names)


WRITTEN = """\
apiVersion: flyball/v1
kind: Pipeline
metadata: {name: cells}
spec:
  source:
    metrics: [load, up, state]
    csv:
      time: Zeit
      time_format: "%d.%m.%Y %H:%M"
      element: cell
      separator: ";"
      decimal: ","
      encoding: cp1252
      order: time
      columns: {load: Last}
      codes: {state: {"an": 1, "aus": 0}}
  target: {task: regression, expression: last(load), horizon: 1s}
"""


def test_a_file_is_read_as_the_source_says_that_it_is_written(tmp_path: Path) -> None:
    source = load_text(WRITTEN, "spec").sources["cells"]
    path = tmp_path / "cells.csv"
    lines = (
        "Zeit;cell;Last;up;state",
        "02.01.2026 00:00;süd;1,5;TRUE;an",
        "01.01.2026 00:00;süd;0,5;false;fern",
    )
    path.write_bytes("\n".join(lines).encode("cp1252"))
    older, newer = (decode_report(row.report).samples[0] for row in read_rows(path, source))
    assert newer.time_ms - older.time_ms == 86_400_000
    assert older.values == {"load": 0.5, "up": 0.0, "state": None}
    assert newer.values == {"load": 1.5, "up": 1.0, "state": 1.0}


def test_a_file_without_times_or_header_has_a_row_a_second(tmp_path: Path) -> None:
    spec = SPEC.replace("    labels: [site]\n", "").replace(
        "csv: {time: at, element: cell, columns: {load: Load %}}",
        "csv: {time_format: row, header: false, one_element: plant,"
        " columns: {load: column_1, users: column_2}}",
    )
    source = load_text(spec, "spec").sources["cells"]
    first, second = rows_of(tmp_path, source, "1,2\n3,4\n")
    assert (first.time_ms, second.time_ms) == (946_684_800_000, 946_684_801_000)
    assert decode_report(first.report).samples[0].values == {"load": 1.0, "users": 2.0}


def test_columns_without_or_with_the_same_name_are_told_apart() -> None:
    assert column_names([" a ", "", "a", "a_2"]) == ["a", "column_2", "a_2", "a_2_2"]


def test_rows_are_counted_for_progress(tmp_path: Path) -> None:
    path = tmp_path / "cells.csv"
    path.write_text(HEADER + "x\n" * 7)
    assert count_rows(path) == 7
    path.write_bytes(gzip.compress((HEADER + "x\n" * 7).encode()))
    assert count_rows(path) == 7


def test_progress_says_what_is_left_when_the_total_is_known() -> None:
    known = progress_line(100, 400, 10.0, 0)
    assert known == "100 of 400 rows (25%), up to 1970-01-01T00:00:00Z, 10 rows/s, about 30 s left"
    assert progress_line(100, None, 10.0, 0) == "100 rows, up to 1970-01-01T00:00:00Z, 10 rows/s"
    assert "about 50 min left" in progress_line(100, 30_100, 10.0, 0)


def test_bytes_that_are_no_text_are_no_csv(tmp_path: Path, source: Source) -> None:
    path = tmp_path / "image.csv"
    path.write_bytes(b"\x89PNG\r\n\x1a\n\x00\xff\xfe")
    with pytest.raises(CsvError, match="no CSV"):
        list(read_rows(path, source))
    path.write_bytes(b"\x1f\x8b\x08\x00broken")
    with pytest.raises(CsvError):
        list(read_rows(path, source))


def test_a_missing_file_is_named(tmp_path: Path, source: Source) -> None:
    with pytest.raises(CsvError, match=r"nothing\.csv"):
        list(read_rows(tmp_path / "nothing.csv", source))


TRUTH_SPEC = """\
apiVersion: flyball/v1
kind: Pipeline
metadata: {name: cells}
spec:
  source:
    metrics: [load]
    csv: {time: at, element: cell, truth: {column: class, codes: {UP: 1, DOWN: 0}}}
  target: {task: binary, kind: feedback, horizon: 1h}
"""


def labels_of(tmp_path: Path, spec: str, *cells: str) -> list[object]:
    """What would be published about a row for each cell of truth; None = nothing."""
    source = load_text(spec, "spec").sources["cells"]
    lines = "".join(f"2026-01-01T00:00:00,c1,1,{cell}\n" for cell in cells)
    rows = rows_of(tmp_path, source, "at,cell,load,class\n" + lines)
    return [None if row.label is None else json.loads(row.label) for row in rows]


def test_a_cell_of_truth_is_a_label_of_its_own_and_no_metric(tmp_path: Path) -> None:
    at = {"time_ms": 1_767_225_600_000}
    assert labels_of(tmp_path, TRUTH_SPEC, "UP", "DOWN", "", "sideways", "1") == [
        {**at, "value": 1},
        {**at, "value": 0},
        None,
        {**at, "value": "sideways"},  # as it is: ingest refuses it and says so
        {**at, "value": "1"},
    ]
    numbers = TRUTH_SPEC.replace(", codes: {UP: 1, DOWN: 0}", "")
    assert labels_of(tmp_path, numbers, "0", "0.5", "NA", "UP") == [
        {**at, "value": 0.0},
        {**at, "value": 0.5},
        None,
        {**at, "value": "UP"},
    ]


def test_a_code_wins_over_a_text_that_usually_says_missing(tmp_path: Path) -> None:
    spec = TRUTH_SPEC.replace("codes: {UP: 1, DOWN: 0}", 'codes: {"None": 0, Attack: 1}')
    found = labels_of(tmp_path, spec, "None", "NA")
    assert found == [{"time_ms": 1_767_225_600_000, "value": 0}, None]


def test_truth_about_a_row_whose_time_cannot_be_read_says_it_alike(tmp_path: Path) -> None:
    source = load_text(TRUTH_SPEC, "spec").sources["cells"]
    (row,) = rows_of(tmp_path, source, "at,cell,load,class\nyesterday,c1,1,UP\n")
    assert row.label is not None
    assert json.loads(row.label) == {"time": "yesterday", "value": 1}


def test_a_file_without_the_column_of_truth_is_refused(tmp_path: Path) -> None:
    source = load_text(TRUTH_SPEC, "spec").sources["cells"]
    with pytest.raises(CsvError, match="class"):
        rows_of(tmp_path, source, "at,cell,load\n2026-01-01T00:00:00,c1,1\n")


def labelled(element: str, number: int, *, known: bool = True) -> CsvRow:
    return CsvRow(element, number, b"", b"%d" % number if known else None)


@given(st.lists(st.tuples(st.sampled_from("abc"), st.booleans()), max_size=40), st.integers(0, 6))
def test_a_label_comes_right_behind_a_later_row_of_its_element(
    steps: list[tuple[str, bool]], delay_rows: int
) -> None:
    rows = [labelled(element, i, known=known) for i, (element, known) in enumerate(steps)]
    delay, found = LabelDelay(delay_rows), []
    for i, row in enumerate(rows):
        if (label := delay.behind(row)) is not None:
            found.append((i, label.element, int(label.data)))
    rest = [(label.element, int(label.data)) for label in delay.rest()]
    expected, open_rows = [], []
    for i, row in enumerate(rows):
        later = [k for k in range(i, len(rows)) if rows[k].element == row.element]
        if row.label is None:
            continue
        if delay_rows < len(later):
            expected.append((later[delay_rows], row.element, i))
        else:
            open_rows.append((row.element, i))
    assert found == sorted(expected)
    assert rest == open_rows
    assert list(delay.rest()) == []


def test_a_label_cannot_come_before_its_row() -> None:
    with pytest.raises(ValueError, match="-1 rows; valid: 0 or more"):
        LabelDelay(-1)


@given(st.lists(st.one_of(st.none(), st.integers(0, 20)), max_size=60), st.integers(1, 10))
def test_stretches_keep_every_row_and_never_split_an_instant(
    times: list[int | None], least: int
) -> None:
    rows = [CsvRow("c", time_ms, b"") for time_ms in times]
    cut = list(stretches(iter(rows), least))
    assert [row for stretch in cut for row in stretch] == rows
    assert all(len(stretch) >= least for stretch in cut[:-1])
    newest = -1
    for stretch in cut:
        first = stretch[0].time_ms
        assert newest == -1 or (first is not None and first > newest)
        newest = max([newest, *(r.time_ms for r in stretch if r.time_ms is not None)])


@given(
    st.lists(st.one_of(st.none(), st.integers(0, 40)), max_size=60),
    st.integers(1, 10),
    st.integers(1, 12),
)
def test_stretches_of_blocks_end_where_a_block_does(
    times: list[int | None], least: int, block_ms: int
) -> None:
    rows = [CsvRow("c", time_ms, b"") for time_ms in times]
    cut = list(stretches(iter(rows), least, block_ms))
    assert [row for stretch in cut for row in stretch] == rows
    assert all(len(stretch) >= least for stretch in cut[:-1])
    known = [[r.time_ms for r in stretch if r.time_ms is not None] for stretch in cut]
    newest = -1
    for before, behind in pairwise(known):
        newest = max([newest, *before])
        assert behind[0] // block_ms > newest // block_ms


def test_a_stretch_of_blocks_is_no_longer_than_it_must_be() -> None:
    rows = [CsvRow("c", time_ms, b"") for time_ms in range(0, 100, 2)]
    cut = list(stretches(iter(rows), 12, 10))
    assert [(s[0].time_ms, len(s)) for s in cut] == [(0, 15), (30, 15), (60, 15), (90, 5)]


@pytest.mark.parametrize(("text", "speed"), [("max", None), ("60", 60.0), ("0.5", 0.5)])
def test_speed_is_max_or_a_number(text: str, speed: float | None) -> None:
    assert parse_speed(text) == speed


@pytest.mark.parametrize("text", ["fast", "0", "-1", "nan", "inf"])
def test_any_other_speed_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="valid: max"):
        parse_speed(text)


def test_a_file_with_several_pipelines_asks_which() -> None:
    second = SPEC.replace("name: cells", "name: other")
    catalogue = load_text(f"{SPEC}---\n{second}", "spec")
    assert choose(catalogue, "other")[0].name == "other"
    for wanted in (None, "third"):
        with pytest.raises(InvalidInputError, match="one of cells, other"):
            choose(catalogue, wanted)
