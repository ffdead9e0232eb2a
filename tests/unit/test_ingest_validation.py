"""What is refused, with which code; a table of the bad input that networks send."""

import json
import math
from typing import Any

import pytest

from flyball_ingest.rows import Row
from flyball_ingest.validation import (
    Judged,
    Rules,
    canonical_labels,
    element_of,
    join_codes,
    read_report,
)
from flyball_proto.columns import Quality
from flyball_proto.report import Report, ReportError, Sample
from flyball_proto.spec import Source

SOURCE = Source.model_validate(
    {
        "apiVersion": "flyball/v1",
        "kind": "Source",
        "metadata": {"name": "ran"},
        "spec": {
            "metrics": [
                {"name": "load", "range": [0, 1]},
                {"name": "power", "range": [0, 50], "on_invalid": "clip"},
                {"name": "temp", "range": [-40, 85], "on_invalid": "null"},
                {"name": "users", "required": True},
                {"name": "supi", "privacy": "drop", "range": [0, 1]},
            ],
            "labels": ["site", "band"],
        },
    }
)
RULES = Rules(SOURCE, ("load", "temp", "power", "users"), 2)
ALL = {"load": 0.5, "temp": 20.0, "power": 10.0, "users": 3.0, "supi": 9.9e9}


def judge(values: dict[str, float | None], time_ms: int = 0) -> Judged:
    return RULES.judge(Report("c1", {}, [Sample(time_ms, values)]), 7, 1_000)


def report(**fields: Any) -> bytes:
    return json.dumps({"element": "c1", "time_ms": 1, "values": {"users": 1}, **fields}).encode()


def test_a_sample_in_range_keeps_the_order_of_columns_and_drops_what_is_private() -> None:
    assert judge(ALL) == ([Row(0, 7, 0, Quality.OK, (0.5, 20.0, 10.0, 3.0))], 0, set())


@pytest.mark.parametrize(
    ("changed", "values", "quality"),
    [
        ({"power": 60.0}, (0.5, 20.0, 50.0, 3.0), Quality.CLIPPED),
        ({"power": -1.0}, (0.5, 20.0, 0.0, 3.0), Quality.CLIPPED),
        ({"temp": 900.0}, (0.5, math.nan, 10.0, 3.0), Quality.NULL),
        ({"load": None}, (math.nan, 20.0, 10.0, 3.0), Quality.NULL),
        ({"users": None}, (0.5, 20.0, 10.0, math.nan), Quality.OK),
    ],
)
def test_what_is_mended_or_missing_leaves_a_mark(
    changed: dict[str, float | None], values: tuple[float, ...], quality: Quality
) -> None:
    (row,), refused, codes = judge({**ALL, **changed})
    assert row.values == pytest.approx(values, nan_ok=True)
    assert (row.quality, refused, codes) == (quality, 0, set())


@pytest.mark.parametrize(
    ("found", "codes"),
    [
        ({**ALL, "load": 1.5}, ("out-of-range:load",)),
        ({**ALL, "load": -0.1, "tmp": 1.0}, ("out-of-range:load", "unknown-metric:tmp")),
        ({"load": 0.5}, ("missing-metric:users",)),
        ({**ALL, "a,b c\n": 1.0}, ("unknown-metric:a?b?c?",)),
        ({**ALL, "x" * 999: 1.0}, ("unknown-metric:" + "x" * 64,)),
    ],
)
def test_a_sample_is_refused_with_codes_that_name_the_metric(
    found: dict[str, float | None], codes: tuple[str, ...]
) -> None:
    assert judge(found) == ([], 1, set(codes))


def test_a_time_in_the_future_is_refused_beside_other_reasons() -> None:
    assert judge(ALL, 61_000).refused == 0
    assert judge(ALL, 61_001).codes == {"future-time"}
    assert judge({**ALL, "load": 2.0}, 61_001).codes == {"future-time", "out-of-range:load"}


def test_good_samples_keep_their_place_in_the_report() -> None:
    samples = [Sample(i, {**ALL, "load": load}) for i, load in enumerate((0.1, 9.0, None, 0.2))]
    judged = RULES.judge(Report("c1", {}, samples), 7, 1_000)
    assert [row.sample for row in judged.rows] == [0, 2, 3]
    assert (judged.refused, judged.codes) == (1, {"out-of-range:load"})


def test_a_metric_that_may_be_absent_counts_as_missing() -> None:
    (row,), _, _ = judge({"load": 0.5, "users": 1.0})
    assert row.values == pytest.approx((0.5, math.nan, math.nan, 1.0), nan_ok=True)
    assert row.quality == Quality.NULL


@pytest.mark.parametrize(
    ("data", "code"),
    [
        (b"load=0.5", "not-json"),
        (b"\xff\xfe", "not-json"),
        (b'{"element":"c1","time_ms":1,"values":{"load":NaN}}', "not-json"),
        (b'{"element":"c1","time_ms":1,"values":{"load":1e999}}', "bad-shape"),
        (b'{"element":"c1","time_ms":1,"values":{"load":"0.5"}}', "bad-shape"),
        (report(extra=1), "bad-shape"),
        (report(time_ms=-5), "bad-time"),
        (report(values={}), "no-values"),
        (report(values={f"m{i}": 1 for i in range(2_000)}), "too-many-fields"),
        (report(values={f"m{i}": 1 for i in range(1_000_000)}), "report-too-large"),
        (report(element="c2"), "element-mismatch"),
        (report(element="c.1"), "bad-element"),
        (report(element="c*"), "bad-element"),
        (report(element="c 1"), "bad-element"),
        (report(element=""), "bad-element"),
        (report(labels={"site": "s", "vendor": "v"}), "unknown-label"),
        (report(labels={"site": "s" * 65}), "label-too-long"),
        (report(labels={f"l{i}": "" for i in range(9)}), "too-many-labels"),
    ],
)
def test_a_report_is_refused_as_a_whole(data: bytes, code: str) -> None:
    with pytest.raises(ReportError) as refused:
        read_report("c1", data, None, RULES)
    assert refused.value.code == code


@pytest.mark.parametrize(
    ("subject", "code"),
    [
        ("metrics.ran.a.b", "bad-subject"),
        ("metrics.ran.a.b.c", "bad-subject"),
        ("metrics.ran", "bad-subject"),
        ("metrics.ran.1.c1", "bad-subject"),  # another partition: nobody's transform wrote it
        ("metrics.ran.0._x", "bad-element"),
        ("metrics.ran.0.c\u00fc", "bad-element"),
        ("metrics.ran.0." + "c" * 129, "bad-element"),
    ],
)
def test_a_subject_that_names_no_element_is_refused(subject: str, code: str) -> None:
    with pytest.raises(ReportError) as refused:
        element_of(subject, 0)
    assert refused.value.code == code


def test_a_stored_subject_names_its_element() -> None:
    assert element_of("metrics.ran.3.ManagedElement=gnb-1,NRCellDU=3", 3) == (
        "ManagedElement=gnb-1,NRCellDU=3"
    )


def test_equal_labels_are_equal_text() -> None:
    assert canonical_labels({"b": "2", "a": "ü"}) == canonical_labels({"a": "ü", "b": "2"})


def test_only_a_few_codes_are_named() -> None:
    assert join_codes({f"unknown-metric:{i}" for i in range(100)}).count(",") == 7
