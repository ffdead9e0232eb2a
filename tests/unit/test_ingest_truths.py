"""Features of truth that had arrived: by value, in any batching, after restarts, when forgotten."""

import math
from itertools import pairwise
from typing import Any

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.label_stream import (
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

from flyball_ingest.contract import Contract
from flyball_ingest.fold import IngestFold
from flyball_kit.fold import Input
from flyball_proto.columns import Features

LAGS, MEANS = [1, 2, 3], [2, 4]


def story(batches: list[Features]) -> list[tuple[Any, ...]]:
    """Rows to the bit and truths, in the one order in which they came out over all batches."""
    told: list[tuple[Any, ...]] = []
    for batch in batches:
        rows = batch.rows
        found: list[tuple[int, int, tuple[Any, ...]]] = [
            (before, 0, ("truth", element, sequence, at_s, value))
            for element, sequence, at_s, value, before in arrived(batch)
        ]
        for i, e in enumerate(rows.element_index):
            own = (rows.element[e], int(rows.sequence[i]), int(rows.sample[i]))
            found.append((i, 1, ("row", *own, batch.feature[i].tobytes())))
        told += [what for _, _, what in sorted(found, key=lambda place: place[:2])]
    return told


def expected(told: list[tuple[Any, ...]]) -> list[bytes]:
    """Features of truth of every row, by the standard library, from the truths told before it."""
    known: dict[str, dict[float, float]] = {"e1": {}, "e2": {}}
    found = []
    for what in told:
        if what[0] == "truth":
            _, element, _, at_s, value = what
            known[element].setdefault(at_s, value)
            continue
        values = [value for _, value in sorted(known[what[1]].items(), reverse=True)]
        lags = [values[k - 1] if k <= len(values) else math.nan for k in LAGS]
        means = [np.mean(values[:k]) if values else math.nan for k in MEANS]
        found.append(np.array([*lags, *means], np.float32).tobytes())
    return found


def test_lags_and_means_are_of_what_had_arrived_by_the_time_it_is_about() -> None:
    made = contract(NUMBER, truth=[1, 2, 4], means=[2, 3])
    batch = once(
        fold(made),
        row(1, 0),
        label(2, 10, value=1.0),
        row(3, 1),
        label(4, 30, value=3.0),
        label(5, 20, value=2.0),
        row(6, 2),
        label(7, 20, value=9.0),  # a second truth about one row changes nothing
        label(8, 5, value=7.0, element="e2"),
        row(9, 3),
    )
    nan = math.nan
    assert np.array_equal(
        batch.feature[:, 1:],
        np.array(
            [
                [nan, nan, nan, nan, nan],
                [1, nan, nan, 1, 1],
                [3, 2, nan, 2.5, 2],
                [3, 2, nan, 2.5, 2],
            ],
            np.float32,
        ),
        equal_nan=True,
    )
    assert len(batch.arrivals) == 5


def test_a_truth_older_than_all_that_are_kept_changes_nothing() -> None:
    stage = fold(contract(NUMBER, truth=[1, 2]))
    labels = [label(i, 10 - i, value=float(i)) for i in range(1, 6)]
    assert once(stage, *labels, row(9, 0)).feature[0, 1:].tolist() == [1.0, 2.0]


def test_truth_of_further_elements_is_refused_until_others_are_forgotten() -> None:
    size = len(label(1, 0).data)
    stage = fold(contract(truth=[1]), max_elements=2, memory_bytes=4 * size)
    batch = once(stage, label(1, 0, element="a"), label(2, 0, element="b"), label(3, 0))
    assert refused(batch) == [(3, 0, "too-many-elements")]
    assert len(batch.arrivals) == 2
    later = [label(i, i, element="b") for i in range(4, 8)]
    assert len(once(stage, *later, label(8, 0)).arrivals) == 5


def test_truth_is_forgotten_behind_the_memory_even_within_one_batch() -> None:
    stage = fold(contract(truth=[1], means=[2]), memory_bytes=1_000)
    first = label(1, 0)
    rows = [row(i, i) for i in range(2, 40)]
    batch = once(stage, first, *rows)
    read = [len(first.data)]
    for each in rows:
        read.append(read[-1] + len(each.data))
    expected = [1.0 if at - read[0] < 1_000 else math.nan for at in read[1:]]
    assert np.array_equal(batch.feature[:, 1], np.array(expected), equal_nan=True)
    assert np.array_equal(batch.feature[:, 2], np.array(expected), equal_nan=True)
    assert 0 < sum(map(math.isnan, expected)) < len(expected)


# --- batches and restarts ----------------------------------------------------------------------

events = st.lists(
    st.tuples(
        st.sampled_from(["e1", "e2"]),
        st.sampled_from(["row", "label"]),
        st.integers(-4, 6),  # seconds from the newest of this kind and element
        st.integers(0, 3),
        st.integers(1, 3),  # samples
    ),
    min_size=1,
    max_size=60,
)
emits = st.sampled_from(["arrival", "watermark"])


def stream(steps: list[tuple[str, str, int, int, int]]) -> list[Input]:
    """Rows and labels, also late, doubled and contradictory ones; a mark ends them."""
    clock_s = {(element, kind): 100 for element in ("e1", "e2") for kind in ("row", "label")}
    made = []
    for i, (element, kind, step, value, count) in enumerate(steps):
        clock_s[element, kind] += step
        times_ms = [T0_MS + 1000 * (clock_s[element, kind] + k) for k in range(count)]
        if kind == "row":
            samples = [{"time_ms": t, "values": {"load": value / 4}} for t in times_ms]
            body: dict[str, Any] = {"element": element, "samples": samples}
            made.append(message(2 * i + 1, f"metrics.p.0.{element}", body))
        else:
            body = {"samples": [{"time_ms": t, "value": value} for t in times_ms]}
            made.append(message(2 * i + 1, f"labels.p.0.{element}", body))
    made.append(mark(2 * len(steps) + 1, 10_000))
    return made


def truthful(emit: str = "arrival") -> Contract:
    return contract(NUMBER, truth=LAGS, means=MEANS, emit=emit)


@given(events, st.sets(st.integers(0, 60)), emits)
@settings(max_examples=80, deadline=None)
def test_a_row_sees_what_had_arrived_however_it_fell_into_batches(
    steps: list[Any], cuts: set[int], emit: str
) -> None:
    messages, made = stream(steps), truthful(emit)
    whole = story(run(fold(made), messages))
    assert whole == story(run(fold(made), messages, cuts))
    assert [what[4][-20:] for what in whole if what[0] == "row"] == expected(whole)
    truths = [what[2] for what in whole if what[0] == "truth"]
    assert all(a <= b for a, b in pairwise(truths))  # METRICS order
    assert len(truths) == sum(step[4] for step in steps if step[1] == "label")
    if emit == "arrival":
        sequences = [what[2] for what in whole]
        assert all(a <= b for a, b in pairwise(sequences))


def since_of(living: IngestFold, spare: IngestFold) -> int | None:
    """What the fold would say had it just looked; it looks now and then, which changes nothing."""
    spare.load(living.dump())
    spare._sweep()
    return spare.since()


@given(events, st.integers(0, 60), emits)
@settings(max_examples=80, deadline=None)
def test_a_restarted_fold_remembers_the_truth(steps: list[Any], at: int, emit: str) -> None:
    messages, made = stream(steps), truthful(emit)
    at = min(at, len(messages) - 1)
    living, by_snapshot, by_replay = fold(made), fold(made), fold(made)
    run(living, messages[:at])
    since = since_of(living, fold(made))
    by_snapshot.load(living.dump())
    needed = [m for m in messages[:at] if since is not None and m.sequence >= since]
    run(by_replay, needed)
    rest = story(run(living, messages[at:]))
    assert story(run(by_snapshot, messages[at:])) == rest
    assert story(run(by_replay, messages[at:])) == rest


@given(
    st.lists(st.tuples(st.integers(0, 9), st.integers(1, 9), st.booleans()), max_size=120),
    st.integers(0, 120),
    st.integers(300, 2_000),
    st.sets(st.integers(0, 120), max_size=8),
    emits,
)
@settings(max_examples=80, deadline=None)
def test_truth_is_forgotten_alike_after_a_restart_and_in_any_batch(
    steps: list[tuple[int, int, bool]], at: int, memory_bytes: int, cuts: set[int], emit: str
) -> None:
    """Elements that come and go, in order, with a memory of a few messages."""
    clock_s = dict.fromkeys(range(10), 0)
    messages = []
    for i, (element, step, is_label) in enumerate(steps):
        clock_s[element] += step
        make = label if is_label else row
        messages.append(make(i + 1, clock_s[element], i % 7 / 7, element=f"e{element}"))
    made = truthful(emit)
    living, again = (fold(made, max_elements=6, memory_bytes=memory_bytes) for _ in range(2))
    run(living, messages[:at], cuts)
    since = since_of(living, fold(made, max_elements=6, memory_bytes=memory_bytes))
    needed = [m for m in messages[:at] if since is not None and m.sequence >= since]
    if emit == "arrival":
        assert sum(len(m.data) for m in needed[1:]) < memory_bytes
    run(again, needed)
    rest = story(run(living, messages[at:], cuts))
    assert story(run(again, messages[at:])) == rest


def test_a_restart_reads_again_from_the_oldest_truth_that_counts() -> None:
    made = contract(truth=[1, 3])
    stage = fold(made)
    run(stage, [label(1, 1), label(2, 2), label(3, 3), *(row(i, i) for i in range(4, 20))])
    assert since_of(stage, fold(made)) == 1
    run(stage, [label(20, 20), label(21, 21)])
    assert since_of(stage, fold(made)) == 3
    run(stage, [label(22, 22)])
    assert since_of(stage, fold(made)) == 18  # the two rows that a window holds
