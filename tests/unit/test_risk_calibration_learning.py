"""Which labels teach what, and what a calibration says of them."""

import zlib
from dataclasses import replace
from datetime import UTC, datetime

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.calibration_rows import (
    BASELINE,
    BLOCK_MS,
    OFFLOAD,
    TREES,
    Labelled,
    samples,
    stream,
    terms_of,
)

from flyball_kit.samples import SampleMessage
from flyball_proto.calibrations import CutOff, SteppedBackNow
from flyball_proto.columns import Mark, Verdict
from flyball_risk.calibrating import learning as module
from flyball_risk.calibrating.keeping import dump, load
from flyball_risk.calibrating.labelled import Names, Terms, labelled
from flyball_risk.calibrating.lanes import Lanes, Reached
from flyball_risk.calibrating.learning import Learning
from flyball_risk.calibrating.news import news, words
from flyball_risk.judging.control import is_drawn

AT = datetime(2026, 1, 1, tzinfo=UTC)


def found(rows: list[Labelled], under: Terms | None = None) -> np.ndarray:
    return labelled(samples(rows), Names([], []), under or terms_of())


def learnt(rows: list[Labelled], under: Terms | None = None) -> Learning:
    """By messages of 25 rows, fitted when that is due."""
    fold = Learning(under or terms_of())
    for i in range(0, len(rows), 25):
        fold.take(samples(rows[i : i + 25], first=i + 1))
        if fold.is_due:
            fold.fit(AT)
    return fold


def cut_of(fold: Learning) -> CutOff:
    assert fold.calibration is not None
    assert fold.calibration.cut_off is not None
    return fold.calibration.cut_off


def test_only_proposals_whose_truth_is_known_and_not_falsified_teach() -> None:
    rows = [
        Labelled(score=0.91),
        Labelled(score=0.92, action=None),
        Labelled(score=0.93, censored=True),
        Labelled(score=0.94, label=float("nan")),
    ]
    assert found(rows)["score"].tolist() == pytest.approx([0.91])
    before = replace(samples(rows), action=(), action_index=np.empty(0, np.uint8))
    assert len(labelled(before, Names([], []), terms_of())) == 0


@pytest.mark.parametrize(
    "row", [Labelled(time_ms=9000, censored=True), Labelled(time_ms=9000, action=None)]
)
def test_a_label_that_teaches_nothing_is_heard_all_the_same(row: Labelled) -> None:
    fold = learnt([row])
    assert (fold.heard_ms, fold.watch.event_ms) == (39_000, 0)
    fold.take(samples([Labelled(time_ms=10_000, label=float("nan"))], first=2))
    fold.take(samples([], first=3))
    assert load(dump(fold), fold.terms).heard_ms == 39_000


@pytest.mark.parametrize(
    ("under", "label", "is_right"),
    [
        (terms_of(), 1.0, True),
        (terms_of(), 0.0, False),
        (terms_of(OFFLOAD | {"score_at_least": 7}, expression="last(load)"), 7.0, True),
        (terms_of(OFFLOAD | {"score_at_least": 7}, expression="last(load)"), 6.9, False),
    ],
)
def test_an_action_is_right_if_the_truth_meets_its_rule(
    under: Terms, label: float, is_right: bool
) -> None:
    assert found([Labelled(label=label)], under)["wrong"].tolist() == [not is_right]


def test_of_classes_that_of_the_rule_is_right() -> None:
    under = replace(terms_of(), classes={"offload": frozenset({2})})
    rows = [Labelled("a", label=2.0), Labelled("b", label=1.0)]
    assert found(rows, under)["wrong"].tolist() == [False, True]


def test_drawn_is_whom_the_control_share_draws_whatever_the_verdict() -> None:
    under = terms_of(control_share=0.3)
    rows = [
        Labelled(f"e{i}", 60_000, verdict=verdict)
        for i in range(100)
        for verdict in (Verdict.WITHHOLD, Verdict.HOLD, Verdict.DENY, Verdict.CAP)
    ]
    drawn = [
        is_drawn(under.control_key, 0.3, pipeline="p", element=r.element, spell=1) for r in rows
    ]
    assert found(rows, under)["drawn"].tolist() == drawn
    assert 0.15 < np.mean(drawn) < 0.45


def test_while_a_pipeline_only_advises_every_row_is_drawn_but_those_of_the_baseline() -> None:
    under = terms_of(control_share=0)
    rows = [Labelled("a"), Labelled("b", verdict=Verdict.HOLD), Labelled("c", model=BASELINE)]
    assert found(rows, under)["drawn"].tolist() == [True, False, False]
    acting = terms_of(control_share=0, baseline_acts=True)
    assert found(rows, acting)["drawn"].tolist() == [True, False, True]


