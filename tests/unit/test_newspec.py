"""A first specification from a CSV file."""

import gzip

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball_local.csvfile.csvprofile import CsvError, profile
from flyball_local.proposing.newspec import propose
from flyball_local.specfile import load_text
from flyball_proto.spec import feature_names


def written(tmp_path, header, rows, name="cells.csv"):
    path = tmp_path / name
    text = "\n".join([header, *rows]) + "\n"
    path.write_bytes(gzip.compress(text.encode()) if name.endswith(".gz") else text.encode())
    return path


def hours(count, cells="{i}.5,{j}", elements=("a", "b")):
    """Rows `timestamp,element,<cells>`, one an hour and element, from 2026-01-01."""
    return [
        f"2026-01-{1 + i // 24:02}T{i % 24:02}:00:00,{element},"
        + cells.format(i=i, j=i % 2, k=i % 3)
        for i in range(count)
        for element in elements
    ]


def words(text):
    """Comments in one line."""
    return " ".join(text.replace("#", " ").split())


def proposed(path, target, **options):
    catalogue = load_text(propose(path, target, **options).text, "proposal")
    (pipeline,) = catalogue.pipelines.values()
    return catalogue.source_of(pipeline), pipeline


def test_a_numeric_target_becomes_a_forecast_one_interval_ahead(tmp_path):
    path = written(tmp_path, "timestamp,element,load,up", hours(72))
    source, pipeline = proposed(path, "load")
    assert (source.name, pipeline.name) == ("cells", "cells-load")
    assert source.spec.interval_ms == 3_600_000
    assert source.spec.season_ms == 86_400_000
    target = pipeline.spec.target
    assert (target.task, target.expression, target.horizon_ms) == (
        "regression",
        "last(load) - load",
        3_600_000,
    )
    assert {"load.last", "up.last"} <= set(feature_names(pipeline, source))


def test_a_gzipped_file_is_read_as_a_plain_one(tmp_path):
    rows = hours(72)
    path = written(tmp_path, "timestamp,element,load,up", rows)
    plain = propose(path, "load").text
    zipped = written(tmp_path, "timestamp,element,load,up", rows, "cells.csv.gz")
    zipped = propose(zipped, "load").text
    assert zipped == plain.replace('"cells.csv"', '"cells.csv.gz"')


def test_every_value_of_the_file_lies_in_the_proposed_ranges(tmp_path):
    rows = hours(48, cells="{i}e3,-{i}.25")
    path = written(tmp_path, "timestamp,element,large,negative", rows)
    source, _ = proposed(path, "large")
    large, negative = source.metric("large").range, source.metric("negative").range
    assert large[0] <= 0 < 47_000 < large[1] < 500_000
    assert negative[0] < -47.25 < 0 <= negative[1]


def test_shares_keep_the_range_of_shares(tmp_path):
    path = written(tmp_path, "timestamp,element,load,up", hours(48, cells="0.{i},{j}"))
    assert proposed(path, "load")[0].metric("load").range == (0, 1)


def test_zeroes_and_ones_are_truth_and_never_a_feature(tmp_path):
    path = written(tmp_path, "timestamp,element,load,fault", hours(48))
    source, pipeline = proposed(path, "fault")
    assert (pipeline.spec.target.task, pipeline.spec.target.kind) == ("binary", "feedback")
    assert source.spec.csv.truth.column == "fault"
    assert source.metric("fault") is None


def test_a_horizon_turns_zeroes_and_ones_into_a_forecast(tmp_path):
    path = written(tmp_path, "timestamp,element,load,fault", hours(48))
    source, pipeline = proposed(path, "fault", horizon="3h")
    assert pipeline.spec.target.expression == "max(fault) > 0.5"
    assert pipeline.spec.target.horizon_ms == 3 * 3_600_000
    assert "fault.last" in feature_names(pipeline, source)  # what is so far is no leak


@pytest.mark.parametrize(
    ("cells", "task", "codes"),
    [
        ("{i},s{j}", "binary", {"s0": 0, "s1": 1}),
        ("{i},s{k}", "multiclass", {"s0": 0, "s1": 1, "s2": 2}),
        ("{i},{k}", "multiclass", {}),
    ],
)
def test_classes_are_taken_from_the_texts_found(tmp_path, cells, task, codes):
    source, pipeline = proposed(
        written(tmp_path, "timestamp,element,load,state", hours(48, cells=cells)), "state"
    )
    assert pipeline.spec.target.task == task
    assert source.spec.csv.truth.codes == codes
    assert len(pipeline.spec.target.classes) == (3 if task == "multiclass" else 0)


