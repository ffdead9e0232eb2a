"""The data plane's bytes: round trips, damage, merging, and how reports are read and counted."""

import json
from collections.abc import Callable
from dataclasses import fields, is_dataclass, replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as arrays

from flyball_proto import columns as c
from flyball_proto import data_plane_pb2 as pb
from flyball_proto.merge import merge_flows, merge_rows
from flyball_proto.report import JSON, PROTOBUF, Report, ReportError, decode_report, row_count
from flyball_proto.streams import MAX_FIELDS_PER_SAMPLE, MAX_REPORT_BYTES, MAX_SAMPLES_PER_REPORT

NAMES = st.text("abcXYZ-_:@/0123", min_size=1, max_size=12)
MODELS = st.builds(
    c.Model, NAMES, st.integers(1, 2**63), st.sampled_from(["active", "canary"]), NAMES
)


def column(dtype: Any, n: int, below: int | None = None) -> st.SearchStrategy[Any]:
    elements = None if below is None else st.integers(0, below - 1)
    return arrays.arrays(dtype, n, elements=elements)


@st.composite
def flows(draw: st.DrawFn) -> c.Flow:
    n = draw(st.integers(0, 4))
    detail = (
        draw(st.lists(st.text(max_size=8), min_size=n, max_size=n)) if draw(st.booleans()) else []
    )
    first = draw(st.integers(0, 2**40))
    return c.Flow(
        draw(st.sampled_from(["hub.METRICS", "edge-1.METRICS"])),
        first,
        first + draw(st.integers(0, 1000)),
        c.Skipped(
            draw(column(c.U64, n)),
            draw(column(c.U32, n)),
            draw(column(c.U8, n)),
            tuple(detail),
        ),
        draw(st.none() | st.builds(c.Mark, NAMES, st.integers(0, 2**50), st.booleans())),
        draw(st.integers(0, 2**50)),
        draw(st.dictionaries(NAMES, st.integers(0, 2**63), max_size=3)),
    )


@st.composite
def rows_of(draw: st.DrawFn, n: int) -> c.Rows:
    elements = draw(st.lists(NAMES, min_size=1, max_size=5, unique=True))
    label_sets = [json.dumps({"site": s}) for s in draw(st.lists(NAMES, min_size=1, max_size=3))]
    return c.Rows(
        tuple(elements),
        draw(column(c.U32, n, len(elements))),
        draw(column(c.U64, n)),
        draw(column(c.U16, n)),
        draw(column(c.I64, n)),
        tuple(label_sets),
        draw(column(c.U32, len(elements), len(label_sets))),
    )


@st.composite
def arrivals(draw: st.DrawFn) -> c.Arrivals:
    n = draw(st.integers(0, 4))
    elements = draw(st.lists(NAMES, min_size=1, max_size=3, unique=True)) if n else []
    return c.Arrivals(
        tuple(elements),
        draw(column(c.U32, n, len(elements) or 1)),
        draw(column(c.U64, n)),
        draw(column(c.I64, n)),
        draw(column(c.F64, n)),
        draw(column(c.U32, n)),
    )


@st.composite
def features(draw: st.DrawFn) -> c.Features:
    n, width, targets = draw(st.integers(0, 6)), draw(st.integers(1, 4)), draw(st.integers(0, 2))
    return c.Features(
        draw(NAMES),
        draw(NAMES),
        draw(flows()),
        draw(rows_of(n)),
        draw(arrays.arrays(c.F32, (n, width))),
        draw(column(c.U8, n)),
        tuple(f"m{i}" for i in range(targets)),
        draw(arrays.arrays(c.F64, (n, targets))),
        draw(arrivals()),
    )


