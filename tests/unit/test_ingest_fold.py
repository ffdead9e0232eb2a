"""The ingest fold by value: outcomes of rows, batches, restarts, marks; no broker."""

import json
from collections import Counter
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball_ingest.contract import Contract, compile_contract
from flyball_ingest.fold import IngestFold
from flyball_kit.errors import PermanentError
from flyball_kit.fold import Input, Output
from flyball_proto import data_plane_pb2 as pb
from flyball_proto.columns import Features, Mark, Quality, SkipReason, decode_features
from flyball_proto.headers import COVERS
from flyball_proto.spec import parse_documents
from flyball_proto.streams import BATCH_BYTES

T0_MS = 1_767_225_600_000
PLENTY = 1 << 30


def contract(
    *,
    revision: int = 1,
    windows: Sequence[int] = (2, 4),
    look_back: str = "20s",
    **source: Any,
) -> Contract:
    document: dict[str, Any] = {
        "apiVersion": "flyball/v1",
        "kind": "Pipeline",
        "metadata": {"name": "p"},
        "spec": {
            "source": {
                "interval": "1s",
                "max_lateness": "5s",
                "metrics": [{"name": "load", "range": [0, 1]}, "power"],
                "labels": ["site"],
                **source,
            },
            "look_back": look_back,
            "warm_up_rows": 2,
            "features": [{"metric": "load", "windows": list(windows)}],
            "target": {"task": "regression", "expression": "last(power)", "horizon": "5s"},
        },
    }
    catalogue = parse_documents([document])
    (found,), (pipeline,) = catalogue.sources.values(), catalogue.pipelines.values()
    return compile_contract(pipeline, found, pipeline_revision=revision, source_revision=3)


def fold(
    made: Contract | None = None, *, max_elements: int = 100, memory_bytes: int = PLENTY
) -> IngestFold:
    return IngestFold(
        made or contract(),
        partition=0,
        origin="hub.METRICS",
        max_elements=max_elements,
        memory_bytes=memory_bytes,
    )


def message(sequence: int, element: str, body: dict[str, Any] | bytes) -> Input:
    data = body if isinstance(body, bytes) else json.dumps({"element": element, **body}).encode()
    return Input(sequence, (T0_MS + 10**7) * 10**6, f"metrics.p.0.{element}", None, data)


def row(
    sequence: int,
    at_s: float,
    element: str = "e1",
    load: float | None = 0.5,
    power: float = 1.0,
    **more: Any,
) -> Input:
    values = {"load": load, "power": power}
    return message(
        sequence, element, {"time_ms": T0_MS + int(at_s * 1000), "values": values, **more}
    )


def mark(sequence: int, at_s: float, name: str = "m1") -> Input:
    body = json.dumps({"id": name, "time_ms": T0_MS + int(at_s * 1000)}).encode()
    return message(sequence, "_mark", body)


def run(stage: IngestFold, messages: Iterable[Input]) -> Features:
    for each in messages:
        stage.step(each)
    output = stage.take()
    assert output is not None
    return decode_features(output.data)


def identity(batch: Features) -> list[tuple[Any, ...]]:
    """Each row with all that is said about it, to the bit."""
    rows = batch.rows
    labels = [rows.label_set[i] for i in rows.label_index]
    return [
        (
            rows.element[e],
            labels[e],
            int(rows.sequence[i]),
            int(rows.sample[i]),
            int(rows.time_ms[i]),
            batch.feature[i].tobytes(),
            batch.target[i].tobytes(),
            int(batch.quality[i]),
        )
        for i, e in enumerate(rows.element_index)
    ]


def skips(batch: Features) -> list[tuple[int, int, SkipReason, str]]:
    """(sequence, rows, reason, detail)."""
    s = batch.flow.skipped
    details = s.detail or [""] * len(s.reason)
    return [
        (int(a), int(b), SkipReason(c), d)
        for a, b, c, d in zip(s.sequence, s.rows, s.reason, details, strict=True)
    ]