def test_texts_with_few_values_become_labels_and_others_are_left_out(tmp_path):
    rows = [f"{row},id-{i}" for i, row in enumerate(hours(72, cells="{i},zone{j}"))]
    path = written(tmp_path, "timestamp,element,load,my zone,serial", rows)
    source, _ = proposed(path, "load")
    assert source.spec.labels == ("my_zone",)
    assert source.spec.csv.label_column("my_zone") == "my zone"
    assert 'left out: column "serial"' in propose(path, "load").text


def test_headers_that_no_metric_may_have_are_mapped(tmp_path):
    header = "timestamp,element,Flow Packets/s,Flow Packets s,in-rate,class,2nd"
    rows = hours(48, cells="{i},{i}.5,{i},{i},{i}")
    source, pipeline = proposed(written(tmp_path, header, rows), "in-rate")
    assert [m.name for m in source.spec.metrics] == [
        "Flow_Packets_s",
        "Flow_Packets_s_2",
        "in-rate",
        "class",
        "_2nd",
    ]
    assert source.spec.csv.column("Flow_Packets_s_2") == "Flow Packets s"
    assert pipeline.spec.target.parsed.metric == "in-rate"


def test_a_file_without_an_element_column_is_of_one_element(tmp_path):
    rows = [f"{1767225600 + 60 * i},{i}.5" for i in range(50)]
    path = written(tmp_path, "time,load", rows, "5.csv")
    source, _ = proposed(path, "load")
    assert source.spec.csv.one_element == source.name == "5"
    assert (source.spec.csv.time, source.spec.csv.time_format) == ("time", "epoch_s")
    assert source.spec.interval_ms == 60_000


def test_milliseconds_are_told_from_seconds(tmp_path):
    rows = [f"{1767225600000 + 500 * i},{i}.5" for i in range(50)]
    source, _ = proposed(written(tmp_path, "ts,load", rows), "load")
    assert (source.spec.csv.time_format, source.spec.interval_ms) == ("epoch_ms", 500)


def test_columns_can_be_named_by_hand(tmp_path):
    rows = [f"{row},x{i % 3}" for i, row in enumerate(hours(48))]
    path = written(tmp_path, "when,element,load,up,port", rows)
    source, _ = proposed(path, "load", time="when", element="port", name="My Net")
    assert (source.spec.csv.time, source.spec.csv.element) == ("when", "port")
    assert source.name == "my-net"


def test_missing_values_are_counted_and_do_not_make_a_metric_required(tmp_path):
    rows = [*hours(48), "2026-01-09T00:00:00,a,,1", "2026-01-09T01:00:00,a,NaN,1"]
    path = written(tmp_path, "timestamp,element,load,up", rows)
    assert "2 missing" in propose(path, "load").text
    assert not proposed(path, "load")[0].metric("load").required


def test_repeated_times_and_unusable_element_names_are_told(tmp_path):
    rows = hours(48, elements=("a.b", "c"))
    text = propose(written(tmp_path, "timestamp,element,load,up", [*rows, rows[-1]]), "load").text
    assert "1 rows (1.0%) have the element and time of another, 1 of them alike" in words(text)
    assert '1 names hold what NATS cannot carry; it stands as %XX, e.g. "a%2Eb"' in words(text)


@pytest.mark.parametrize(
    ("header", "rows", "target", "says"),
    [
        ("timestamp,element,load", ["2026-01-01T00:00:00,a,1"], "laod", "did you mean load"),
        ("timestamp,element,load", ["2026-01-01T00:00:00,a,1"], "timestamp", "time or element"),
        ("timestamp,element,load", ["2026-01-01T00:00:00,a,1"], "load", "only the value '1'"),
        ("timestamp,element,load", ["2026-01-01T00:00:00,a,"], "load", "no value"),
        ("timestamp,element,load", [], "load", "a header without rows"),
        ("timestamp,a", ['2026-01-01T00:00:00,"1'], "a", "no CSV"),
        ("timestamp,a", ["2026-01-01T00:00:00,x", "2026-01-01T01:00:00,y"], "a", "no column besid"),
        ("A table of cells", ["timestamp,load,up", "1,2,3", "2,3,4"], "load", "above the table"),
        ("timestamp,a", ["1800-01-01,1", "1900-01-01,2", "2000-01-01,3"], "a=4", "found no '4'"),
    ],
    ids=[
        "misspelt target",
        "target is the time",
        "constant target",
        "empty target",
        "no rows",
        "open quote",
        "nothing to learn from",
        "a title above the table",
        "a value that is not there",
    ],
)
def test_a_file_that_does_not_say_enough_is_refused_in_words(tmp_path, header, rows, target, says):
    with pytest.raises(CsvError, match=says) as refused:
        propose(written(tmp_path, header, rows), target)
    assert "found" in str(refused.value)
    assert "valid" in str(refused.value)


