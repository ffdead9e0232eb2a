"""Labels in the ingest fold by value: what is believed, and where it stands among the rows."""

from typing import Any

import pytest
from tests.unit.label_stream import (
    BINARY,
    CLASSES,
    FUTURE,
    NUMBER,
    T0_MS,
    arrived,
    contract,
    fold,
    label,
    mark,
    message,
    once,
    refused,
    row,
    run,
)

from flyball_kit.fold import Input
from flyball_proto.columns import Mark, decode_features
from flyball_proto.streams import BATCH_BYTES, MAX_REPORT_BYTES


def test_truth_stands_where_it_arrived_among_the_rows() -> None:
    batch = once(
        fold(),
        label(1, 0),
        row(2, 1),
        row(3, 1, element="e2"),
        label(4, 1, value=0, element="e2"),
        row(5, 2),
        label(6, 2, value=True),
    )
    assert arrived(batch) == [
        ("e1", 1, 0.0, 1.0, 0),
        ("e2", 4, 1.0, 0.0, 2),
        ("e1", 6, 2.0, 1.0, 3),
    ]
    assert (batch.flow.first, batch.flow.last) == (1, 6)


def test_rows_that_are_warming_up_do_not_count_before_a_label() -> None:
    made = contract(warm_up_rows=2)
    messages = [
        row(1, 1),
        label(2, 1),
        row(3, 2),
        row(4, 2, element="e2"),
        label(5, 2),
        row(6, 3, element="e2"),
    ]
    batch = once(fold(made), *messages)
    assert len(batch.rows) == 2
    assert [before for *_, before in arrived(batch)] == [0, 1]


def test_a_label_alone_goes_out_and_is_no_row() -> None:
    stage = fold()
    stage.step(label(7, 3))
    output = stage.take()
    assert output is not None
    assert output.rows == 0
    batch = decode_features(output.data)
    assert arrived(batch) == [("e1", 7, 3.0, 1.0, 0)]
    assert batch.flow.skipped.rows.sum() == 0


def test_with_a_watermark_truth_does_not_wait_for_the_rows_that_do() -> None:
    made = contract(emit="watermark", truth=[1])
    batch = once(fold(made), row(1, 0), label(2, 0), row(3, 6), label(4, 6, value=0), row(5, 20))
    assert [int(s) for s in batch.rows.sequence] == [1, 3]
    assert [before for *_, before in arrived(batch)] == [0, 1]
    assert batch.feature[:, 1].tolist() == [1.0, 0.0]


@pytest.mark.parametrize(
    ("target", "found", "value"),
    [
        (BINARY, 0, 0.0),
        (BINARY, 1.0, 1.0),
        (BINARY, True, 1.0),
        (BINARY, False, 0.0),
        (BINARY, 2, None),
        (BINARY, 0.5, None),
        (BINARY, "UP", None),
        (BINARY, "1", None),
        (BINARY, None, None),
        (BINARY, [1], None),
        (CLASSES, 0, 0.0),
        (CLASSES, 2, 2.0),
        (CLASSES, 3, None),
        (CLASSES, -1, None),
        (CLASSES, 1.5, None),
        (CLASSES, "b", None),
        (CLASSES, True, None),
        (NUMBER, -7.25, -7.25),
        (NUMBER, 10**30, 1e30),
        (NUMBER, 10**400, None),
        (NUMBER, False, None),
        (NUMBER, "7", None),
    ],
)
def test_a_value_is_believed_if_the_task_allows_it(
    target: dict[str, Any], found: object, value: float | None
) -> None:
    batch = once(fold(contract(target)), label(1, 0, value=found))
    assert [a[3] for a in arrived(batch)] == ([] if value is None else [value])
    assert refused(batch) == ([(1, 0, "label-value")] if value is None else [])