def times_s(batch: Features) -> list[float]:
    return [(int(t) - T0_MS) / 1000 for t in batch.rows.time_ms]


def test_a_row_carries_who_it_is_and_what_the_model_sees() -> None:
    batch = run(fold(), [row(7, 0, labels={"site": "s1"}), row(9, 1, load=0.75, power=3.0)])
    assert (batch.pipeline, batch.flow.origin) == ("p", "hub.METRICS")
    assert (batch.flow.first, batch.flow.last) == (7, 9)
    assert batch.flow.revisions == {"pipeline": 1, "source": 3}
    assert skips(batch) == [(7, 1, SkipReason.WARMING_UP, "")]
    (found,) = identity(batch)
    assert found[:5] == ("e1", '{"site":"s1"}', 9, 0, T0_MS + 1000)
    assert (batch.target_metric, batch.target.tolist()) == (("power",), [[3.0]])
    names = dict(zip(("last", "mean.2", "std.2", "min.2"), batch.feature[0], strict=False))
    assert names == {"last": 0.75, "mean.2": 0.625, "std.2": 0.125, "min.2": 0.5}


def test_an_output_names_what_it_covers_and_nothing_is_said_of_nothing() -> None:
    stage = fold()
    assert stage.take() is None
    stage.step(row(4, 0))
    stage.step(row(6, 1))
    output = stage.take()
    assert output is not None
    assert (output.headers[COVERS], output.rows, output.mark) == ("hub.METRICS 4 6", 1, None)
    assert stage.take() is None


@pytest.mark.parametrize(
    ("again", "detail"),
    [({}, ""), ({"load": 0.9}, "contradiction"), ({"load": None}, "contradiction")],
)
def test_a_row_of_the_same_time_is_a_double_and_changes_nothing(
    again: dict[str, Any], detail: str
) -> None:
    first = [row(1, 0), row(2, 1)]
    batch = run(fold(), [*first, row(3, 1, **again), row(4, 2)])
    clean = run(fold(), [*first, row(4, 2)])
    assert (3, 1, SkipReason.DOUBLE, detail) in skips(batch)
    assert identity(batch) == identity(clean)


def test_a_redelivered_null_is_no_contradiction() -> None:
    batch = run(fold(), [row(1, 0, load=None), row(2, 0, load=None)])
    assert (2, 1, SkipReason.DOUBLE, "") in skips(batch)


def test_a_late_row_repairs_the_windows_after_it() -> None:
    batch = run(fold(), [row(1, 0, load=0.0), row(2, 4, load=0.4), row(3, 2, load=0.8), row(4, 5)])
    assert (3, 1, SkipReason.LATE, "") in skips(batch)
    assert times_s(batch) == [4, 5]
    mean_of_four = batch.feature[:, 6]
    assert mean_of_four.tolist() == pytest.approx([0.2, (0.0 + 0.8 + 0.4 + 0.5) / 4])
    assert batch.quality.tolist() == [Quality.OK, Quality.LATE_INPUT]


def test_a_row_later_than_the_lateness_is_late_and_changes_nothing() -> None:
    messages = [row(1, 10), row(2, 20), row(3, 12), row(4, 21)]
    batch = run(fold(), messages)
    assert (3, 1, SkipReason.LATE, "") in skips(batch)
    assert identity(batch) == identity(run(fold(), [messages[0], messages[1], messages[3]]))


def test_a_row_behind_a_gap_longer_than_the_look_back_warms_up_again() -> None:
    batch = run(fold(), [row(1, 0), row(2, 1), row(3, 40), row(4, 41)])
    assert times_s(batch) == [1, 41]
    assert (3, 1, SkipReason.WARMING_UP, "") in skips(batch)
    stale = run(fold(contract(windows=(1, 4))), [row(1, 0), row(2, 21), row(3, 22)])
    assert stale.quality.tolist() == [Quality.OK]