@st.composite
def judged(draw: st.DrawFn, kind: type[c.Decisions] | type[c.Verdicts]) -> Any:
    n = draw(st.integers(0, 6))
    models = tuple(draw(st.lists(MODELS, min_size=1, max_size=3)))
    actions = tuple(draw(st.lists(NAMES, max_size=3)))
    common = (
        draw(NAMES),
        draw(NAMES),
        draw(flows()),
        draw(rows_of(n)),
        models,
        draw(column(c.U8, n, len(models))),
        draw(column(c.F64, n)),
        actions,
        draw(column(c.U8, n, len(actions) + 1)),
        draw(column(c.U8, n)),
    )
    classes = tuple(draw(st.lists(NAMES, max_size=3)))
    told = (classes, draw(column(c.U8, n if classes else 0, max(1, len(classes)))))
    if kind is c.Decisions:
        return c.Decisions(*common, *told, draw(doubts()))
    reasons = tuple(draw(st.lists(st.text(max_size=20), max_size=3)))
    return c.Verdicts(
        *common,
        draw(column(c.U8, n, len(c.Verdict))),
        draw(column(c.U8, n, len(c.Category))),
        draw(column(c.F64, n)),
        reasons,
        draw(column(c.U16, n, len(reasons) + 1)),
        class_name=told[0],
        class_index=told[1],
        policy_hash=draw(NAMES),
        assessment=draw(assessments()),
    )


@st.composite
def doubts(draw: st.DrawFn) -> c.Doubts:
    proposals, width = draw(st.integers(0, 4)), draw(st.integers(0, 3))
    if not proposals:
        return c.Doubts()
    signals = [draw(column(c.F32, proposals)) for _ in range(2)]
    return c.Doubts(*signals, draw(arrays.arrays(c.F32, (proposals, width))))


@st.composite
def assessments(draw: st.DrawFn) -> c.Assessment:
    proposals = draw(st.integers(0, 4))
    return c.Assessment(*(draw(column(c.F32, proposals)) for _ in c.ASSESSED))


COUNTS = st.integers(0, 2**63)
TALLIES = st.builds(
    c.Tally,
    MODELS,
    COUNTS,
    COUNTS,
    st.dictionaries(NAMES, COUNTS, max_size=2),
    st.dictionaries(st.sampled_from([int(v) for v in c.Verdict]), COUNTS, max_size=2),
    st.dictionaries(st.sampled_from([int(x) for x in c.Category]), COUNTS, max_size=2),
)


@st.composite
def samples(draw: st.DrawFn) -> c.Samples:
    n, width = draw(st.integers(0, 6)), draw(st.integers(1, 4))
    models = tuple(draw(st.lists(MODELS, min_size=1, max_size=3)))
    actions = tuple(draw(st.lists(NAMES, max_size=3)))
    return c.Samples(
        draw(NAMES),
        draw(NAMES),
        draw(flows()),
        draw(rows_of(n)),
        draw(arrays.arrays(c.F32, (n, width))),
        draw(column(c.F64, n)),
        draw(column(c.I64, n)),
        draw(column(c.F64, n)),
        draw(column(c.U8, n, 2)),
        models,
        draw(column(c.U8, n, len(models))),
        draw(column(c.F64, n)),
        draw(column(c.U8, n, len(c.Verdict))),
        draw(column(c.U8, n)),
        tuple(draw(st.lists(TALLIES, max_size=2))),
        draw(COUNTS),
        draw(st.sampled_from([1.0, 0.5, 2.0**-20])),
        actions,
        draw(column(c.U8, n, len(actions) + 1)),
        draw(column(c.U8, n, len(c.Category))),
        draw(column(c.F32, n)),
        draw(column(c.F32, n)),
    )


def assert_same(a: Any, b: Any) -> None:
    """Equal to the last bit, NaN included, through all parts."""
    if is_dataclass(a):
        assert type(a) is type(b)
        for part in fields(a):
            assert_same(getattr(a, part.name), getattr(b, part.name))
    elif isinstance(a, np.ndarray):
        assert a.dtype == b.dtype
        assert a.shape == b.shape
        assert a.tobytes() == b.tobytes()
    else:
        assert a == b


@settings(deadline=None)
@given(features())
def test_features_come_back_as_they_went(batch: c.Features) -> None:
    assert_same(c.decode_features(c.encode_features(batch)), batch)


@settings(deadline=None)
@given(judged(c.Decisions))
def test_decisions_come_back_as_they_went(batch: c.Decisions) -> None:
    assert_same(c.decode_decisions(c.encode_decisions(batch)), batch)


@settings(deadline=None)
@given(judged(c.Verdicts))
def test_verdicts_come_back_as_they_went(batch: c.Verdicts) -> None:
    assert_same(c.decode_verdicts(c.encode_verdicts(batch)), batch)