def test_rows_that_have_no_time_or_another_width_are_told_and_left_to_the_replay(tmp_path):
    rows = [*hours(150), "tomorrow,a,1,1", "2026-01-01T00:00:00,a,1"]
    text = words(propose(written(tmp_path, "timestamp,element,load,up", rows), "load").text)
    assert 'rows: 1 have no time, e.g. "tomorrow"' in text
    assert "rows: 1 have another number of cells than the first, e.g. line 303" in text


def test_a_file_most_of_whose_rows_have_no_time_is_refused(tmp_path):
    rows = [*hours(250), *(["later,a,1,1"] * 900)]
    with pytest.raises(CsvError, match=r"found 900 of 1400 rows without a time .* 'later'"):
        propose(written(tmp_path, "timestamp,element,load,up", rows), "load")


@pytest.mark.parametrize("option", ["time", "element"])
def test_a_column_that_the_file_has_not_is_refused_with_those_found(tmp_path, option):
    path = written(tmp_path, "timestamp,element,load,up", hours(48))
    with pytest.raises(CsvError, match="valid: timestamp, element, load, up"):
        propose(path, "load", **{option: "nowhere"})


@pytest.mark.parametrize("horizon", ["1min", "soon"])
def test_a_horizon_that_cannot_be_is_refused(tmp_path, horizon):
    path = written(tmp_path, "timestamp,element,load,up", hours(48))
    with pytest.raises(CsvError, match=f"horizon: found '?{horizon}"):
        propose(path, "load", horizon=horizon)


@pytest.mark.parametrize(
    "content",
    [
        b"\x1f\x8bbroken",
        b"\xff\xfe\x00\x01",
        b"",
        pytest.param(gzip.compress(b"a,b\n1,2\n" * 99)[:-9], id="truncated gzip"),
    ],
)
def test_what_is_no_csv_file_is_refused(tmp_path, content):
    path = tmp_path / "cells.csv"
    path.write_bytes(content)
    with pytest.raises(CsvError, match="valid"):
        propose(path, "load")


def test_a_missing_file_is_refused(tmp_path):
    with pytest.raises(CsvError, match="check the path"):
        propose(tmp_path / "none.csv", "load")


_CELL = st.one_of(
    st.floats(-1e12, 1e12).map(repr),
    st.integers(-5, 5).map(str),
    st.sampled_from(["", "NaN", "x", "on", "null", 'say "hi"', "a,b", "true"]),
)
_HEADER = st.text(st.characters(codec="utf-8", exclude_characters="\r\n"), min_size=1, max_size=12)


@settings(max_examples=60, deadline=None)
@given(
    names=st.lists(_HEADER, min_size=2, max_size=5, unique_by=str.casefold),
    rows=st.lists(st.lists(_CELL, min_size=5, max_size=5), min_size=2, max_size=20),
)
def test_whatever_the_file_holds_the_proposal_validates_or_is_refused(
    tmp_path_factory, names, rows
):
    def quoted(text):
        return '"' + text.replace('"', '""') + '"'

    path = tmp_path_factory.mktemp("csv") / "any.csv"
    lines = [",".join(map(quoted, ["timestamp", *names]))]
    for i, row in enumerate(rows):
        cells = [f"2026-01-01T00:{i:02}:00", *row[: len(names)]]
        lines.append(",".join(map(quoted, cells)))
    path.write_text("\n".join(lines), encoding="utf-8")
    try:
        text = propose(path, names[0]).text
    except CsvError:
        return
    catalogue = load_text(text, "proposal")
    (source,) = catalogue.sources.values()
    columns = profile(path).columns
    assert {source.spec.csv.column(m.name) for m in source.spec.metrics} <= set(columns)