def test_one_bad_sample_does_not_take_its_report_with_it() -> None:
    samples = [
        {"time_ms": T0_MS + 1000 * i, "values": {"load": load, "power": 1.0}}
        for i, load in enumerate((0.1, 0.2, 7.0, 0.4))
    ]
    future = {"time_ms": T0_MS + 10**9, "values": {"load": 0.5, "volume": 1.0}}
    batch = run(fold(), [message(5, "e1", {"samples": [*samples, future]})])
    assert skips(batch) == [
        (5, 2, SkipReason.QUARANTINED, "future-time,out-of-range:load,unknown-metric:volume"),
        (5, 1, SkipReason.WARMING_UP, ""),
    ]
    assert batch.rows.sample.tolist() == [1, 3]


@pytest.mark.parametrize(
    ("bad", "rows", "code"),
    [
        (message(1, "e1", b"not json"), 1, "not-json"),
        (message(1, "e1", {"element": "e2", "samples": [{}, {}, {}]}), 3, "no-values"),
        (
            message(
                1, "e1", {"element": "e2", "samples": [{"time_ms": 1, "values": {"load": 0}}] * 3}
            ),
            3,
            "element-mismatch",
        ),
        (message(1, "a.b", {"time_ms": 1, "values": {"load": 0}}), 1, "bad-subject"),
        (message(1, "_mark", b"{}"), 0, "bad-mark"),
    ],
)
def test_a_refused_report_counts_all_of_its_rows(bad: Input, rows: int, code: str) -> None:
    assert skips(run(fold(), [bad])) == [(1, rows, SkipReason.QUARANTINED, code)]


def test_protobuf_reports_give_the_same_rows() -> None:
    def binary(source: Input) -> Input:
        body = json.loads(source.data)
        made = pb.MetricReport(element=body["element"])
        made.samples.add(time_ms=body["time_ms"], values=body["values"])
        headers = {"Content-Type": "application/x-protobuf"}
        return source._replace(data=made.SerializeToString(), headers=headers)

    messages = [row(i, i) for i in range(1, 5)]
    assert identity(run(fold(), map(binary, messages))) == identity(run(fold(), messages))


def test_beyond_the_bound_on_elements_a_report_is_refused_until_others_are_forgotten() -> None:
    size = len(row(1, 0).data)
    stage = fold(max_elements=2, memory_bytes=8 * size)
    batch = run(stage, [row(1, 0, "a"), row(2, 0, "b"), row(3, 0, "c"), row(4, 1, "a")])
    assert (3, 1, SkipReason.QUARANTINED, "too-many-elements") in skips(batch)
    later = run(
        stage, [row(i, i, "a") for i in range(5, 12)] + [row(12, 12, "c"), row(13, 13, "c")]
    )
    assert [r[0] for r in identity(later)][-1] == "c"


def test_long_windows_leave_room_for_fewer_elements() -> None:
    made = contract(windows=(4_096,), look_back="3h")
    stage = IngestFold(
        made, partition=0, origin="o", max_elements=9, memory_bytes=PLENTY, state_bytes=300_000
    )
    batch = run(stage, [row(i, i, f"e{i}") for i in range(1, 4)])
    assert skips(batch)[-1] == (3, 1, SkipReason.QUARANTINED, "too-many-elements")


def test_a_long_window_survives_many_moves_to_the_front() -> None:
    loads = [(i * 7919 % 101) / 101 for i in range(2_000)]
    batch = run(
        fold(contract(windows=(300,), look_back="1h")),
        [row(i + 1, i / 100, load=x) for i, x in enumerate(loads)],
    )
    means = [sum(loads[max(0, i - 299) : i + 1]) / min(i + 1, 300) for i in range(1, 2_000)]
    assert batch.feature[:, 1].tolist() == pytest.approx(means)


def test_labels_are_remembered_and_a_change_takes_effect_with_its_row() -> None:
    first = [row(1, 0, labels={"site": "old"}), row(2, 1), row(3, 2, labels={"site": "new"})]
    batch = run(fold(), [*first, row(4, 3)])
    assert [r[1] for r in identity(batch)] == ['{"site":"old"}', *['{"site":"new"}'] * 2]


