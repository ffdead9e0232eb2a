from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.training_rows import WIDTH, samples

from flyball_proto.columns import F32
from flyball_trainer.learning.window import SPARE_NAMES, WidthError, Window, row_bytes
from flyball_trainer.rows import TrainingRows

Row = tuple[str, int, int, bool, float]
"""Element, event time, known that much later, censored, label."""

ROWS = st.lists(
    st.tuples(
        st.sampled_from(["b", "a", "c", "aa"]),
        st.integers(0, 50),
        st.integers(0, 10),
        st.booleans(),
        st.sampled_from([0.0, 1.0, float("nan")]),
    ),
    max_size=60,
)


def appended(window: Window, rows: list[Row], borders: list[int]) -> None:
    """The rows in messages that end at `borders`; the first feature is the row's sequence."""
    ends = sorted({min(b, len(rows)) for b in borders} | {0, len(rows)})
    for start, end in pairwise(ends):
        part = rows[start:end]
        sequence = list(range(start + 1, end + 1))
        feature = np.zeros((len(part), WIDTH), F32)
        feature[:, 0] = sequence
        window.append(
            samples(
                element=[r[0] for r in part],
                time_ms=[r[1] for r in part],
                known_ms=[r[1] + r[2] for r in part],
                censored=[int(r[3]) for r in part],
                label=[r[4] for r in part],
                sequence=sequence,
                feature=feature,
            )
        )


def said(rows: TrainingRows) -> list[tuple[int, str, int]]:
    element = [rows.element[i] for i in rows.element_index]
    return list(zip(rows.time_ms.tolist(), element, rows.sequence.tolist(), strict=True))


def by_hand(
    rows: list[Row], capacity: int, window_ms: int, max_rows: int, now_ms: int
) -> list[tuple[int, str, int]]:
    """What a window must select, one row after another."""
    kept = list(enumerate(rows, 1))[-capacity:]
    found = [
        (time, element, sequence)
        for sequence, (element, time, delay, censored, label) in kept
        if not censored and label == label and time >= now_ms - window_ms
        if time + delay <= now_ms
    ]
    return sorted(found)[-max_rows:]


@given(
    rows=ROWS,
    borders=st.lists(st.integers(0, 60), max_size=8),
    capacity=st.integers(1, 70),
    asked=st.tuples(st.integers(0, 60), st.integers(1, 40), st.integers(0, 60)),
)
@settings(deadline=None)
def test_a_selection_depends_on_the_rows_and_not_on_the_messages(
    rows: list[Row], borders: list[int], capacity: int, asked: tuple[int, int, int]
) -> None:
    window = Window(WIDTH, capacity)
    appended(window, rows, borders)
    window_ms, max_rows, now_ms = asked
    found = window.select(window_ms=window_ms, max_rows=max_rows, now_ms=now_ms)
    assert said(found) == by_hand(rows, capacity, window_ms, max_rows, now_ms)
    assert found.feature[:, 0].tolist() == found.sequence.tolist()
    assert found.element == tuple(sorted({element for _, element, _ in said(found)}))


@given(rows=ROWS, before=st.integers(0, 60))
@settings(deadline=None)
def test_forgetting_takes_the_old_end_and_no_row_that_is_young(
    rows: list[Row], before: int
) -> None:
    window, whole = Window(WIDTH, 100), Window(WIDTH, 100)
    appended(window, rows, [])
    appended(whole, rows, [])
    window.forget_before(before)
    times = [row[1] for row in rows]
    gone = next((i for i, time in enumerate(times) if time >= before), len(times))
    assert len(window) == len(rows) - gone
    asked: dict[str, Any] = {"window_ms": 60 - before, "max_rows": 100, "now_ms": 60}
    assert said(window.select(**asked)) == said(whole.select(**asked))
    appended(window, rows, [3])
    assert len(window) == 2 * len(rows) - gone


def test_the_bytes_bound_the_rows() -> None:
    window = Window(WIDTH, 1_000_000, max_bytes=10 * row_bytes(WIDTH))
    for second in range(50):
        window.append(samples(element=["a"], time_ms=[second], sequence=[second + 1]))
    assert len(window) == window.capacity == 10
    assert window.size_bytes <= 10 * row_bytes(WIDTH)
    found = window.select(window_ms=100, max_rows=100, now_ms=100)
    assert found.time_ms.tolist() == list(range(40, 50))


def test_a_message_larger_than_the_window_leaves_its_last_rows() -> None:
    window = Window(WIDTH, 3)
    window.append(samples(element=["a"] * 8, time_ms=list(range(8))))
    found = window.select(window_ms=100, max_rows=100, now_ms=100)
    assert found.time_ms.tolist() == [5, 6, 7]


def test_names_of_elements_that_left_are_forgotten() -> None:
    window = Window(WIDTH, 4)
    count = SPARE_NAMES + 20
    for i in range(count):
        window.append(samples(element=[f"cell-{i}"], time_ms=[i], labels=f'{{"n":"{i}"}}'))
    assert len(window._elements) <= len(window) + SPARE_NAMES
    found = window.select(window_ms=count, max_rows=10, now_ms=count)
    assert set(found.element) == {f"cell-{i}" for i in range(count - 4, count)}
    assert [found.label_set[i] for i in found.label_index] == [
        f'{{"n":"{i}"}}' for i in range(count - 4, count)
    ]


def test_rows_selected_stay_as_they_are_when_the_window_moves_on() -> None:
    window = Window(WIDTH, 2)
    window.append(samples(element=["a", "b"], time_ms=[1, 2], label=[0.0, 1.0]))
    found = window.select(window_ms=10, max_rows=10, now_ms=10)
    window.append(samples(element=["c", "d"], time_ms=[3, 4], label=[5.0, 5.0]))
    assert found.label.tolist() == [0.0, 1.0]


def test_samples_of_another_width_are_refused() -> None:
    with pytest.raises(WidthError, match="have 5 features, the window 6"):
        Window(WIDTH + 1, 10).append(samples(element=["a"], time_ms=[1]))
