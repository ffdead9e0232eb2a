"""Files that nobody prepared: what is told of them, and what a proposal makes of it."""

import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball_local.csvfile import csvprofile
from flyball_local.csvfile.csvdialect import CsvError, Dialect, sniff
from flyball_local.csvfile.csvprofile import profile
from flyball_local.csvfile.csvrows import read_rows
from flyball_local.csvfile.csvtimes import guess_format, parser
from flyball_local.invalid import InvalidInputError
from flyball_local.proposing.guessing import column_lines, likely_target
from flyball_local.proposing.newspec import free_path, propose, write
from flyball_local.proposing.owndata import Wishes, ask_for_target, overview, written
from flyball_local.specfile import load_text
from flyball_proto.report import decode_report
from flyball_proto.spec import feature_names

HOUR_MS = 3_600_000


def file_of(folder: Path, *lines: str, encoding: str = "utf-8") -> Path:
    path = folder / "cells.csv"
    path.write_bytes("\n".join([*lines, ""]).encode(encoding))
    return path


def seconds(count: int, cells: str = "{i}.5,{j}") -> list[str]:
    """Rows `time,<cells>` of one element."""
    return [f"{1_767_225_600 + i}," + cells.format(i=i, j=i % 2, k=i % 3) for i in range(count)]


def words_of(path: Path, target: str, **options: str) -> str:
    return " ".join(propose(path, target, **options).checks)


def source_of(path: Path, target: str, **options: str):
    catalogue = load_text(propose(path, target, **options).text, "proposal")
    (pipeline,) = catalogue.pipelines.values()
    return catalogue.source_of(pipeline), pipeline


@pytest.mark.parametrize("separator", [",", ";", "\t", "|"])
def test_the_separator_is_told_from_the_rows(tmp_path: Path, separator: str) -> None:
    lines = ["time,load,up", *seconds(30)]
    path = file_of(tmp_path, *(line.replace(",", separator) for line in lines))
    assert sniff(path) == Dialect(separator)
    assert source_of(path, "load")[0].spec.csv.separator == separator


def test_decimal_commas_are_told_from_separators(tmp_path: Path) -> None:
    path = file_of(tmp_path, "time;load", *(f"{1_767_225_600 + i};{i},5" for i in range(30)))
    assert sniff(path) == Dialect(";", ",")
    source, _ = source_of(path, "load")
    assert [r.time_ms for r in read_rows(path, source)][:2] == [
        1_767_225_600_000,
        1_767_225_601_000,
    ]
    assert "separated by semicolons, with decimal commas" in words_of(path, "load")


def test_one_column_of_numbers_is_a_file(tmp_path: Path) -> None:
    for decimal in ".,":
        path = file_of(tmp_path, "load", *(f"{i}{decimal}5" for i in range(40)))
        source, pipeline = source_of(path, "load")
        rows = [decode_report(row.report).samples[0] for row in read_rows(path, source)]
        assert [r.values["load"] for r in rows[:2]] == [0.5, 1.5]
        assert source.spec.csv.time_format == "row"
        assert pipeline.spec.target.horizon_ms == 1_000
    assert "the row number stands for it" in words_of(path, "load")


def test_a_file_without_a_header_gets_numbered_columns(tmp_path: Path) -> None:
    path = file_of(tmp_path, *(f"2026-01-01T00:00:{i:02},{i % 7},x" for i in range(40)))
    source, _ = source_of(path, "column_2")
    assert not source.spec.csv.header
    assert len(list(read_rows(path, source))) == 40
    with pytest.raises(CsvError, match="valid: column_1, column_2, column_3"):
        propose(path, "load")


@pytest.mark.parametrize("encoding", ["utf-8-sig", "utf-16", "cp1252"])
def test_the_characters_of_a_file_are_told(tmp_path: Path, encoding: str) -> None:
    path = file_of(tmp_path, "time,Höhe", *seconds(30, "{i}"), encoding=encoding)
    source, _ = source_of(path, "Höhe")
    assert source.spec.csv.encoding == encoding.removesuffix("-sig")
    assert source.spec.csv.column("H_he") == "Höhe"
    assert len(list(read_rows(path, source))) == 30


