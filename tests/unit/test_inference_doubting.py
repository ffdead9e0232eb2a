"""What goes along with a proposal: novelty, disagreement with the fallback, features."""

from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.test_inference_canary import CANARY, Calls, of
from tests.unit.test_inference_fold import ACTIVE, SEAT, decided, features, message, scoring

from flyball_inference.doubting import MAX_SHOWN, MAX_SHOWN_BYTES, max_shown
from flyball_inference.propose import Rules, Step
from flyball_inference.seat import Seat, Voice
from flyball_proto.columns import F32, F64, Column, Decisions, Features, Model
from flyball_proto.novelty import Novelty
from flyball_proto.streams import BATCH_BYTES, MAX_PAYLOAD_BYTES

FALLBACK = Model("f" * 64, 3, "fallback", "baseline")
ACTED = Rules(("offload",), (Step(0.5, 1),))


def around(center: float) -> Novelty:
    """Rows of two features were within a tenth of `center`; nine of them were held out."""
    mean = np.full(2, center)
    nine = np.linspace(0.1, 0.9, 9)
    return Novelty(mean, np.full(2, 10.0), np.eye(2), np.ones(2), 1.0, nine)


def seat(**changes: object) -> Seat:
    where = replace(SEAT, rules=ACTED)
    return replace(where, **changes)  # type: ignore[arg-type]


def decide(where: Seat, *batches: Features) -> Decisions:
    fold = scoring(lambda: where)
    for batch in batches:
        fold.step(message(batch))
    return decided(fold.take())


def proposing(found: Decisions) -> int:
    return int(np.count_nonzero(found.action_index))


def test_only_rows_that_propose_something_are_doubted_in_their_order() -> None:
    spare = Calls(-0.25)
    known = Voice(ACTIVE, SEAT.active.run, around(0.5))
    where = seat(active=known, fallback=Voice(FALLBACK, spare))
    found = decide(where, features([0.1, 0.5, 0.2, 0.9]))
    assert found.action_index.tolist() == [0, 1, 0, 1]
    doubts = found.doubts
    assert doubts.novelty.tolist() == [1.0, np.float32(0.1)]
    assert doubts.disagreement.tolist() == [0.25, 0.25]
    assert doubts.feature.tolist() == [[0.5, 0.5], [np.float32(0.9)] * 2]
    assert spare.rows == [2]


def test_where_nothing_is_proposed_the_fallback_is_not_asked_and_nothing_is_written() -> None:
    spare = Calls(0.0)
    found = decide(seat(fallback=Voice(FALLBACK, spare)), features([0.1, 0.2]))
    assert spare.rows == []
    assert found.doubts.novelty.shape == (0,)
    assert found.doubts.feature.shape == (0, 0)


def test_without_statistics_and_without_a_fallback_nothing_is_known_but_the_features() -> None:
    doubts = decide(seat(), features([0.75])).doubts
    assert np.isnan(doubts.novelty).tolist() == [True]
    assert np.isnan(doubts.disagreement).tolist() == [True]
    assert doubts.feature.tolist() == [[0.75, 0.75]]


def test_each_row_is_held_against_what_its_own_model_learnt_from() -> None:
    elements = [f"cell-{i}" for i in range(200)]
    where = seat(
        active=Voice(ACTIVE, Calls(0.0), around(0.5)),
        canary=Voice(CANARY, Calls(0.0), around(0.9)),
        percent=40,
        fallback=Voice(FALLBACK, Calls(-0.1)),
    )
    found = decide(where, of(elements, [0.5] * 200))
    active = found.model_index == 0
    assert 0 < active.sum() < 200
    assert set(found.doubts.novelty[active]) == {1.0}
    assert set(found.doubts.novelty[~active]) == {np.float32(0.1)}
    assert found.doubts.disagreement == pytest.approx(0.1)


def test_rows_of_a_canary_without_statistics_are_not_known_beside_others_that_are() -> None:
    elements = [f"cell-{i}" for i in range(200)]
    known = Voice(ACTIVE, Calls(0.0), around(0.5))
    where = seat(active=known, canary=Voice(CANARY, Calls(0.0)), percent=40)
    found = decide(where, of(elements, [0.5] * 200))
    assert (np.isnan(found.doubts.novelty) == (found.model_index == 1)).all()