def test_an_element_counts_once_a_block() -> None:
    fold = Learning(terms_of())
    rows = [Labelled(time_ms=i * BLOCK_MS // 4, score=0.5 + i / 100) for i in range(8)]
    fold.take(samples(rows[:3]))
    fold.take(samples(rows[3:]))
    assert fold.drawn["score"].tolist() == pytest.approx([0.5, 0.54])
    assert len(fold.others) == 6


def test_what_is_kept_is_bounded_and_the_oldest_go(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "MAX_DRAWN", 40)
    monkeypatch.setattr(module, "MAX_OTHERS", 30)
    fold = Learning(terms_of(control_share=0))
    for i in range(10):
        own = stream(20, seed=i, start=1 + 20 * i)
        fold.take(samples(own + [replace(row, verdict=Verdict.HOLD) for row in own]))
    assert len(fold.drawn) == 40
    assert len(fold.others) == 30
    assert fold.drawn["time_ms"].min() > fold.watch.event_ms - 41 * 10_000


def test_nothing_is_fitted_before_labels_span_two_blocks() -> None:
    fold = Learning(terms_of())
    fold.take(samples(stream(100, every_ms=1_000)))
    assert not fold.is_due
    fold.take(samples(stream(200, start=101, every_ms=1_000)))
    assert fold.is_due


def test_a_hundred_rows_prove_nothing_and_four_hundred_do() -> None:
    few, many = learnt(stream(100, wrong=0.02)), learnt(stream(400, wrong=0.02))
    assert not cut_of(few).proven
    assert "not proven yet: " in words(cut_of(few))
    cut = cut_of(many)
    assert cut.proven
    assert cut.at is not None
    assert cut.bound <= 0.05
    assert "probability of error of" in words(cut)


def test_with_enough_of_both_kinds_weights_are_learnt() -> None:
    fold = learnt(stream(600, wrong=0.2))
    assert fold.calibration is not None
    assert fold.calibration.weights["doubt"] > 0
    assert set(fold.calibration.conformal) == {"offload"}
    assert len(fold.calibration.model_dump_json()) < 20_000
    right = learnt(stream(600, wrong=1e-9)).calibration
    assert right is not None
    assert right.weights == {}
    assert right.cut_off is not None
    assert right.cut_off.proven


def test_rows_of_another_trainer_prove_nothing_about_the_one_in_the_seat() -> None:
    before = stream(300, wrong=0.01)
    other = replace(TREES, trainer="linear", epoch=4)
    after = [replace(row, model=other) for row in stream(60, wrong=0.01, start=301)]
    fold = learnt(before + after)
    calibration = fold.fit(AT)
    assert (cut_of(fold).rows, cut_of(fold).proven) == (60, False)
    assert calibration.rows == 360


def test_when_cleared_rows_turn_wrong_it_steps_back_until_newer_rows_prove_it_again() -> None:
    good = stream(400, wrong=0.01)
    bad = [replace(row, label=0.0) for row in stream(30, start=401)]
    fold = learnt(good)
    assert cut_of(fold).proven
    for i, row in enumerate(bad):
        fold.take(samples([row], first=401 + i))
        if fold.is_due:
            fold.fit(AT)
        if fold.watch.stepped_back is not None:
            break
    assert fold.calibration is not None
    found = fold.calibration.stepped_back
    assert found is not None
    assert found.lower_bound > 0.05
    assert found.rows <= 10
    assert found.since_ms >= bad[0].time_ms
    assert fold.calibration.drifted
    assert cut_of(fold).rows <= 1
    for i, row in enumerate(stream(300, wrong=0.01, start=431)):
        fold.take(samples([row], first=431 + i))
        if fold.is_due:
            fold.fit(AT)
    assert fold.calibration.stepped_back is None
    assert cut_of(fold).rows <= 301
    assert not fold.watch.is_drifted


def test_also_what_was_cleared_unproven_can_make_it_step_back() -> None:
    fold = learnt([replace(row, label=1.0) for row in stream(60)])
    assert not cut_of(fold).proven
    drawn = [replace(row, verdict=Verdict.WITHHOLD, weight=20.0) for row in stream(40, start=61)]
    share = terms_of(control_share=0.5)
    fold.revise(share)
    for i, row in enumerate(drawn):
        fold.take(samples([replace(row, label=0.0)], first=61 + i))
    assert fold.watch.stepped_back is not None


def test_a_changed_rule_begins_anew_and_a_changed_limit_does_not() -> None:
    fold = learnt(stream(400, wrong=0.02))
    fold.revise(terms_of(max_error=0.01))
    assert fold.is_due
    fold.fit(AT)
    assert cut_of(fold).max_error == 0.01
    assert cut_of(fold).rows == 400
    fold.revise(replace(terms_of(), least={"offload": 0.7}))
    assert len(fold.drawn) == 0


OTHER = replace(TREES, trainer="linear", epoch=4)
FITTED = dump(learnt(stream(500, wrong=0.2)))


@settings(max_examples=25, deadline=None)
@given(st.lists(st.integers(1, 40), min_size=1, max_size=6), st.integers(0, 5))
def test_borders_of_messages_and_restarts_change_nothing(sizes: list[int], at: int) -> None:
    rows = [
        replace(
            row,
            element=f"e{i % 40}",
            verdict=Verdict.HOLD if i % 3 else Verdict.ADVISE,
            label=float(i % 70 > 45),
            model=OTHER if i % 80 > 60 else TREES,
        )
        for i, row in enumerate(stream(sum(sizes), start=501))
    ]
    under = terms_of()
    whole, cut, place = load(FITTED, under), load(FITTED, under), 0
    whole.take(samples(rows))
    for i, size in enumerate(sizes):
        cut.take(samples(rows[place : place + size], first=place + 1))
        place += size
        if i == at:
            cut = load(dump(cut), under)
    assert dump(cut) == dump(whole)
    assert cut.fit(AT) == whole.fit(AT)


def test_a_restart_goes_on_as_if_nothing_had_happened() -> None:
    rows = stream(900, wrong=0.1)
    kept = learnt(rows[:600])
    again = load(dump(kept), kept.terms)
    assert dump(again) == dump(kept)
    for fold in (kept, again):
        fold.take(samples(rows[600:], first=601))
    assert again.fit(AT) == kept.fit(AT)
    assert len(dump(kept)) < 200_000


def test_a_state_of_other_features_is_not_taken_over() -> None:
    kept = learnt(stream(100))
    assert len(load(dump(kept), replace(kept.terms, feature_digest="other")).drawn) == 0
    with pytest.raises(ValueError, match="version"):
        load(_of_version_2(dump(kept)), kept.terms)


def _of_version_2(data: bytes) -> bytes:
    return zlib.compress(zlib.decompress(data).replace(b'"version":1', b'"version":2', 1))


def test_events_are_told_when_a_cut_off_comes_goes_or_moves_and_when_it_steps_back() -> None:
    few, many = learnt(stream(100, wrong=0.02)), learnt(stream(400, wrong=0.02))
    assert few.calibration is not None
    assert many.calibration is not None
    assert news(None, few.calibration, None) == []
    told = news(few.calibration, many.calibration, None)
    assert [event.what for event in told] == ["calibrated"]
    assert news(many.calibration, many.calibration, cut_of(many)) == []
    moved = cut_of(many).model_copy(update={"at": 0.9})
    assert len(news(many.calibration, many.calibration, moved)) == 1
    back = {"since_ms": 1, "error": 0.3, "lower_bound": 0.1, "rows": 20}
    stepped = many.calibration.model_validate(
        many.calibration.model_dump() | {"stepped_back": back}
    )
    assert [type(e) for e in news(many.calibration, stepped, cut_of(many))] == [SteppedBackNow]
    (again,) = news(stepped, many.calibration, cut_of(many))
    assert "may act again" in again.detail  # type: ignore[union-attr]


def message(
    partition: int, sequence: int, mark: str | None = None, *, last: bool = False
) -> SampleMessage:
    known = Mark(mark, 0, last) if mark else None
    return SampleMessage(partition, sequence, samples([Labelled()], sequence, known))


def test_in_lockstep_partitions_are_taken_one_after_the_other_at_marks() -> None:
    lanes = Lanes[SampleMessage](2)
    order = [
        message(1, 1),
        message(1, 2, "m1"),
        message(0, 3),
        message(1, 4),
        message(0, 5, "m1"),
        message(0, 6),
        message(0, 7, "m2", last=True),
        message(1, 8, "m2", last=True),
        message(1, 9),
    ]
    taken = [
        step.mark.id if isinstance(step, Reached) else step.sequence
        for one in order
        for step in lanes.push(one)
    ]
    assert taken == [1, 3, 5, 2, "m1", 6, 7, 4, 8, "m2", 9]
    assert not lanes.in_lockstep
