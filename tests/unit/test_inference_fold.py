from collections.abc import Callable, Sequence
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from flyball_inference.fold import DamagedBatchError, ForeignFeaturesError, Scoring
from flyball_inference.gauge import Gauge
from flyball_inference.propose import Rules, Step
from flyball_inference.seat import Seat, Voice
from flyball_kit.fold import Input, InputChanged, Output
from flyball_proto.columns import (
    F32,
    I64,
    U8,
    U16,
    U32,
    U64,
    Decisions,
    Features,
    Flow,
    Mark,
    Model,
    Rows,
    Skipped,
    SkipReason,
    decode_decisions,
    encode_features,
)
from flyball_proto.streams import BATCH_BYTES

DIGEST = "d" * 64
ACTIVE = Model("a" * 64, 3, "active", "baseline")
SEAT = Seat(
    Voice(ACTIVE, lambda features: features[:, :1]),
    DIGEST,
    2,
    Rules(("offload",), (Step(0.5, 1),)),
    7,
)


def scoring(seat: Callable[[], Seat] = lambda: SEAT) -> Scoring:
    return Scoring(seat, Gauge(now_s=lambda: 0.0, tripped=lambda *_: None))


def features(loads: Sequence[float], first: int = 1, flow: Flow | None = None) -> Features:
    rows = len(loads)
    flow = flow or Flow("hub.METRICS", first, first + rows - 1, revisions={"pipeline": 7})
    return Features(
        "p",
        DIGEST,
        flow,
        Rows(
            (f"cell-{first}",),
            np.zeros(rows, U32),
            np.arange(first, first + rows, dtype=U64),
            np.zeros(rows, U16),
            np.arange(rows, dtype=I64),
            ("{}",),
            np.zeros(1, U32),
        ),
        np.repeat(np.asarray(loads, F32)[:, None], 2, axis=1).reshape(rows, 2),
        np.full(rows, 4, U8),
    )


def message(batch: Features) -> Input:
    return Input(1, 0, "features.p.dddddddd.0", None, encode_features(batch))


def decided(output: Output | None) -> Decisions:
    assert output is not None
    return decode_decisions(output.data)


def test_a_row_keeps_its_identity_and_names_the_model_that_decided() -> None:
    fold = scoring()
    assert not fold.step(message(features([0.25, 0.75], first=11)))
    found = decided(fold.take())
    assert found.rows.sequence.tolist() == [11, 12]
    assert found.score.tolist() == [0.25, 0.75]
    assert found.action_index.tolist() == [0, 1]
    assert found.quality.tolist() == [4, 4]
    assert found.model == (ACTIVE,)
    assert found.feature_digest == DIGEST
    assert found.flow.revisions == {"pipeline": 7, "deployment": 3, "decisions": 7}


def test_nothing_gathered_is_nothing_to_say() -> None:
    fold = scoring()
    assert fold.take() is None
    fold.step(message(features([0.1])))
    fold.take()
    assert fold.take() is None


def test_a_mark_ends_the_output_and_travels_on() -> None:
    fold = scoring()
    marked = Flow("hub.METRICS", 1, 1, mark=Mark("m-1", 60_000))
    assert fold.step(message(features([], flow=marked)))
    output = fold.take()
    assert output is not None
    assert (output.mark, output.rows) == ("m-1", 0)
    assert decided(output).flow.mark == Mark("m-1", 60_000)


def test_ticks_and_skipped_rows_travel_on_without_any_row() -> None:
    skipped = Skipped(
        np.array([9], U64), np.array([2], U32), np.array([SkipReason.LATE], U8), ("late",)
    )
    fold = scoring()
    fold.step(message(features([], flow=Flow("hub.METRICS", 9, 9, skipped, None, 5_000))))
    flow = decided(fold.take()).flow
    assert (flow.tick_ms, flow.skipped.sequence.tolist()) == (5_000, [9])
    assert flow.skipped.reason.tolist() == [SkipReason.LATE]


def test_an_output_is_cut_before_it_outgrows_its_bound() -> None:
    fold, steps = scoring(), 0
    while not fold.step(message(features([0.5] * 4000, first=1 + 4000 * steps))):
        steps += 1
    output = fold.take()
    assert output is not None
    assert len(output.data) < 2 * BATCH_BYTES


def test_a_swapped_seat_answers_for_everything_that_is_not_yet_committed() -> None:
    seats = [SEAT]
    fold = scoring(lambda: seats[-1])
    fold.step(message(features([0.25])))
    later = Voice(Model("b" * 64, 4, "active", "recent"), SEAT.active.run)
    seats.append(replace(SEAT, active=later))
    fold.step(message(features([0.25], first=2)))
    found = decided(fold.take())
    assert [m.epoch for m in found.model] == [4]
    assert found.model_index.tolist() == [0, 0]


def test_features_of_another_digest_are_refused_naming_both() -> None:
    fold = scoring()
    with pytest.raises(ForeignFeaturesError, match=rf"{'e' * 64}.*{DIGEST}") as raised:
        fold.step(message(replace(features([0.1]), feature_digest="e" * 64)))
    assert isinstance(raised.value, InputChanged)


def test_rows_of_another_width_are_refused() -> None:
    wide = replace(features([0.1]), feature=np.zeros((1, 3), F32))
    with pytest.raises(ForeignFeaturesError, match=r"3 features a row.*reads 2"):
        scoring().step(message(wide))


def test_bytes_that_are_no_batch_are_refused_with_their_place() -> None:
    with pytest.raises(DamagedBatchError, match=r"features\.p 5:"):
        scoring().step(Input(5, 0, "features.p", None, b"\xff\xff"))


@given(st.lists(st.lists(st.floats(0, 1, width=32), max_size=5), max_size=8), st.data())
def test_message_borders_do_not_change_rows(
    batches: list[list[float]], data: st.DataObject
) -> None:
    cut, whole, first = scoring(), scoring(), 1
    found: list[Decisions] = []
    for loads in batches:
        sent = message(features(loads, first))
        cut.step(sent)
        whole.step(sent)
        first += len(loads)
        if data.draw(st.booleans()) and (output := cut.take()):
            found.append(decode_decisions(output.data))
    found += [decode_decisions(o.data) for o in [cut.take()] if o]
    once = [decode_decisions(o.data) for o in [whole.take()] if o]
    for of in (
        lambda d: d.rows.sequence,
        lambda d: d.score,
        lambda d: d.action_index,
        lambda d: [d.rows.element[i] for i in d.rows.element_index],
    ):
        assert [x for d in found for x in of(d)] == [x for d in once for x in of(d)]