MOMENTS = st.integers(0, 2**62)
WAITING = st.builds(
    c.Waiting,
    NAMES,
    NAMES,
    NAMES,
    NAMES,
    st.floats(allow_nan=False),
    st.floats(0, 1),
    st.sampled_from([int(x) for x in c.Category]),
    NAMES,
    MODELS,
    MOMENTS,
    MOMENTS,
    MOMENTS,
)
RELEASED = st.builds(
    c.Released,
    WAITING,
    st.sampled_from(c.Outcome),
    NAMES,
    NAMES,
    MOMENTS,
    MOMENTS,
    st.integers(0, 9),
)
ANSWERED = st.builds(c.Answered, MOMENTS, NAMES, st.sampled_from(c.Result), NAMES, NAMES, MOMENTS)


@settings(deadline=None)
@given(
    judged(c.Verdicts),
    st.lists(WAITING, max_size=2),
    st.lists(RELEASED, max_size=2),
    st.lists(ANSWERED, max_size=2),
)
def test_what_becomes_of_holds_comes_back_as_it_went(
    batch: c.Verdicts,
    opened: list[c.Waiting],
    released: list[c.Released],
    answered: list[c.Answered],
) -> None:
    changed = replace(
        batch, opened=tuple(opened), released=tuple(released), answered=tuple(answered)
    )
    assert_same(c.decode_verdicts(c.encode_verdicts(changed)), changed)


def test_an_end_of_a_hold_that_this_version_does_not_know_is_damage() -> None:
    data = pb.VerdictBatch(released=[pb.Released(outcome=9)]).SerializeToString()
    with pytest.raises(c.BatchError, match="outcome 9: none of APPROVED, DENIED, EXPIRED"):
        c.decode_verdicts(data)


@settings(deadline=None)
@given(judged(c.Verdicts))
def test_the_digest_of_verdicts_is_read_without_their_rows(batch: c.Verdicts) -> None:
    assert c.verdicts_digest(c.encode_verdicts(batch)) == batch.feature_digest


@settings(deadline=None)
@given(samples())
def test_samples_come_back_as_they_went(batch: c.Samples) -> None:
    assert_same(c.decode_samples(c.encode_samples(batch)), batch)


KINDS: list[tuple[Callable[[Any], bytes], Callable[[bytes], Any]]] = [
    (c.encode_features, c.decode_features),
    (c.encode_decisions, c.decode_decisions),
    (c.encode_verdicts, c.decode_verdicts),
    (c.encode_samples, c.decode_samples),
]


@settings(deadline=None)
@given(features(), judged(c.Decisions), judged(c.Verdicts), samples(), st.data())
def test_cut_bytes_are_a_batch_error_or_a_shorter_whole_batch_and_nothing_else(
    a: c.Features, b: c.Decisions, v: c.Verdicts, x: c.Samples, data: st.DataObject
) -> None:
    for batch, (encode, decode) in zip((a, b, v, x), KINDS, strict=True):
        whole = encode(batch)
        cut = whole[: data.draw(st.integers(0, max(0, len(whole) - 1)))]
        try:
            found = decode(cut)
        except c.BatchError:
            continue
        # Protobuf ends anywhere between two fields; then every column that is there agrees.
        assert len(found.rows) == len(found.quality)


@settings(deadline=None)
@given(st.binary(max_size=200))
def test_random_bytes_are_a_batch_error_or_a_batch(data: bytes) -> None:
    for _, decode in KINDS:
        try:
            found = decode(data)
        except c.BatchError:
            continue
        assert len(found.rows) == len(found.quality)


@pytest.mark.parametrize("name", ["model_index", "score", "action_index", "quality"])
def test_a_column_of_another_length_is_named(name: str) -> None:
    message = pb.DecisionBatch()
    message.rows.sequence = bytes(16)
    message.rows.element_index = bytes(8)
    message.rows.sample = bytes(4)
    message.rows.time_ms = bytes(16)
    sizes = {"model_index": 1, "score": 8, "action_index": 1, "quality": 1}
    for other, size in sizes.items():
        setattr(message, other, bytes(size * (1 if other == name else 2)))
    with pytest.raises(c.BatchError, match=f"column {name}: .* 2 rows"):
        c.decode_decisions(message.SerializeToString())