def test_a_mark_ends_the_batch_and_is_no_row() -> None:
    stage = fold()
    assert [stage.step(m) for m in (row(1, 0), row(2, 1), mark(3, 1))] == [False, False, True]
    output = stage.take()
    assert output is not None
    assert output.mark == "m1"
    batch = decode_features(output.data)
    assert batch.flow.mark == Mark("m1", T0_MS + 1000)
    assert len(batch.rows) + sum(s[1] for s in skips(batch)) == 2


def test_a_tick_travels_even_without_rows() -> None:
    stage = fold()
    stage.tick(123)
    output = stage.take()
    assert output is not None
    assert output.rows == 0
    assert decode_features(output.data).flow.tick_ms == 123


def test_a_batch_is_cut_at_its_byte_cap() -> None:
    samples = [{"time_ms": T0_MS + i, "values": {"load": 0.5, "power": 1}} for i in range(4_000)]
    stage = fold()
    reports = [message(i + 1, f"e{i}", {"samples": samples}) for i in range(4)]
    taken = [stage.take() for each in reports if stage.step(each)]
    sizes = [len(output.data) for output in taken if output is not None]
    assert sizes
    assert all(BATCH_BYTES // 2 < size < 2 * BATCH_BYTES for size in sizes)


def test_a_new_revision_is_taken_over_at_the_next_batch() -> None:
    stage = fold()
    stage.step(row(1, 0))
    stage.revise(contract(revision=2, metrics=[{"name": "load", "range": [0, 0.1]}, "power"]))
    assert run(stage, [row(2, 1)]).flow.revisions["pipeline"] == 1
    after = run(stage, [row(3, 2)])
    assert after.flow.revisions["pipeline"] == 2
    assert skips(after) == [(3, 1, SkipReason.QUARANTINED, "out-of-range:load")]


def test_a_revision_with_other_features_is_refused() -> None:
    with pytest.raises(PermanentError, match="start a fold of its own"):
        fold().revise(contract(windows=(2, 5)))


# --- watermark ---------------------------------------------------------------------------------


def test_with_a_watermark_rows_come_out_in_order_of_time_once_the_lateness_has_passed() -> None:
    made = contract(emit="watermark")
    batch = run(fold(made), [row(i + 1, t) for i, t in enumerate((0, 3, 1, 2, 9))])
    assert times_s(batch) == [1, 2, 3]  # 0 warms up, 9 waits
    assert batch.quality.tolist() == [0, 0, 0]


def test_a_row_behind_the_watermark_is_late_and_one_that_waits_has_no_double() -> None:
    stage = fold(contract(emit="watermark"))
    batch = run(stage, [row(1, 10), row(2, 20), row(3, 14), row(4, 20, load=0.1), row(5, 15)])
    assert skips(batch)[1:] == [
        (3, 1, SkipReason.LATE, ""),
        (4, 1, SkipReason.DOUBLE, "contradiction"),
    ]
    assert times_s(batch) == [15]


def test_a_mark_lets_out_what_waits_up_to_its_time() -> None:
    stage = fold(contract(emit="watermark"))
    batch = run(stage, [row(1, 0), row(2, 1), row(3, 2), mark(4, 1)])
    assert times_s(batch) == [1]
    assert times_s(run(stage, [mark(5, 9, "m2")])) == [2]


@given(st.permutations(range(6)))
@settings(deadline=None)
def test_any_permutation_within_the_lateness_gives_the_same_rows(order: list[int]) -> None:
    made = contract(emit="watermark")
    rng = np.random.default_rng(1)
    load = rng.random(6)

    def folded(times: Sequence[int]) -> list[Any]:
        messages = [row(i + 1, t, load=load[t]) for i, t in enumerate(times)]
        batch = run(fold(made), [*messages, mark(99, 100)])
        return [(r[4], r[5], r[6]) for r in identity(batch)]

    assert folded(order) == folded(range(6))


# --- batches and restarts ----------------------------------------------------------------------

events = st.lists(
    st.tuples(
        st.sampled_from(["e1", "e2", "e3"]),
        st.integers(-6, 8),  # seconds from the element's last time
        st.sampled_from([None, 0.0, 0.25, 0.5, 1.0, 7.0]),
        st.sampled_from([None, None, {"site": "s1"}, {"site": "s2"}]),
        st.integers(1, 3),  # samples
    ),
    min_size=1,
    max_size=60,
)
emits = st.sampled_from(["arrival", "watermark"])


def stream(steps: list[tuple[str, int, float | None, dict[str, str] | None, int]]) -> list[Input]:
    """Reports with doubles, late and out-of-range rows; the last message is a mark."""
    clock_s = dict.fromkeys(("e1", "e2", "e3"), 100)
    made = []
    for i, (element, step, load, labels, count) in enumerate(steps):
        clock_s[element] += step
        samples = [
            {"time_ms": T0_MS + 1000 * (clock_s[element] + k), "values": {"load": load}}
            for k in range(count)
        ]
        body: dict[str, Any] = {"samples": samples}
        if labels is not None:
            body["labels"] = labels
        made.append(message(3 * i + 1, element, body))
    made.append(mark(3 * len(steps) + 1, 10_000))
    return made


def fold_all(
    stage: IngestFold, messages: list[Input], cuts: set[int]
) -> tuple[list[Any], Counter[Any], int]:
    """Rows, skipped rows by (sequence, reason), and all rows that came out."""
    rows: list[Any] = []
    skipped: Counter[Any] = Counter()
    outputs: list[Output | None] = []
    for i, each in enumerate(messages):
        if stage.step(each) or i in cuts:
            outputs.append(stage.take())
    outputs.append(stage.take())
    for output in outputs:
        if output is not None:
            batch = decode_features(output.data)
            rows += identity(batch)
            for sequence, count, reason, _ in skips(batch):
                skipped[sequence, reason] += count
    return rows, skipped, len(rows) + skipped.total()


def since_of(living: IngestFold, spare: IngestFold) -> int | None:
    """What the fold would say had it just looked; it looks now and then, which changes nothing."""
    spare.load(living.dump())
    spare._sweep()
    return spare.since()


@given(events, st.sets(st.integers(0, 60)), emits)
@settings(max_examples=80, deadline=None)
def test_rows_do_not_depend_on_how_they_fell_into_batches(
    steps: list[Any], cuts: set[int], emit: str
) -> None:
    messages, made = stream(steps), contract(emit=emit)
    whole = fold_all(fold(made), messages, set())
    cut = fold_all(fold(made), messages, cuts)
    assert whole == cut
    assert whole[2] == sum(step[4] for step in steps)  # every sample has exactly one outcome


@given(events, st.integers(0, 60), emits)
@settings(max_examples=80, deadline=None)
def test_a_restarted_fold_goes_on_as_if_nothing_had_happened(
    steps: list[Any], at: int, emit: str
) -> None:
    messages, made = stream(steps), contract(emit=emit)
    at = min(at, len(messages) - 1)
    living, by_snapshot, by_replay = fold(made), fold(made), fold(made)
    fold_all(living, messages[:at], set())
    since = since_of(living, fold(made))
    by_snapshot.load(living.dump())
    needed = [m for m in messages[:at] if since is not None and m.sequence >= since]
    fold_all(by_replay, needed, set())
    assert since is None or since in {m.sequence for m in messages[:at]}
    rest = fold_all(living, messages[at:], set())
    assert fold_all(by_snapshot, messages[at:], set()) == rest
    assert fold_all(by_replay, messages[at:], set()) == rest


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9), st.booleans()), max_size=120),
    st.integers(0, 120),
    st.integers(300, 2_000),
    st.sets(st.integers(0, 120), max_size=8),
    emits,
)
@settings(max_examples=80, deadline=None)
def test_what_is_forgotten_is_forgotten_alike_after_a_restart_and_in_any_batch(
    steps: list[tuple[int, int, bool]], at: int, memory_bytes: int, cuts: set[int], emit: str
) -> None:
    """Elements that come and go, in order, with a memory of a few reports."""
    clock_s = dict.fromkeys(range(10), 0)
    messages = []
    for i, (element, step, labelled) in enumerate(steps):
        clock_s[element] += step
        more = {"labels": {"site": f"s{i}"}} if labelled else {}
        messages.append(row(i + 1, clock_s[element], f"e{element}", load=i % 7 / 7, **more))
    made = contract(emit=emit)
    living, again = (fold(made, max_elements=6, memory_bytes=memory_bytes) for _ in range(2))
    fold_all(living, messages[:at], cuts)
    since = since_of(living, fold(made, max_elements=6, memory_bytes=memory_bytes))
    needed = [m for m in messages[:at] if since is not None and m.sequence >= since]
    if emit == "arrival":
        assert sum(len(m.data) for m in needed[1:]) < memory_bytes
    fold_all(again, needed, set())
    rest = fold_all(living, messages[at:], cuts)
    assert fold_all(again, messages[at:], set()) == rest