@pytest.mark.parametrize(
    ("bad", "code"),
    [
        (message(1, "labels.p.0.e1", b"up"), "bad-label"),
        (message(1, "labels.p.0.e1", b"\xff"), "bad-label"),
        (message(1, "labels.p.0.e1", {"time_ms": 1}), "bad-label"),
        (message(1, "labels.p.0.e1", {"time_ms": 1, "value": 1, "who": "me"}), "bad-label"),
        (message(1, "labels.p.0.e1", b'{"time_ms": 1, "value": 1e999}'), "bad-label"),
        (message(1, "labels.p.0.e1", {"samples": []}), "bad-label"),
        (message(1, "labels.p.0.e1", {"samples": [{"time_ms": 1}]}), "bad-label"),
        (message(1, "labels.p.0.e1", {"samples": [], "value": 1}), "bad-label"),
        (
            message(1, "labels.p.0.e1", {"samples": [{"time_ms": 1, "value": 1}] * 4_097}),
            "bad-label",
        ),
        (message(1, "labels.p.0.e1", {"value": 1}), "no-time"),
        (message(1, "labels.p.0.e1", {"time": "yesterday", "value": 1}), "bad-time"),
        (message(1, "labels.p.0.e1", {"time_ms": -1, "value": 1}), "bad-time"),
        (label(1, 10**6), "future-time"),
        (
            message(1, "labels.p.0.e1", {"element": "e2", "time_ms": 1, "value": 1}),
            "label-element",
        ),
        (message(1, "labels.p.0.e1", b" " * (MAX_REPORT_BYTES + 1)), "label-too-large"),
        (
            label(1, 0)._replace(headers={"Content-Type": "application/x-protobuf"}),
            "unknown-content-type",
        ),
        (message(1, "labels.p.e.1", {"time_ms": 1, "value": 1}), "bad-subject"),
        (message(1, "labels.p", {"time_ms": 1, "value": 1}), "bad-subject"),
        (message(1, "labels.p.0._mark", {"time_ms": 1, "value": 1}), "bad-element"),
        (message(1, "labels.p.1.e1", {"time_ms": 1, "value": 1}), "bad-subject"),
    ],
)
def test_a_refused_label_counts_no_rows_and_is_named(bad: Input, code: str) -> None:
    batch = once(fold(), bad)
    assert refused(batch) == [(1, 0, code)]
    assert arrived(batch) == []


def test_one_bad_label_does_not_take_its_report_with_it() -> None:
    samples = [{"time_ms": T0_MS + 1000 * i, "value": v} for i, v in enumerate((1, "UP", 0))]
    samples.append({"time_ms": T0_MS + 10**9, "value": 1})
    batch = once(fold(), message(3, "labels.p.0.e1", {"element": "e1", "samples": samples}))
    assert [(a[2], a[3]) for a in arrived(batch)] == [(0.0, 1.0), (2.0, 0.0)]
    assert refused(batch) == [(3, 0, "future-time,label-value")]


def test_a_time_may_be_a_text_with_a_zone() -> None:
    body = {"time": "2026-01-01T01:00:05+01:00", "value": 1}
    assert arrived(once(fold(), message(1, "labels.p.0.e1", body))) == [("e1", 1, 5.0, 1.0, 0)]


def test_labels_of_a_pipeline_that_makes_its_own_are_refused() -> None:
    batch = once(fold(contract(FUTURE)), label(1, 0), row(2, 0))
    assert refused(batch) == [(1, 0, "labels-not-wanted")]
    assert len(batch.rows) == 1


def test_the_last_mark_says_so() -> None:
    stage = fold()
    assert once(stage, mark(1, 5)).flow.mark == Mark("m1", T0_MS + 5000, last=False)
    assert once(stage, mark(2, 6, last=True)).flow.mark == Mark("m1", T0_MS + 6000, last=True)


def test_many_labels_end_a_batch() -> None:
    samples = [{"time_ms": T0_MS + i, "value": 1} for i in range(4_000)]
    stage = fold()
    reports = [
        message(i + 1, f"labels.p.0.e{i}", {"samples": samples}) for i in range(BATCH_BYTES >> 16)
    ]
    outputs = run(stage, reports)
    assert len(outputs) > 1
    assert sum(len(batch.arrivals) for batch in outputs) == 4_000 * len(reports)