def identities(rows: c.Rows) -> list[tuple[Any, ...]]:
    return [
        (
            rows.element[rows.element_index[i]],
            int(rows.sequence[i]),
            int(rows.sample[i]),
            int(rows.time_ms[i]),
        )
        for i in range(len(rows))
    ]


def labels(rows: c.Rows) -> dict[str, str]:
    return {e: rows.label_set[rows.label_index[i]] for i, e in enumerate(rows.element)}


PARTS = st.lists(st.integers(0, 5).flatmap(rows_of), min_size=1, max_size=4)


@settings(deadline=None)
@given(PARTS)
def test_merged_rows_are_all_rows_in_order_under_the_newest_labels(parts: list[c.Rows]) -> None:
    merged = merge_rows(parts)
    assert identities(merged) == [row for part in parts for row in identities(part)]
    newest: dict[str, str] = {}
    for part in parts:
        newest.update(labels(part))
    assert labels(merged) == newest


@settings(deadline=None)
@given(PARTS, st.integers(1, 3))
def test_merging_in_two_steps_is_merging_in_one(parts: list[c.Rows], at: int) -> None:
    left, right = parts[:at], parts[at:]
    if right:
        stepwise = merge_rows([merge_rows(left), merge_rows(right)])
        assert identities(stepwise) == identities(merge_rows(parts))
        assert labels(stepwise) == labels(merge_rows(parts))


def skipped(flow: c.Flow) -> list[tuple[int, int, int, str]]:
    columns = (flow.skipped.sequence, flow.skipped.rows, flow.skipped.reason)
    detail = flow.skipped.detail or ("",) * len(flow.skipped.reason)
    return list(zip(*(x.tolist() for x in columns), detail, strict=True))


@settings(deadline=None)
@given(st.lists(flows(), min_size=1, max_size=4))
def test_a_merged_flow_loses_no_skipped_row_and_keeps_the_end(parts: list[c.Flow]) -> None:
    merged = merge_flows(parts)
    assert merged.mark == parts[-1].mark
    assert merged.tick_ms == max(p.tick_ms for p in parts)
    assert skipped(merged) == [entry for part in parts for entry in skipped(part)]
    for part in parts:
        assert set(part.revisions) <= set(merged.revisions)
    message = c.decode_decisions(c.encode_decisions(_carrying(merged)))
    assert_same(message.flow, merged)


def _carrying(flow: c.Flow) -> c.Decisions:
    nothing = np.empty(0, c.U8)
    return c.Decisions(
        "p", "d", flow, c.Rows.none(), (), nothing, np.empty(0, c.F64), (), nothing, nothing
    )


def one(**given: Any) -> bytes:
    return json.dumps({"element": "a", "time_ms": 1, "values": {"load": 0.5}} | given).encode()


def several(n: int, **sample: Any) -> bytes:
    entry = {"time_ms": 1, "values": {"load": 0.5}} | sample
    return json.dumps({"element": "a", "samples": [entry] * n}).encode()


def protobuf(n: int = 1, value: float = 0.5, nulls: tuple[str, ...] = ()) -> bytes:
    message = pb.MetricReport(element="a")
    for _ in range(n):
        sample = message.samples.add(time_ms=1, nulls=nulls)
        sample.values["load"] = value
    return message.SerializeToString()


