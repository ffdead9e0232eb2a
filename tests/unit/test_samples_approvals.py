"""Rows whose action people approved later are under it from the approval on."""

from collections.abc import Sequence
from dataclasses import replace

import pytest
from tests.unit.sample_rows import (
    MODELS,
    Item,
    Made,
    Row,
    Truth,
    batched,
    paired,
    run,
    sampling,
    taken,
)

from flyball_ingest import approvals
from flyball_ingest.approvals import Approval, Approvals
from flyball_ingest.samples import SamplesFold
from flyball_kit.fold import Input
from flyball_proto.columns import (
    Outcome,
    Released,
    Waiting,
    decode_samples,
    decode_verdicts,
    encode_verdicts,
)


def released(
    clock_ms: int, element: str = "a", outcome: Outcome = Outcome.APPROVED, before: int = 0
) -> Released:
    hold = Waiting("p.1.0", element, "{}", "offload", 0.5, 0.2, 3, "why", MODELS[0], 0, 9, 0)
    return Released(hold, outcome, "ana", "", 1, clock_ms, before)


def alone(sequence: int, *ends: Released) -> Input:
    """A VERDICTS message that people's answers alone came to: it covers nothing."""
    rows = decode_verdicts(paired(batched([Row("a", 0)]), sequence).data)
    bare = replace(rows, feature_digest="", released=ends)
    cut = {
        name: getattr(bare, name)[:0]
        for name in (
            "model_index",
            "score",
            "action_index",
            "quality",
            "verdict",
            "category",
            "risk",
            "reason_index",
        )
    }
    none = replace(
        bare.rows,
        **{
            n: getattr(bare.rows, n)[:0] for n in ("element_index", "sequence", "sample", "time_ms")
        },
    )
    flow = replace(bare.flow, first=0, last=0)
    data = encode_verdicts(replace(bare, rows=none, flow=flow, **cut))
    return Input(sequence, 0, "verdicts.p.0", {}, data)


def inputs(before: Sequence[Item], *ends: Released, behind: Sequence[Item]) -> list[Input]:
    """Rows each in a message of its own, and between them the answers."""
    items = [*before, *behind]
    messages = [paired([m], 10 + i) for i, m in enumerate(batched(items, range(len(items))))]
    at = len(before)
    later = [m._replace(sequence=m.sequence + 1) for m in messages[at:]]
    return [*messages[:at], alone(10 + at, *ends), *later]


def censored(made: Made, element: str = "a") -> list[int]:
    return [r[2] for r in made.rows if r[6] and r[0] == element]


def rows(*times: int, element: str = "a") -> list[Row]:
    return [Row(element, t) for t in times]


ENDS: list[tuple[str, Released, list[int]]] = [
    ("approved", released(2500), [1000, 2000]),
    ("approved when a label was known already", released(2000), [1000, 2000]),
    ("denied", released(2500, outcome=Outcome.DENIED), []),
    ("expired", released(2500, outcome=Outcome.EXPIRED), []),
    ("of another element", released(2500, "b"), []),
]


@pytest.mark.parametrize(("end", "expected"), [x[1:] for x in ENDS], ids=[x[0] for x in ENDS])
def test_rows_whose_window_holds_the_approval_are_censored(
    end: Released, expected: list[int]
) -> None:
    found = inputs(rows(0, 1000, 2000), end, behind=rows(3000, 4000, 5000, 6000))
    made = run(SamplesFold(sampling("max(load)", "2s")), found)
    assert censored(made) == expected
    assert [r[2] for r in made.rows] == [0, 1000, 2000, 3000, 4000]
    assert {r[5] for r in made.rows} == {1.0}


def test_a_row_that_lags_behind_the_clock_of_the_approval_is_under_it() -> None:
    found = inputs(
        [*rows(0), *rows(1500, element="b")],
        released(1500),
        behind=rows(1000, 2000, 3000, 4000),
    )
    made = run(SamplesFold(sampling("max(load)", "2s")), found)
    assert censored(made) == [0, 1000]
    assert censored(made, "b") == []


def test_an_approval_amid_a_message_counts_from_its_place_on() -> None:
    items = [*rows(0, 1000, 2000), Truth("a", 0, 1.0), Truth("a", 1000, 1.0), *rows(3000)]
    whole = paired(batched(items), 10)
    for before, expected in ((3, [0, 1000]), (4, [])):
        verdicts = replace(decode_verdicts(whole.data), released=[released(2000, before=before)])
        changed = whole._replace(data=encode_verdicts(verdicts))
        made = run(SamplesFold(sampling(None, "10s")), [changed])
        assert [r[2] for r in made.rows] == [0, 1000]
        assert censored(made) == expected


def test_published_truth_is_censored_by_an_approval_until_it_was_known() -> None:
    behind: list[Item] = [Truth("a", 1000, 1.0), Row("a", 3000), Truth("a", 3000, 1.0)]
    found = inputs([*rows(0, 1000), Truth("a", 0, 0.0)], released(1000), behind=behind)
    made = run(SamplesFold(sampling(None, "10s")), found)
    assert [(r[2], r[6]) for r in made.rows] == [(0, 0), (1000, 1), (3000, 0)]


def test_a_fold_killed_anywhere_censors_the_same() -> None:
    found = inputs(
        [*rows(0), *rows(1500, element="b")],
        released(1500),
        behind=rows(1000, 2000, 3000, 4000),
    )
    compiled = sampling("max(load)", "2s")
    whole = run(SamplesFold(compiled), found)
    for killed in range(1, len(found)):
        first, made = SamplesFold(compiled), Made()
        memo, since, done = None, None, 0
        for message in found[:killed]:
            first.step(message)
            for output in taken(first):
                memo, since, done = output.memo, first.since(), message.sequence
                made.samples.append(decode_samples(output.data))
        second = SamplesFold(compiled, memo)
        begin = since if since is not None else done + 1
        for message in (m for m in found if begin <= m.sequence <= done):
            second.step(message)
            second.take()
        run(second, [m for m in found if m.sequence > done], made=made)
        assert made.rows == whole.rows


def test_approvals_are_forgotten_in_time_and_at_the_bound_count_for_everybody(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(approvals, "MAX_APPROVALS", 2)
    known = Approvals()
    for i, element in enumerate("abc"):
        known.add(Approval(10 + i, 0, element, 1000 * i + 1000))
    assert known.since == 11
    assert known.reached("z", 1000, 1500)
    assert not known.reached("z", 1001, 9000)
    assert known.reached("b", 1500, 2000)
    known.forget(2001)
    assert not known.reached("b", 1500, 2000)
    known.forget(9000)
    assert known.since is None