@pytest.mark.parametrize(
    ("cells", "time_format"),
    [
        (["2026-01-01", "2026-01-02"], "iso"),
        (["2026-01-01 10:00:00.123456789+01:00"], "iso"),
        (["1767225600.25"], "epoch_s"),
        (["1767225600000"], "epoch_ms"),
        (["1767225600000000"], "epoch_us"),
        (["1767225600000000000"], "epoch_ns"),
        (["0", "1", "2"], "epoch_s"),
        (["31/12/2025 10:00", "01/01/2026 10:00"], "%d/%m/%Y %H:%M"),
        (["12/31/2025 1:00 PM"], "%m/%d/%Y %I:%M %p"),
        (["31.12.2025"], "%d.%m.%Y"),
        (["10/03/2004 18.00.00"], "%d/%m/%Y %H.%M.%S"),
        (["3-Jan-2026 10:00:00"], "%d-%b-%Y %H:%M:%S"),
    ],
)
def test_times_are_read_as_they_are_written(cells: list[str], time_format: str) -> None:
    found = guess_format(cells)
    assert found is not None
    assert found.time_format == time_format
    assert all(parser(time_format)(cell) >= 0 for cell in cells)


@pytest.mark.parametrize("cells", [["5", "3", "1", "4", "2"], ["on", "off"], ["1850-01-01"], [""]])
def test_what_is_no_time_is_not_taken_for_one(cells: list[str]) -> None:
    assert guess_format(cells) is None


def test_days_that_may_be_months_are_told(tmp_path: Path) -> None:
    rows = [f"0{1 + i // 24}/02/2026 {i % 24}:00,{i % 11}" for i in range(96)]
    path = file_of(tmp_path, "when,load", *rows)
    source, _ = source_of(path, "load")
    assert source.spec.csv.time_format == "%d/%m/%Y %H:%M"
    assert source.spec.interval_ms == HOUR_MS
    assert "could also be %m/%d/%Y %H:%M" in words_of(path, "load")


def test_the_element_is_found_where_rows_share_their_times(tmp_path: Path) -> None:
    rows = [
        f"{1_767_225_600 + i},p{port},{i * port % 7}.5" for i in range(40) for port in (1, 2, 3)
    ]
    path = file_of(tmp_path, "time,Anschluss,load", *rows)
    found = profile(path)
    assert (found.element, len(found.elements)) == ("Anschluss", 3)
    assert "rows share their times and it tells them apart" in words_of(path, "load")


def test_a_column_that_names_every_row_is_no_element(tmp_path: Path) -> None:
    path = file_of(tmp_path, "time,host,load", *seconds(40, "row-{i},{j}.5"))
    assert profile(path).element is None


@pytest.mark.parametrize("order", ["stacked", "backwards"])
def test_a_file_out_of_order_is_played_by_time(tmp_path: Path, order: str) -> None:
    rows = [f"{1_767_225_600 + i},{cell},{i % 5}.5" for cell in ("a", "b") for i in range(60)]
    path = file_of(tmp_path, "time,cell,load", *(rows if order == "stacked" else rows[::-1]))
    source, _ = source_of(path, "load")
    assert source.spec.csv.order == "time"
    assert source.spec.interval_ms == 1_000
    times = [row.time_ms for row in read_rows(path, source)]
    assert times == sorted(times)
    assert "the file is played sorted by time" in words_of(path, "load")


def test_rows_that_come_late_are_told_and_waited_for(tmp_path: Path) -> None:
    rows = seconds(400, "{k}.5")
    rows[200], rows[203] = rows[203], rows[200]
    path = file_of(tmp_path, "time,load", *rows)
    source, _ = source_of(path, "load")
    assert source.spec.csv.order == "file"
    assert 0 < source.spec.max_lateness_ms <= 3_000
    assert "late: 3 rows are older" in words_of(path, "load")


