"""What replay makes of a CSV file, and where it cuts a history into stretches."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball_local.csvprofile import CsvError
from flyball_local.csvrows import CsvRow, read_rows
from flyball_local.invalid import InvalidInputError
from flyball_local.player import stretches
from flyball_local.replay import choose, parse_speed, require_spec
from flyball_local.specfile import load_text
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


@pytest.mark.parametrize(
    ("text", "words"),
    [
        (HEADER + "2026-01-01T00:00:00,c1,1,2\n", "line 2: found 4 cells"),
        (HEADER + "2026-01-01T00:00:00,a.b,1,2,n\n", "element name 'a.b'"),
        (HEADER + '2026-01-01T00:00:00,"c1,1,2,n\n', "no CSV"),
    ],
)
def test_a_row_that_no_element_could_send_is_named(
    tmp_path: Path, source: Source, text: str, words: str
) -> None:
    with pytest.raises(CsvError, match=words):
        rows_of(tmp_path, source, text)


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


@pytest.mark.parametrize(("text", "speed"), [("max", None), ("60", 60.0), ("0.5", 0.5)])
def test_speed_is_max_or_a_number(text: str, speed: float | None) -> None:
    assert parse_speed(text) == speed


@pytest.mark.parametrize("text", ["fast", "0", "-1", "nan", "inf"])
def test_any_other_speed_is_refused(text: str) -> None:
    with pytest.raises(InvalidInputError, match="valid: max"):
        parse_speed(text)


def test_a_replay_without_specification_says_how_to_write_one() -> None:
    with pytest.raises(InvalidInputError, match=r"flyball new spec --csv x\.csv"):
        require_spec(None, Path("x.csv"))


def test_a_file_with_several_pipelines_asks_which() -> None:
    second = SPEC.replace("name: cells", "name: other")
    catalogue = load_text(f"{SPEC}---\n{second}", "spec")
    assert choose(catalogue, "other")[0].name == "other"
    for wanted in (None, "third"):
        with pytest.raises(InvalidInputError, match="one of cells, other"):
            choose(catalogue, wanted)