MANY = {f"m{i}": 0.0 for i in range(MAX_FIELDS_PER_SAMPLE + 1)}
REFUSED: list[tuple[str, bytes, str | None, str, int]] = [
    ("nothing", b"", None, "not-json", 1),
    ("no JSON", b"load=0.5", None, "not-json", 1),
    ("half of it", one()[:-3], None, "not-json", 1),
    ("no text", b'{"element": "\xff\xfe"}', None, "not-json", 1),
    ("NaN", b'{"element": "a", "time_ms": 1, "values": {"load": NaN}}', None, "not-json", 1),
    ("a list", b"[1, 2]", None, "bad-shape", 1),
    ("a string for a number", one(values={"load": "0.5"}), None, "bad-shape", 1),
    ("an unknown field", one(vaules={}), None, "bad-shape", 1),
    ("samples beside values", several(3)[:-1] + b', "values": {"load": 1}}', None, "bad-shape", 3),
    ("no values", one(values={}), None, "no-values", 1),
    ("no time", one(time_ms=None), None, "no-time", 1),
    ("two times", one(time="2026-01-01T00:00:00Z"), None, "bad-time", 1),
    ("a time without a zone", one(time_ms=None, time="2026-01-01T00:00:00"), None, "bad-time", 1),
    ("a time before 1970", one(time_ms=-1), None, "bad-time", 1),
    ("nanoseconds", one(time_ms=1_767_225_600_000_000_000), None, "bad-time", 1),
    ("no samples", several(0), None, "no-samples", 1),
    ("a bad sample of three", several(3, values={}), None, "no-values", 3),
    ("too many samples", several(MAX_SAMPLES_PER_REPORT + 1), None, "too-many-samples", 1),
    ("too many fields", one(values=MANY), None, "too-many-fields", 1),
    ("a million bytes", one(element="a" * 1_000_000), None, "report-too-large", 1),
    ("an unknown content type", one(), "text/csv", "unknown-content-type", 1),
    ("no protobuf", b"\xff\xff\xff", PROTOBUF, "not-protobuf", 1),
    ("infinite protobuf", protobuf(2, float("inf")), PROTOBUF, "not-finite", 2),
    ("empty protobuf", b"", PROTOBUF, "no-samples", 1),
    ("too much protobuf", protobuf(MAX_SAMPLES_PER_REPORT + 1), PROTOBUF, "too-many-samples", 1),
]


@pytest.mark.parametrize(
    ("data", "content_type", "code", "rows"), [r[1:] for r in REFUSED], ids=[r[0] for r in REFUSED]
)
def test_a_refused_report_has_a_code_and_a_number_of_rows(
    data: bytes, content_type: str | None, code: str, rows: int
) -> None:
    if code != "report-too-large":
        assert len(data) <= MAX_REPORT_BYTES
    with pytest.raises(ReportError) as refused:
        decode_report(data, content_type)
    assert refused.value.code == code
    assert refused.value.found
    assert row_count(data, content_type) == rows


ACCEPTED: list[tuple[str, bytes, str | None, int, dict[str, float | None]]] = [
    ("one sample", one(), None, 1, {"load": 0.5}),
    ("by name", one(), JSON, 1, {"load": 0.5}),
    ("a null", one(values={"load": None}), None, 1, {"load": None}),
    ("a whole number", one(values={"load": 1}), None, 1, {"load": 1.0}),
    ("a time as text", one(time_ms=None, time="1970-01-01T00:00:00.001Z"), None, 1, {"load": 0.5}),
    ("several", several(20), None, 20, {"load": 0.5}),
    ("as many as may be", several(MAX_SAMPLES_PER_REPORT), None, 4096, {"load": 0.5}),
    ("the word samples in a label", one(labels={"x": '"samples"'}), None, 1, {"load": 0.5}),
    ("protobuf", protobuf(3), PROTOBUF, 3, {"load": 0.5}),
    ("protobuf nulls", protobuf(1, 0.5, ("temp",)), PROTOBUF, 1, {"load": 0.5, "temp": None}),
]


@pytest.mark.parametrize(
    ("data", "content_type", "rows", "values"),
    [r[1:] for r in ACCEPTED],
    ids=[r[0] for r in ACCEPTED],
)
def test_an_accepted_report_is_read_and_counted_alike(
    data: bytes, content_type: str | None, rows: int, values: dict[str, float | None]
) -> None:
    report = decode_report(data, content_type)
    assert report.element == "a"
    assert len(report.samples) == row_count(data, content_type) == rows
    assert report.samples[0].time_ms == 1
    assert dict(report.samples[0].values) == values


SHAPES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["element", "samples", "values", "time_ms", "time", "labels", "load"]),
            inner,
            max_size=5,
        )
    ),
    max_leaves=12,
)


@settings(deadline=None, max_examples=300)
@given(SHAPES)
def test_any_json_is_refused_with_a_code_or_read_and_the_counts_agree(shape: Any) -> None:
    data = json.dumps(shape).encode()
    counted = row_count(data)
    try:
        report: Report | None = decode_report(data)
    except ReportError:
        report = None
    assert counted >= 1
    if report is not None:
        assert counted == len(report.samples)