def test_doubles_and_gaps_are_told(tmp_path: Path) -> None:
    rows = seconds(100, "{k}.5")
    path = file_of(tmp_path, "time,load", *rows[:50], rows[49], rows[48], "1767235600,1.5")
    said = words_of(path, "load")
    assert "doubles: 2 rows" in said
    assert "2 of them alike in all cells" in said
    assert "gaps: 1 silences of an element above ten intervals, the longest 9951s" in said


def daily(days: int, rhythm: bool) -> list[str]:
    rng = np.random.default_rng(1)
    noise = rng.normal(size=days * 24)
    return [
        f"2026-01-{1 + i // 24:02}T{i % 24:02}:00:00,"
        f"{10 + 3 * np.sin(2 * np.pi * i / 24) * rhythm + noise[i]:.3f}"
        for i in range(days * 24)
    ]


def test_a_season_is_written_only_when_the_data_show_one(tmp_path: Path) -> None:
    path = file_of(tmp_path, "timestamp,load", *daily(12, rhythm=True))
    assert source_of(path, "load")[0].spec.season_ms == 24 * HOUR_MS
    assert "season: 1d, because the target's means by hour" in words_of(path, "load")
    path = file_of(tmp_path, "timestamp,load", *daily(12, rhythm=False))
    assert source_of(path, "load")[0].spec.season_ms == 0
    assert "season: none was seen" in words_of(path, "load")


def test_a_target_that_moves_slowly_is_learnt_as_a_change(tmp_path: Path) -> None:
    rng = np.random.default_rng(2)
    walk, noise = np.cumsum(rng.normal(size=300)), rng.normal(size=300)
    for values, expression in ((walk, "last(load) - load"), (noise, "last(load)")):
        rows = [f"{1_767_225_600 + i},{value:.4f}" for i, value in enumerate(values)]
        path = file_of(tmp_path, "time,load", *rows)
        assert source_of(path, "load")[1].spec.target.expression == expression


def test_columns_that_give_the_target_away_are_named_or_left_out(tmp_path: Path) -> None:
    rng = np.random.default_rng(3)
    rows = []
    for i in range(200):
        fault = int(rng.random() < 0.3)
        rows.append(
            f"{1_767_225_600 + i},{rng.random():.3f},{fault + rng.random() / 10:.3f},{fault},{fault}"
        )
    path = file_of(tmp_path, "time,load,smell,copy,fault", *rows)
    found = propose(path, "fault")
    said = " ".join(found.checks)
    assert 'leak? "smell" goes along with the target' in said
    assert "left out: column \"copy\", it says the same as 'fault', which is the truth" in said
    assert '"load" goes along' not in said


def test_constants_row_numbers_and_ids_are_left_out(tmp_path: Path) -> None:
    rows = [f"{1_767_225_600 + i},{i},7,{(i * 7919) % 100_003},{i % 9}.5" for i in range(120)]
    path = file_of(tmp_path, "time,,rack,serial_id,load", *rows)
    source, _ = source_of(path, "load")
    assert [m.name for m in source.spec.metrics] == ["load"]
    said = words_of(path, "load")
    for words in ('"column_2", it counts the rows', '"rack", 7 everywhere', '"serial_id", an id'):
        assert words in said


def test_booleans_are_numbers_and_strange_texts_missing_values(tmp_path: Path) -> None:
    rows = [f"{1_767_225_600 + i},{i % 9}.5,{bool(i % 3)}" for i in range(100)]
    rows[50] = "1767225650,ERR,True"
    path = file_of(tmp_path, "time,load,open", *rows)
    source, pipeline = source_of(path, "open")
    assert (pipeline.spec.target.task, source.spec.csv.truth.codes) == ("binary", {})
    assert "ERR" in source.spec.csv.missing
    sent = [decode_report(row.report).samples[0].values["load"] for row in read_rows(path, source)]
    assert sent[49:52] == [4.5, None, 6.5]
    assert next(read_rows(path, source)).label.endswith(b'"value":0.0}')


