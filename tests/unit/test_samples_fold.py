"""Decided rows and the truth about them, by value: labels, censoring, refusals, shares, batches."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.sample_rows import (
    ACTIONS,
    MODELS,
    NAN,
    Item,
    Made,
    Message,
    Row,
    Truth,
    batched,
    documents,
    paired,
    run,
    samples_of,
    sampling,
    taken,
    verdicts,
)

from flyball_ingest import sampled, sampler
from flyball_ingest.decided import DisagreementError
from flyball_ingest.samples import DamagedBatchError, SamplesFold
from flyball_ingest.samples_memo import DamagedMemoError, Memo
from flyball_ingest.sampling import compile_sampling
from flyball_kit.errors import PermanentError
from flyball_kit.fold import Input
from flyball_proto.columns import SkipReason, Verdict, decode_samples
from flyball_proto.sticky import is_evidence

S = 1_000


def series(*values: float, element: str = "a", start: int = 0, step_ms: int = S) -> list[Row]:
    return [Row(element, start + i * step_ms, value) for i, value in enumerate(values)]


LABELS: list[tuple[str, str, Sequence[float], list[tuple[int, float]]]] = [
    ("the largest value to come", "max(load)", (9, 1, 4, 2, 8), [(0, 4), (1, 4), (2, 8)]),
    ("the smallest", "min(load)", (0, 1, 4, 2, 8), [(0, 1), (1, 2), (2, 2)]),
    ("the mean", "mean(load)", (9, 1, 4, 2, 8), [(0, 2.5), (1, 3), (2, 5)]),
    ("the last", "last(load)", (9, 1, 4, 2, 8), [(0, 4), (1, 2), (2, 8)]),
    ("a change", "last(load) - load", (9, 1, 4, 2, 8), [(0, -5), (1, 1), (2, 4)]),
    ("an event", "max(load) > 4", (9, 1, 4, 2, 8), [(0, 0), (1, 0), (2, 1)]),
    ("a border that counts", "max(load) >= 4", (9, 1, 4, 2, 8), [(0, 1), (1, 1), (2, 1)]),
    ("a drop", "min(load) < 2", (9, 1, 4, 2, 8), [(0, 1), (1, 0), (2, 0)]),
    ("its own value", "load", (9, 1, 4), [(0, 9), (1, 1), (2, 4)]),
    ("its own value, not measured", "load", (9, NAN, 4), [(0, 9), (2, 4)]),
    ("a gap is passed over", "max(load)", (9, NAN, 4, 2, 8), [(0, 4), (1, 4), (2, 8)]),
    ("a gap at the end", "last(load)", (9, 1, NAN, 2, 8), [(0, 1), (1, 2), (2, 8)]),
    ("nothing but gaps", "mean(load)", (9, NAN, NAN, 2, 8), [(1, 2), (2, 5)]),
    ("a change from a gap", "last(load) - load", (NAN, 1, 4, 2), [(1, 1)]),
]


@pytest.mark.parametrize(
    ("expression", "values", "expected"), [x[1:] for x in LABELS], ids=[x[0] for x in LABELS]
)
def test_a_label_is_the_expression_over_the_rows_to_come(
    expression: str, values: Sequence[float], expected: list[tuple[int, float]]
) -> None:
    made = samples_of(series(*values), expression, "2s")
    assert [(time // S, label) for _, time, label in made.labels] == expected


WINDOWS: list[tuple[str, list[int], list[int], int]] = [
    ("rows as usual", [0, 1000, 2000, 3000, 4000], [0, 1000], 0),
    ("one is missing at the end of the window", [0, 1000, 2000, 4000], [0, 1000], 0),
    ("the window's last second and a half is empty", [0, 1000, 1500, 3001], [], 1),
    ("a row just inside it", [0, 1000, 1501, 3001], [0], 0),
    ("no row in the window", [0, 3001], [], 1),
    ("a row at the end alone", [0, 3000, 6000], [0, 3000], 0),
]


@pytest.mark.parametrize(
    ("times", "labelled", "unlabelled"), [x[1:] for x in WINDOWS], ids=[x[0] for x in WINDOWS]
)
def test_a_window_counts_when_its_end_was_observed(
    times: list[int], labelled: list[int], unlabelled: int
) -> None:
    made = samples_of([Row("a", t, 1.0) for t in times], "max(load)", "3s")
    assert [time for _, time, _ in made.labels] == labelled
    assert made.unlabelled == unlabelled


def test_a_sample_carries_what_was_decided_on_and_when_its_label_was_known() -> None:
    rows = [Row("a", 7, 1.0, 1, Verdict.HOLD, 1, 0.75), Row("a", 2007, 3.0)]
    made = samples_of(rows, "max(load)", "2s")
    decided = ("a", 1, 7, 3.0, 2007, 1.0, 0, "b", 0.75, (7.0, 1.0))
    assert made.rows == [(*decided, "offload", 1, 0.125, 0.0625)]
    (batch,) = [b for b in made.samples if len(b.rows)]
    assert batch.verdict.tolist() == [Verdict.HOLD]
    assert batch.rows.label_set == ('{"site":"x"}',)
    assert batch.flow.revisions == {"pipeline": 1, "labels": 1}


def test_samples_come_in_the_order_in_which_they_became_known() -> None:
    rows = [
        Row("slow", 0),
        Row("quick", 0),
        Row("quick", 1000),
        Row("quick", 2000),
        Row("slow", 2000),
        Row("quick", 3000),
    ]
    made = samples_of(rows, "max(load)", "2s")
    assert [(e, t) for e, t, _ in made.labels] == [("quick", 0), ("slow", 0), ("quick", 1000)]


@pytest.mark.parametrize(
    ("clock_ms", "labels", "unlabelled"),
    [(14_000, [0.5], 0), (14_001, [], 1)],
    ids=["at the last moment", "a moment later"],
)
def test_a_row_whose_element_falls_silent_is_given_up(
    clock_ms: int, labels: list[float], unlabelled: int
) -> None:
    rows = [Row("a", 0), Row("a", 3000, 0.5), Row("b", clock_ms), Row("a", 4500)]
    made = samples_of(rows, "max(load)", "4s")
    assert [label for _, _, label in made.labels] == labels
    assert made.unlabelled == unlabelled


def test_an_element_whose_time_went_back_begins_anew() -> None:
    rows = [Row("a", 50_000, 9.0), Row("a", 1000, 1.0), Row("a", 2000, 2.0), Row("a", 3000, 3.0)]
    assert samples_of(rows, "max(load)", "2s").labels == []  # far behind the clock
    rows[0] = Row("a", 5000, 9.0)
    made = samples_of(rows, "max(load)", "2s")
    assert (made.labels, made.unlabelled) == ([("a", 1000, 3.0)], 1)


ACTED = Row("a", 2000, action=1)
CENSORING: list[tuple[str, Row, list[int]]] = [
    ("an action reaches rows from a horizon before to its own", ACTED, [0, 1000, 2000]),
    ("a notified one", replace(ACTED, verdict=Verdict.NOTIFY), [0, 1000, 2000]),
    ("a fallback in its place", replace(ACTED, verdict=Verdict.REPLACE), [0, 1000, 2000]),
    ("keep is no action", replace(ACTED, action=2, verdict=Verdict.REPLACE), []),
    ("none was proposed", replace(ACTED, action=0), []),
    ("a denied one", replace(ACTED, verdict=Verdict.DENY), []),
    ("a held one", replace(ACTED, verdict=Verdict.HOLD), []),
    ("a capped one", replace(ACTED, verdict=Verdict.CAP), []),
    ("an advised one", replace(ACTED, verdict=Verdict.ADVISE), []),
    ("a withheld one", replace(ACTED, verdict=Verdict.WITHHOLD), []),
    ("one that another pipeline's lease kept back", replace(ACTED, verdict=Verdict.SUPERSEDED), []),
    ("another element's", replace(ACTED, element="b"), []),
]


@pytest.mark.parametrize(
    ("row", "censored"), [x[1:] for x in CENSORING], ids=[x[0] for x in CENSORING]
)
def test_a_row_is_censored_when_an_action_reached_its_element_in_its_window(
    row: Row, censored: list[int]
) -> None:
    others = [Row("a", t) for t in range(0, 7000, 1000) if (t, row.element) != (2000, "a")]
    items = sorted([*others, row], key=lambda r: r.time_ms)
    made = samples_of(items, "max(load)", "2s")
    assert [r[2] for r in made.rows if r[6]] == censored
    assert [r[2] for r in made.rows if r[0] == "a"] == [0, 1000, 2000, 3000, 4000]


def test_an_action_falsifies_no_value_that_was_measured_before_it() -> None:
    made = samples_of([ACTED], "load")
    assert [r[6] for r in made.rows] == [0]


def test_a_withheld_action_counts_for_all_that_were_not_withheld() -> None:
    rows = [Row("a", 0, action=1, verdict=Verdict.WITHHOLD), Row("a", 1000), Row("a", 2000)]
    made = samples_of(rows, "max(load)", "1s", risk={"control_share": 0.05})
    assert [r[5] for r in made.rows] == [20.0, 1.0]
    made = samples_of(rows, "max(load)", "1s", risk={"control_share": 0.0})
    assert [r[5] for r in made.rows] == [1.0, 1.0]


def feedback(*items: Item, **changes: Any) -> Made:
    return samples_of(items, None, "10s", **changes)


def test_a_published_truth_is_known_by_the_clock_at_its_arrival() -> None:
    made = feedback(Row("a", 0), Row("b", 4000), Truth("a", 0, 1.0), Truth("b", 4000, 0.0))
    assert [(r[0], r[3], r[4]) for r in made.rows] == [("a", 1.0, 4000), ("b", 0.0, 4000)]
    assert made.refused == []


REFUSED: list[tuple[str, list[Item], list[tuple[int, str]], int]] = [
    ("twice the same", [Row("a", 0), Truth("a", 0, 1), Truth("a", 0, 1)], [], 1),
    (
        "another value",
        [Row("a", 0), Truth("a", 0, 1), Truth("a", 0, 0)],
        [(3, "label-contradiction")],
        1,
    ),
    ("no such time", [Row("a", 0), Truth("a", 1, 1)], [(2, "label-unknown-row")], 0),
    ("no such element", [Row("a", 0), Truth("b", 0, 1)], [(2, "label-unknown-row")], 0),
    ("before its row", [Truth("a", 0, 1), Row("a", 0)], [(1, "label-unknown-row")], 0),
    ("at the last moment", [Row("a", 0), Row("b", 10_000), Truth("a", 0, 1)], [], 1),
    (
        "too late",
        [Row("a", 0), Row("b", 10_001), Truth("a", 0, 1)],
        [(3, "label-late")],
        0,
    ),
    (
        "a contradiction that is late as well",
        [Row("a", 0), Truth("a", 0, 1), Row("b", 10_001), Truth("a", 0, 0)],
        [(4, "label-late")],
        1,
    ),
]


@pytest.mark.parametrize(
    ("items", "refused", "labelled"), [x[1:] for x in REFUSED], ids=[x[0] for x in REFUSED]
)
def test_a_label_is_used_once_ignored_or_refused_with_a_reason(
    items: list[Item], refused: list[tuple[int, str]], labelled: int
) -> None:
    made = feedback(*items)
    assert (made.refused, len(made.rows)) == (refused, labelled)
    for batch in made.samples:
        skipped = batch.flow.skipped
        assert set(skipped.reason.tolist()) <= {SkipReason.QUARANTINED}
        assert not skipped.rows.any()


def test_a_row_without_truth_in_time_is_unlabelled() -> None:
    made = feedback(Row("a", 0), Row("b", 1), Truth("a", 0, 1), Row("c", 10_002))
    assert (len(made.rows), made.unlabelled) == (1, 1)


def test_labels_of_one_report_are_refused_together() -> None:
    gathered = sampled.Gathered()
    for sequence, code in (
        (5, "label-late"),
        (5, "label-unknown-row"),
        (5, "label-late"),
        (7, "x"),
    ):
        gathered.refuse(sequence, code)
    skipped = gathered.flow({}).skipped
    assert skipped.sequence.tolist() == [5, 7]
    assert skipped.detail == ("label-late,label-unknown-row", "x")


@pytest.mark.parametrize(
    ("action_ms", "censored"), [(0, 1), (3000, 1), (4001, 0)], ids=["own", "in between", "after"]
)
def test_published_truth_is_censored_by_actions_until_it_was_known(
    action_ms: int, censored: int
) -> None:
    rows: list[Item] = [Row("a", t, action=int(t == action_ms)) for t in (0, 3000, 4001)]
    rows.insert(2, Truth("a", 0, 1.0))
    assert [r[6] for r in feedback(*rows).rows] == [censored]


def test_labels_are_not_wanted_where_later_rows_tell_the_truth() -> None:
    made = samples_of([Row("a", 0), Truth("a", 0, 1.0)])
    assert made.refused == [(2, "labels-not-wanted")]


def test_tallies_count_every_verdict_by_model() -> None:
    rows = [
        Row("a", 0, action=1),
        Row("a", 1, model=1, score=NAN),
        Row("a", 2, verdict=Verdict.DENY, action=1),
    ]
    made = samples_of(rows)
    active, canary = (made.tallied[model] for model in MODELS)
    assert (active.rows, active.not_finite, active.verdict) == (2, 0, {0: 1, 5: 1})
    assert (canary.rows, canary.not_finite, canary.verdict) == (1, 1, {0: 1})
    first = made.samples[0].tally[0]
    assert (first.action, first.category) == ({ACTIONS[0]: 1}, {1: 1})


def test_only_the_share_of_elements_that_the_rate_allows_becomes_samples() -> None:
    names = [f"cell-{i}" for i in range(64)]
    rows = [Row(name, t * S) for t in range(40) for name in names]
    made = samples_of(rows, "max(load)", "2s", promotion={"evidence_rows_per_s": 20})
    share = made.samples[-1].share
    assert share == 0.25  # 64 rows a second; 20 and a tenth more are allowed
    wanted = {name for name in names if is_evidence(name, share)}
    late = {row[0] for row in made.rows if row[2] > 30 * S}
    assert late == wanted
    assert 0 < len(wanted) < 64
    assert made.tallied[MODELS[0]].rows == len(rows)
    assert made.unlabelled == 0


def test_the_share_counts_all_partitions_and_no_history_that_is_made_up_for() -> None:
    rows = [Row("a", t * S) for t in range(20)]
    for partitions, share in ((1, 1.0), (4, 0.5)):
        compiled = sampling("load", promotion={"evidence_rows_per_s": 2}, partitions=partitions)
        made = run(SamplesFold(compiled), [paired([Message(1, rows)], 10)])
        assert made.samples[-1].share == share
    history = [Row("b", 1000 * S), *(Row("a", t * S) for t in range(500))]
    compiled = sampling("load", promotion={"evidence_rows_per_s": 2})
    assert run(SamplesFold(compiled), [paired([Message(1, history)], 10)]).samples[-1].share == 1.0


def test_labels_of_elements_outside_the_share_are_neither_used_nor_refused() -> None:
    names = [f"cell-{i}" for i in range(64)]
    items: list[Item] = [Row(name, 0) for name in names]
    items += [Truth(name, 0, 1.0) for name in names]
    made = feedback(*items, promotion={"evidence_rows_per_s": 1})
    assert made.samples[-1].share < 1.0
    assert {r[0] for r in made.rows} == {n for n in names if is_evidence(n, made.samples[-1].share)}
    assert made.refused == []


def test_beyond_the_bound_the_oldest_row_is_given_up_and_counted(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(sampler, "max_awaiting", lambda _: 3)
    rows = [Row(name, 0) for name in "abcde"] + [Row(name, 2000, 1.0) for name in "ecb"]
    made = samples_of(rows, "max(load)", "2s")
    # a and b make room for d and e; behind e's label d makes room for c's next row
    assert [e for e, _, _ in made.labels] == ["e", "c"]
    assert made.unlabelled == 3


def test_a_verdict_about_another_row_is_named_with_the_row() -> None:
    message = paired([Message(1, [Row("a", 0), Row("b", 5)])], 10)
    other = verdicts([Message(1, [Row("a", 0), Row("b", 6)])])
    with pytest.raises(DisagreementError, match=r"\(b, 5, 2, 0\).*\(b, 6, 2, 0\)"):
        SamplesFold(sampling()).step(message._replace(data=other))


@pytest.mark.parametrize("count", [1, 3])
def test_too_few_and_too_many_verdicts_are_noticed(count: int) -> None:
    message = paired([Message(1, [Row("a", 0), Row("a", 1)])], 10)
    other = verdicts([Message(1, [Row("a", t) for t in range(count)])])
    with pytest.raises(DisagreementError, match="verdicts, but"):
        SamplesFold(sampling()).step(message._replace(data=other))


def test_damaged_bytes_are_named_with_their_place() -> None:
    message = paired([Message(1, [Row("a", 0)])], 10)
    with pytest.raises(DamagedBatchError, match=r"verdicts\.p\.0 10"):
        SamplesFold(sampling()).step(message._replace(data=b"\xff\xff"))


@pytest.mark.parametrize("text", ["", "1 2 3", "1 2 3 4 5 6 7 x", "1 2 3 4 5 6 7 8 9"])
def test_a_memo_of_another_version_is_refused(text: str) -> None:
    with pytest.raises(DamagedMemoError, match="eight numbers"):
        SamplesFold(sampling(), text)
    assert Memo.parse(str(Memo(1, -2, 3, 4, 5, 6, 7, 8))) == Memo(1, -2, 3, 4, 5, 6, 7, 8)


def test_verdicts_about_other_features_are_passed_over() -> None:
    message = paired([Message(1, [Row("a", 0)])], 10)
    foreign = verdicts([Message(1, [Row("a", 0)])], feature_digest="f" * 64)
    fold = SamplesFold(sampling())
    assert not fold.step(message._replace(data=foreign, beside=()))
    assert fold.take() is None


def test_a_mark_goes_out_behind_all_that_came_before_it() -> None:
    fold = SamplesFold(sampling("max(load)", "1s"))
    messages = [Message(1, [Row("a", 0), Row("a", 1000)]), Message(3, [], mark="m1")]
    assert not fold.step(paired(messages[:1], 10))
    assert fold.step(paired(messages[1:], 11))
    (output,) = taken(fold)
    batch = decode_samples(output.data)
    assert (output.mark, len(batch.rows)) == ("m1", 1)
    assert batch.flow.mark is not None
    assert (batch.flow.mark.id, batch.flow.first, batch.flow.last) == ("m1", 1, 3)


def test_a_revision_of_the_rest_counts_from_the_next_output_on() -> None:
    fold = SamplesFold(sampling("max(load)", "1s"))
    rows = [Row("a", 0, action=1, verdict=Verdict.WITHHOLD), Row("a", 1000)]
    made = run(fold, [paired([Message(1, rows[:1])], 10)])
    fold.revise(sampling("max(load)", "1s", revision=7, risk={"control_share": 0.5}))
    run(fold, [paired([Message(2, rows[1:])], 11)], made=made)
    assert [r[5] for r in made.rows] == [20.0]  # as it was decided
    assert made.samples[-1].flow.revisions["labels"] == 1
    run(fold, [paired([Message(3, [Row("a", 2000)])], 12)], made=made)
    assert made.samples[-1].flow.revisions["labels"] == 7


def test_when_another_truth_is_wanted_rows_that_await_the_old_one_are_given_up() -> None:
    fold = SamplesFold(sampling("max(load)", "2s"))
    made = run(fold, [paired([Message(1, series(1.0, 2.0))], 10)])
    fold.revise(sampling("min(load)", "1s"))
    run(fold, [paired([Message(3, [Row("a", 2000, 3.0)])], 11)], made=made)
    run(fold, [paired([Message(4, series(4.0, 5.0, start=3000))], 12)], made=made)
    assert made.labels == [("a", 0, 3.0), ("a", 3000, 5.0)]
    assert made.unlabelled == 2


def test_rows_written_for_another_truth_are_counted_as_unlabelled() -> None:
    fold = SamplesFold(sampling("max(load)", "1s"))
    made = run(fold, [paired([Message(1, series(1.0, 2.0))], 10, targets=("users",))])
    assert (made.rows, made.unlabelled) == ([], 2)


def test_a_fold_of_other_features_is_not_revised() -> None:
    source, pipeline = documents(features=[{"metric": "users", "windows": [3]}])
    other = compile_sampling(pipeline, source, revision=2, partitions=1)
    with pytest.raises(PermanentError, match="start a fold of its own"):
        SamplesFold(sampling()).revise(other)


# Any batching, any kill: the same samples.

CELLS = ("a", "b", "c")


@st.composite
def streams(draw: st.DrawFn, *, feedback: bool) -> list[Item]:
    clocks = dict.fromkeys(CELLS, 0)
    items: list[Item] = []
    for _ in range(draw(st.integers(1, 40))):
        cell = draw(st.sampled_from(CELLS))
        if feedback and draw(st.booleans()):
            items.append(
                Truth(cell, draw(st.integers(0, 12)) * 500, draw(st.sampled_from([0.0, 1.0])))
            )
            continue
        clocks[cell] += draw(st.sampled_from([500, 500, 1000, 1000, 1000, 4000, 20_000]))
        items.append(
            Row(
                cell,
                clocks[cell],
                draw(st.sampled_from([0.0, 0.5, 1.0, NAN])),
                draw(st.integers(0, 2)),
                draw(st.sampled_from(list(Verdict))),
                draw(st.integers(0, 1)),
            )
        )
    return items


TARGETS: list[tuple[Any, ...]] = [("mean(load)", "3s"), ("last(load) - load", "1s"), (None, "6s")]
BORDERS = st.lists(st.integers(0, 40), max_size=8)


def inputs_of(items: Sequence[Item], small: Sequence[int], large: Sequence[int]) -> list[Input]:
    """VERDICTS messages over FEATURES messages, both cut anywhere."""
    messages = batched(items, [*small, *large])
    cuts = {0, *large}
    found: list[Input] = []
    group: list[Message] = []
    for message in messages:
        if message.sequence - 1 in cuts and group:
            found.append(paired(group, 10 + len(found)))
            group = []
        group.append(message)
    return [*found, paired(group, 10 + len(found))]


@given(st.data(), st.sampled_from(TARGETS), st.sampled_from([1, 2_000]))
def test_the_samples_do_not_depend_on_how_rows_fell_into_messages(
    data: st.DataObject, target: tuple[Any, ...], rate: int
) -> None:
    items = data.draw(streams(feedback=target[0] is None))
    compiled = sampling(*target, promotion={"evidence_rows_per_s": rate})
    one_by_one = inputs_of(items, range(41), range(41))
    expected = run(SamplesFold(compiled), one_by_one)
    cut = inputs_of(items, data.draw(BORDERS), data.draw(BORDERS))
    found = run(SamplesFold(compiled), cut, every=data.draw(st.integers(1, 4)))
    assert found.rows == expected.rows
    assert found.refused == expected.refused
    assert (found.tallied, found.unlabelled) == (expected.tallied, expected.unlabelled)
    assert found.samples[-1].share == expected.samples[-1].share


@given(st.data(), st.sampled_from(TARGETS), st.sampled_from([1, 2_000]))
def test_a_fold_killed_anywhere_goes_on_with_the_same_samples(
    data: st.DataObject, target: tuple[Any, ...], rate: int
) -> None:
    items = data.draw(streams(feedback=target[0] is None))
    compiled = sampling(*target, promotion={"evidence_rows_per_s": rate})
    inputs = inputs_of(items, data.draw(BORDERS), data.draw(BORDERS))
    expected = run(SamplesFold(compiled), inputs)
    found, memo, done, since = Made(), None, 9, 0
    while done < inputs[-1].sequence:
        fold = SamplesFold(compiled, memo)
        for message in (m for m in inputs if since <= m.sequence <= done and since):
            assert not fold.step(message)
        assert fold.take() is None
        for _ in range(data.draw(st.integers(1, 3))):
            group = [m for m in inputs if m.sequence > done][: data.draw(st.integers(1, 3))]
            for message in group:
                fold.step(message)
            for output in taken(fold):
                found.samples.append(decode_samples(output.data))
                memo = output.memo
            if group:
                done, since = group[-1].sequence, fold.since() or 0
    assert found.rows == expected.rows
    assert found.refused == expected.refused
    assert (found.tallied, found.unlabelled) == (expected.tallied, expected.unlabelled)
    assert found.samples[-1].share == expected.samples[-1].share


@given(st.data())
def test_parts_that_went_out_before_a_kill_do_not_come_again(data: st.DataObject) -> None:
    items = data.draw(streams(feedback=False))
    inputs = inputs_of(items, data.draw(BORDERS), data.draw(BORDERS))
    compiled = sampling("max(load)", "1s")
    expected = run(SamplesFold(compiled), inputs)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr("flyball_ingest.samples.PART_BYTES", 1)
        patch.setattr(sampled, "PART_BYTES", 100)  # one row a part
        found, memo, done, since = Made(), None, 9, 0
        while done < inputs[-1].sequence:
            fold = SamplesFold(compiled, memo)
            for message in (m for m in inputs if since and since <= m.sequence <= done):
                fold.step(message)
            assert fold.take() is None
            group = [m for m in inputs if m.sequence > done][: data.draw(st.integers(1, 3))]
            for message in group:
                fold.step(message)
            outputs = taken(fold)
            stored = outputs[: data.draw(st.integers(1, len(outputs)))] if outputs else []
            for output in stored:
                found.samples.append(decode_samples(output.data))
                memo = output.memo
            if not stored or not stored[-1].partial:
                done, since = group[-1].sequence, fold.since() or 0
    assert found.rows == expected.rows
    assert (found.tallied, found.unlabelled) == (expected.tallied, expected.unlabelled)