def test_a_model_does_not_disagree_with_itself_so_nothing_is_known() -> None:
    elements = [f"cell-{i}" for i in range(200)]
    canary = Voice(CANARY, Calls(0.25))
    where = seat(
        active=Voice(ACTIVE, Calls(0.0)),
        canary=canary,
        percent=40,
        fallback=Voice(CANARY, Calls(1.0)),
    )
    found = decide(where, of(elements, [0.5] * 200))
    assert (np.isnan(found.doubts.disagreement) == (found.model_index == 1)).all()


def test_a_fallback_that_gives_no_number_is_no_disagreement() -> None:
    def broken(rows: Column) -> Column:
        return np.full((len(rows), 1), np.nan, F32)

    found = decide(seat(fallback=Voice(FALLBACK, broken)), features([0.75, 0.9]))
    assert found.score.tolist() == pytest.approx([0.75, 0.9])
    assert np.isnan(found.doubts.disagreement).all()


def test_scores_that_are_farther_apart_than_a_column_can_say_stay_finite() -> None:
    def high(rows: Column) -> Column:
        return np.full((len(rows), 1), 3e38, F32)

    spare = Voice(FALLBACK, lambda rows: -high(rows))
    found = decide(seat(active=Voice(ACTIVE, high), fallback=spare), features([0.75]))
    assert found.doubts.disagreement.tolist() == [np.finfo(F32).max]


def test_of_several_classes_the_scores_of_the_same_class_are_compared() -> None:
    def active(rows: Column) -> Column:
        return np.column_stack([rows[:, 0], 1 - rows[:, 0]]).astype(F32)

    def spare(rows: Column) -> Column:
        return np.tile(np.array([0.5, 0.25], F32), (len(rows), 1))

    rules = Rules(("drop", "keep"), (Step(0.6, 1, 0), Step(0.7, 2, 1)), ("bad", "good"))
    where = seat(active=Voice(ACTIVE, active), rules=rules, fallback=Voice(FALLBACK, spare))
    found = decide(where, features([0.75, 0.5, 0.125]))
    assert found.class_index.tolist() == [0, 0, 1]
    assert found.doubts.disagreement.tolist() == [0.25, 0.625]


def wide(rows: int, width: int, value: float = 0.75) -> Features:
    batch = features([value] * rows)
    return replace(batch, feature=np.full((rows, width), value, F32))


@pytest.mark.parametrize("width", [1, 2, 72, 1024])
def test_features_of_more_proposals_than_the_bound_do_not_go_along(width: int) -> None:
    most = max_shown(width)
    assert most <= MAX_SHOWN
    assert most * width * 4 <= MAX_SHOWN_BYTES
    where = seat(width=width)
    assert decide(where, wide(most, width)).doubts.feature.shape == (most, width)
    beyond = decide(where, wide(most + 1, width)).doubts
    assert beyond.feature.shape == (most + 1, 0)
    assert len(beyond.novelty) == most + 1


@pytest.mark.parametrize("width", [2, 72, 1024])
def test_an_output_whose_rows_all_propose_something_keeps_its_bound(width: int) -> None:
    fold = scoring(lambda: seat(width=width))
    small = message(wide(10, width))
    for _ in range(10_000):
        if fold.step(small):
            break
    output = fold.take()
    assert output is not None
    assert len(output.data) < 1.5 * BATCH_BYTES < MAX_PAYLOAD_BYTES
    assert decided(output).rows.sequence.size >= 10


@given(st.lists(st.lists(st.floats(0, 1, width=32), max_size=5), max_size=8), st.data())
def test_message_borders_do_not_change_what_is_doubted(
    batches: list[list[float]], data: st.DataObject
) -> None:
    known = Voice(ACTIVE, SEAT.active.run, around(0.7))
    where = seat(active=known, fallback=Voice(FALLBACK, Calls(-0.125)))
    cut, whole, first = scoring(lambda: where), scoring(lambda: where), 1
    found: list[Decisions] = []
    for loads in batches:
        sent = message(features(loads, first))
        cut.step(sent)
        whole.step(sent)
        first += len(loads)
        if data.draw(st.booleans()) and (output := cut.take()):
            found.append(decided(output))
    found += [decided(o) for o in [cut.take()] if o]
    once = [decided(o) for o in [whole.take()] if o]
    for name in ("novelty", "disagreement", "feature"):
        assert joined(found, name).tolist() == joined(once, name).tolist()


def joined(batches: Sequence[Decisions], name: str) -> Column:
    said = [getattr(b.doubts, name) for b in batches if proposing(b)]
    return np.concatenate([part.ravel() for part in said]) if said else np.empty(0, F64)
