"""Two models in one output: which element is whose, and what is counted of them."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.test_inference_fold import SEAT, decided, features, message, scoring

from flyball_inference.gauge import MAX_CALLS, TRIP_ROWS, Gauge
from flyball_inference.propose import Rules, Step
from flyball_inference.seat import Seat, Voice
from flyball_proto import sticky
from flyball_proto.columns import F32, U32, Column, Decisions, Features, Model, decode_decisions

ACTIVE = SEAT.active.model
CANARY = Model("c" * 64, 3, "canary", "recent")
NAMES = [f"cell-{i}" for i in range(400)]
STEPS = (5, 25, 100)


class Calls:
    """A model that gives its first feature plus something; remembers how many rows it was asked."""

    def __init__(self, plus: float) -> None:
        self.plus, self.rows = plus, list[int]()

    def __call__(self, rows: Column) -> Column:
        self.rows.append(len(rows))
        return (rows[:, :1] + self.plus).astype(F32)


def seat(percent: int, active: Calls | None = None, canary: Calls | None = None) -> Seat:
    return replace(
        SEAT,
        active=Voice(ACTIVE, active or Calls(0.0)),
        canary=Voice(CANARY, canary or Calls(10.0)),
        percent=percent,
        rules=Rules(("offload",), (Step(10.5, 1),)),
    )


def of(elements: Sequence[str], loads: Sequence[float] | None = None, first: int = 1) -> Features:
    """One row an entry of `elements`, which may repeat."""
    batch = features(loads if loads is not None else [0.25] * len(elements), first)
    names = list(dict.fromkeys(elements))
    who = replace(
        batch.rows,
        element=names,
        element_index=np.array([names.index(e) for e in elements], U32),
        label_index=np.zeros(len(names), U32),
    )
    return replace(batch, rows=who)


def decide(where: Seat, *batches: Features) -> Decisions:
    fold = scoring(lambda: where)
    for batch in batches:
        fold.step(message(batch))
    return decided(fold.take())


def by_element(found: Decisions) -> dict[str, set[str]]:
    """Element to the digests of the models that answered for it."""
    answered: dict[str, set[str]] = {}
    for i, m in zip(found.rows.element_index, found.model_index, strict=True):
        answered.setdefault(found.rows.element[i], set()).add(found.model[m].digest)
    return answered


def test_each_row_names_who_scored_it_and_each_model_is_called_once() -> None:
    active, canary = Calls(0.0), Calls(10.0)
    found = decide(seat(25, active, canary), of(NAMES))
    assert found.model == (ACTIVE, CANARY)
    theirs = [sticky.answers_canary(e, CANARY.digest, 25) for e in NAMES]
    assert found.model_index.tolist() == theirs
    assert found.score.tolist() == [10.25 if c else 0.25 for c in theirs]
    assert (len(active.rows), len(canary.rows)) == (1, 1)
    assert active.rows[0] + canary.rows[0] == len(NAMES)
    assert 60 < canary.rows[0] < 140


def test_one_set_of_rules_turns_the_scores_of_both_into_proposals() -> None:
    found = decide(seat(25), of(NAMES, [0.5] * len(NAMES)))
    assert found.action_index.tolist() == found.model_index.tolist()


def test_whoever_the_canary_answers_for_stays_with_it_as_it_grows() -> None:
    before: set[str] = set()
    for percent in STEPS:
        answered = by_element(decide(seat(percent), of(NAMES)))
        theirs = {e for e, digests in answered.items() if CANARY.digest in digests}
        assert before < theirs
        assert abs(len(theirs) / len(NAMES) - percent / 100) < 0.06
        before = theirs
    assert before == set(NAMES)


def test_at_the_last_step_the_active_model_is_not_called() -> None:
    active = Calls(0.0)
    found = decide(seat(100, active), of(NAMES))
    assert active.rows == []
    assert set(found.model_index) == {1}


def test_an_output_without_rows_calls_nobody() -> None:
    active, canary = Calls(0.0), Calls(10.0)
    assert decide(seat(25, active, canary), features([])).score.tolist() == []
    assert active.rows == canary.rows == []


@given(st.lists(st.sampled_from(NAMES[:12]), min_size=1, max_size=40), st.sampled_from(STEPS))
def test_no_element_has_two_models_in_one_output(elements: list[str], percent: int) -> None:
    answered = by_element(decide(seat(percent), of(elements), of(elements, first=100)))
    assert all(len(digests) == 1 for digests in answered.values())


@given(
    st.lists(
        st.lists(st.tuples(st.sampled_from(NAMES[:12]), st.floats(0, 1, width=32)), max_size=5),
        max_size=8,
    ),
    st.data(),
)
def test_message_borders_change_neither_scores_nor_who_gave_them(
    batches: list[list[tuple[str, float]]], data: st.DataObject
) -> None:
    where, found, once, first = seat(25), list[Decisions](), list[Decisions](), 1
    cut, whole = scoring(lambda: where), scoring(lambda: where)
    for rows in batches:
        sent = message(of([e for e, _ in rows], [load for _, load in rows], first))
        cut.step(sent)
        whole.step(sent)
        first += len(rows)
        if data.draw(st.booleans()) and (output := cut.take()):
            found.append(decode_decisions(output.data))
    found += [decode_decisions(o.data) for o in [cut.take()] if o]
    once += [decode_decisions(o.data) for o in [whole.take()] if o]

    def rows_of(decisions: list[Decisions]) -> list[tuple[str, float, str]]:
        return [
            (d.rows.element[e], s, d.model[m].digest)
            for d in decisions
            for e, s, m in zip(d.rows.element_index, d.score, d.model_index, strict=True)
        ]

    assert rows_of(found) == rows_of(once)


def test_a_session_call_never_has_a_single_row_beside_a_canary_either() -> None:
    active, canary = Calls(0.0), Calls(10.0)
    theirs = next(e for e in NAMES if sticky.answers_canary(e, CANARY.digest, 25))
    ours = next(e for e in NAMES if not sticky.answers_canary(e, CANARY.digest, 25))
    decide(seat(25, active, canary), of([ours, theirs]))
    assert (active.rows, canary.rows) == ([2], [2])


class Bench:
    """A gauge with a clock that every call moves by so many seconds, and what it said."""

    def __init__(self, *took_s: float) -> None:
        self.times_s, self.tripped = [0.0], list[tuple[str, str]]()
        for seconds in took_s:
            self.times_s += [self.times_s[-1], self.times_s[-1] + seconds]
        self.clock = iter(self.times_s[1:])
        self.gauge = Gauge(now_s=lambda: next(self.clock), tripped=self._trip)

    def _trip(self, model: Model, detail: str) -> None:
        self.tripped.append((model.digest, detail))

    def scores(self, loads: Sequence[float], model: Model = ACTIVE) -> None:
        voice = Voice(model, Calls(0.0))
        self.gauge.scores(voice, np.asarray(loads, F32)[:, None])

    def timed(self, model: Model) -> None:
        self.gauge.timed_scores(Voice(model, Calls(0.0)), np.zeros((2, 1), F32))


NAN = float("nan")


@pytest.mark.parametrize(
    ("batches", "said"),
    [
        ([[NAN] * 99], None),
        ([[NAN] * 100], "100 of 100"),
        ([[NAN] * 50 + [0.5] * 50], None),
        ([[NAN] * 51 + [0.5] * 49], "51 of 100"),
        ([[NAN]] * 100, "100 of 100"),
        ([[float("inf")] * 60, [0.5] * 59], "60 of 119"),
        ([[0.5] * 5000, [NAN] * 100], "100 of 100"),
        ([[NAN] * 40, [0.5] * 80, [NAN] * 40, [0.5] * 80], None),
    ],
)
def test_a_model_trips_when_more_than_half_of_a_hundred_scores_are_no_numbers(
    batches: list[list[float]], said: str | None
) -> None:
    bench = Bench()
    for loads in batches:
        bench.scores(loads)
    found = f"{said} scores in a row are no numbers"
    assert bench.tripped == ([(ACTIVE.digest, found)] if said else [])


def test_each_model_and_each_epoch_is_counted_for_itself() -> None:
    bench = Bench()
    bench.scores([NAN] * 60)
    bench.scores([NAN] * 60, CANARY)
    bench.scores([NAN] * 60, replace(ACTIVE, epoch=4))
    assert bench.tripped == []
    bench.scores([NAN] * 60, replace(ACTIVE, epoch=4))
    assert [digest for digest, _ in bench.tripped] == [ACTIVE.digest]
    assert TRIP_ROWS == 100


def test_figures_are_of_the_calls_since_they_were_taken_last() -> None:
    bench = Bench(*[0.001] * 99, 0.101, 0.002, 0.004)
    for _ in range(100):
        bench.timed(ACTIVE)
    bench.timed(CANARY)
    found = bench.gauge.take(3)
    assert found[ACTIVE.digest].calls == 100
    assert found[ACTIVE.digest].p99_ms == pytest.approx(2.0)  # between 1 and 101, one hundredth up
    assert found[CANARY.digest] == (pytest.approx(2.0), 1)
    assert bench.gauge.take(3) == {}
    bench.timed(CANARY)
    assert bench.gauge.take(3) == {CANARY.digest: (pytest.approx(4.0), 1)}


def test_figures_of_an_epoch_that_is_over_are_given_to_nobody() -> None:
    bench = Bench(0.001)
    bench.timed(ACTIVE)
    assert bench.gauge.take(4) == {}


def test_only_the_newest_calls_are_remembered_and_all_are_counted() -> None:
    bench = Bench(*[1.0] * 10, *[0.001] * MAX_CALLS)
    for _ in range(MAX_CALLS + 10):
        bench.timed(ACTIVE)
    (figures,) = bench.gauge.take(3).values()
    assert figures == (pytest.approx(1.0), MAX_CALLS + 10)


def test_without_a_canary_nothing_is_timed() -> None:
    bench = Bench()  # its clock has no time to give
    bench.scores([0.5])
    assert bench.gauge.take(3) == {}