def test_a_restart_reads_again_from_the_oldest_labels_that_count() -> None:
    stage = fold()
    run(stage, [row(1, 1, labels={"site": "s1"}), *(row(i, i) for i in range(2, 20))])
    assert since_of(stage, fold()) == 1
    run(stage, [row(20, 20, labels={"site": "s1"})])
    assert since_of(stage, fold()) == 17  # the four rows that a window holds


def test_a_restart_reads_again_from_the_oldest_row_that_waits() -> None:
    made = contract(emit="watermark")
    stage = fold(made)
    run(stage, [row(1, 0, "silent"), *(row(i, i, "busy") for i in range(2, 40))])
    assert since_of(stage, fold(made)) == 1


def test_rows_and_labels_are_forgotten_behind_the_memory_even_within_one_batch() -> None:
    size = len(row(10, 10, "e1").data)
    stage = fold(memory_bytes=10 * size)
    first = row(10, 10, "e1", load=1.0, labels={"site": "s1"})
    others = [row(i, i, "e2") for i in range(11, 19)]
    second, third = row(19, 19, "e1", load=0.0), row(20, 20, "e1", load=0.0)
    batch = run(stage, [first, *others, second, third])
    ours = [(r[1], r[2]) for r in identity(batch) if r[0] == "e1"]
    assert ours == [('{"site":"s1"}', 19), ("{}", 20)]
    mean_of_four = batch.feature[[r[0] == "e1" for r in identity(batch)], 6]
    assert mean_of_four.tolist() == [0.5, 0.0]


def test_a_snapshot_of_another_layout_or_digest_is_refused() -> None:
    state = fold().dump()
    with pytest.raises(PermanentError, match="delete the snapshot"):
        fold(contract(windows=(2, 5))).load(state)


def test_many_elements_grow_the_state_and_keep_their_windows() -> None:
    stage = fold(max_elements=1_000)
    first = run(stage, [row(1 + i, 0, f"e{i}", load=i / 500) for i in range(500)])
    assert len(first.rows) == 0
    second = run(stage, [row(1_001 + i, 1, f"e{i}", load=i / 500) for i in range(500)])
    assert second.feature[:, 1].tolist() == pytest.approx([i / 500 for i in range(500)])


@pytest.mark.parametrize(
    "subject", ["metrics.other.0.e1", "labels.other.0.e1", "metrics.pp.0.e1", "labels.pp.0.e1"]
)
def test_what_belongs_to_another_source_is_passed_over(subject: str) -> None:
    made = fold()
    assert not made.step(row(1, 0)._replace(subject=subject))
    assert made.take() is None
    assert made.since() is None