def test_one_class_of_several_can_be_asked_for(tmp_path: Path) -> None:
    path = file_of(tmp_path, "time,load,state", *seconds(90, "{i}.5,s{k}"))
    _, several = source_of(path, "state")
    assert several.spec.target.task == "multiclass"
    source, pipeline = source_of(path, "state=s2")
    assert (pipeline.name, pipeline.spec.target.task) == ("cells-state-s2", "binary")
    assert source.spec.csv.truth.codes == {"s0": 0, "s1": 0, "s2": 1}
    with pytest.raises(CsvError, match="did you mean state=s2"):
        propose(path, "state=s22")


def test_the_rarer_of_two_texts_is_what_is_predicted(tmp_path: Path) -> None:
    rows = [f"{1_767_225_600 + i},{i}.5,{'attack' if i % 10 == 0 else 'calm'}" for i in range(60)]
    path = file_of(tmp_path, "time,load,kind", *rows)
    assert source_of(path, "kind")[0].spec.csv.truth.codes == {"attack": 1, "calm": 0}


def test_a_file_without_numbers_gets_some_for_its_texts(tmp_path: Path) -> None:
    path = file_of(tmp_path, "time,event,kind", *seconds(40, "e{j},p{k}"))
    source, pipeline = source_of(path, "event")
    assert source.spec.csv.codes == {"kind": {"p0": 0, "p1": 1, "p2": 2}}
    assert "kind.last" in feature_names(pipeline, source)
    assert [decode_report(r.report).samples[0].values["kind"] for r in read_rows(path, source)][
        :4
    ] == [0.0, 1.0, 2.0, 0.0]


def test_thousands_of_columns_are_cut_to_those_that_matter(tmp_path: Path) -> None:
    rng = np.random.default_rng(4)
    load = rng.normal(size=30)
    table = rng.normal(size=(30, 1_200))
    table[:, 700] = 2 * load + 0.1 * rng.normal(size=30)
    header = ["time", "load", *(f"m{i}" for i in range(1_200))]
    rows = [
        ",".join([str(1_767_225_600 + i), f"{load[i]:.3f}", *(f"{v:.3f}" for v in table[i])])
        for i in range(30)
    ]
    path = file_of(tmp_path, ",".join(header), *rows)
    source, _ = source_of(path, "load")
    names = [m.name for m in source.spec.metrics]
    assert len(names) == 201
    assert {"load", "m700"} <= set(names)
    assert "left out: 968 further columns" in words_of(path, "load")


def test_of_a_long_file_a_bounded_part_is_looked_into(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(csvprofile, "MAX_CELLS", 3 * 1_000)
    path = file_of(tmp_path, "time,load,up", *seconds(20_000))
    found = profile(path)
    assert (found.rows, found.complete) == (20_000, True)
    assert found.judged <= 1_000
    assert "spread." in words_of(path, "load")
    assert source_of(path, "load")[0].metric("load").range[1] >= 20_000
    monkeypatch.setattr(csvprofile, "MAX_ROWS", 10_000)
    assert "what comes behind is unknown" in words_of(path, "load")


def test_values_that_stretch_a_range_are_told(tmp_path: Path) -> None:
    rows = seconds(2_000, "{k}.5")
    rows[70] = f"{1_767_225_600 + 70},2147483647"
    path = file_of(tmp_path, "time,load", *rows)
    assert source_of(path, "load")[0].metric("load").range[1] >= 2_147_483_647
    assert "outliers: 1 values of load (0.05%) stretch its range" in words_of(path, "load")


@pytest.mark.parametrize("horizon", ["60s", "2d"])
def test_a_horizon_that_reaches_beyond_the_file_is_refused(tmp_path: Path, horizon: str) -> None:
    path = file_of(tmp_path, "time,load", *seconds(60, "{k}.5"))
    with pytest.raises(CsvError, match="hardly a row would ever get its truth"):
        propose(path, "load", horizon=horizon)
    assert "more than a tenth of the file" in words_of(path, "load", horizon="10s")


def test_a_short_file_is_told_not_to_expect_much(tmp_path: Path) -> None:
    path = file_of(tmp_path, "time,load", *seconds(100, "{k}.5"))
    assert "short: the file has 4 blocks of 22s" in words_of(path, "load")


def test_nothing_that_stands_in_the_way_is_overwritten(tmp_path: Path) -> None:
    found = propose(file_of(tmp_path, "time,load", *seconds(60, "{k}.5")), "load")
    first = free_path(found, tmp_path)
    write(found, first)
    assert first.name == "cells-load.yaml"
    assert free_path(found, tmp_path) == first
    write(found, first)
    first.write_text("mine")
    assert free_path(found, tmp_path).name == "cells-load-2.yaml"
    with pytest.raises(InvalidInputError, match="choose another name with --out"):
        write(found, first)
    with pytest.raises(InvalidInputError, match="found no place to write"):
        write(found, tmp_path / "nowhere" / "cells.yaml")


def test_a_replay_says_the_lines_that_matter_and_where_the_specification_is(tmp_path: Path) -> None:
    said: list[str] = []
    out = tmp_path / "mine.yaml"
    path = file_of(tmp_path, "time,load", *seconds(60, "{k}.5"))
    assert written(path, "load", Wishes(out=out), said.append) == out
    assert said[0].startswith("cells.csv: 60 rows of 1 element, 2026-01-01T00:00:00Z to")
    assert said[1].startswith("  target: ")
    assert said[-1] == f"wrote {out}; playing it now"


def test_columns_are_listed_with_a_guess_and_the_command(tmp_path: Path) -> None:
    path = file_of(tmp_path, "time,cell,load,note,fault", *seconds(90, "c{k},{i},n{i},{j}"))
    found = profile(path)
    lines = list(column_lines(found))
    assert any(re.match(r"cell +element: 3 of them", line) for line in lines)
    assert any(re.match(r"note +text, many values", line) for line in lines)
    assert likely_target(found) == "fault"
    _, likely = overview(path, Wishes())
    assert f"flyball replay --csv {path} --target fault" in str(ask_for_target(path, likely))


_ODD = st.one_of(
    st.text(st.characters(codec="utf-8"), max_size=8),
    st.floats().map(repr),
    st.integers(-(10**20), 10**20).map(str),
    st.sampled_from(["", "NA", "1,5", "true", "2026-01-01", "01/02/2026", "1e999", "0x10", "-"]),
    st.datetimes().map(str),
)


def _is_sentence(error: CsvError) -> bool:
    return "found" in str(error) and "valid" in str(error)


@settings(max_examples=80)
@given(
    rows=st.lists(st.lists(_ODD, min_size=1, max_size=5), max_size=12),
    separator=st.sampled_from(",;\t|"),
    repeat=st.integers(1, 6),
)
def test_whatever_a_file_holds_there_is_a_proposal_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, rows: list[list[str]], separator: str, repeat: int
) -> None:
    path = tmp_path_factory.mktemp("odd") / "any.csv"
    lines = [separator.join(row) for row in rows]
    path.write_text("\n".join(lines[:1] + lines[1:] * repeat), encoding="utf-8")
    refused: list[CsvError] = []
    try:
        found = profile(path)
        assert list(column_lines(found))
        targets = list(found.columns)
    except CsvError as error:
        refused.append(error)
        targets = []
    for target in targets:
        try:
            text = propose(path, target).text
            (source,) = load_text(text, "proposal").sources.values()
            assert all(row.element for row in read_rows(path, source))
        except CsvError as error:
            refused.append(error)
    assert all(map(_is_sentence, refused))


@settings(max_examples=60)
@given(st.binary(max_size=300))
def test_whatever_bytes_a_file_holds_there_is_a_profile_or_a_sentence(
    tmp_path_factory: pytest.TempPathFactory, data: bytes
) -> None:
    path = tmp_path_factory.mktemp("bytes") / "any.csv"
    path.write_bytes(data)
    refused: list[CsvError] = []
    try:
        profile(path)
    except CsvError as error:
        refused.append(error)
    assert all(map(_is_sentence, refused))
