"""Decisions that wait for a person, by value: asked once, answered, expired, never approved by time."""

import json
import zlib
from collections.abc import Sequence
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any, Literal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.risk_rows import Row, batch, message, policy

from flyball_kit.fold import Input
from flyball_proto.columns import Outcome, Result, Verdict, Verdicts, decode_verdicts
from flyball_proto.events import Action
from flyball_proto.headers import CHANGES, COVERS
from flyball_proto.holds import Answer, Hold, Stop, StopOrder
from flyball_risk.answering.recorded import outcomes, record_route
from flyball_risk.fold import RiskFold
from flyball_risk.holding import holds as waiting
from flyball_risk.judging.frame import Frame
from flyball_risk.judging.partition import Partition
from flyball_risk.judging.policy import Policy
from flyball_risk.judging.recent import Reach
from flyball_risk.judging.written import Names
from flyball_risk.sending.dispatch import route
from flyball_risk.steering.room import removable

V, R = Verdict, Result
AT = datetime(2026, 1, 1, tzinfo=UTC)
RISKY = {
    "action": "offload",
    "score_at_least": 0.5,
    "severity": "high",
    "reversible": False,
    "cooldown": "60s",
}
RISK = 0.7
"""A score at which a person is asked under `RISKY`."""


def rule(**risk: Any) -> Policy:
    return policy(RISKY, **({"hold": {"expires": "120s"}} | risk))


class Desk:
    """A fold, and what went into it and came out."""

    def __init__(self, under: Policy | None = None) -> None:
        self.policy = under or rule()
        self.fold = RiskFold(lambda _: Frame(self.policy))
        self.sequence = 0
        self.rows = 0
        self.outputs: list[Input] = []

    def judge(self, *rows: Row, tick_ms: int = 0) -> Verdicts:
        self.sequence += 1
        self.fold.step(message(batch(rows, first=self.rows + 1, tick_ms=tick_ms), self.sequence))
        self.rows += len(rows)
        return self.take()

    def say(self, order: Answer | StopOrder) -> Verdicts:
        self.sequence += 1
        data = order.model_dump_json().encode()
        subject = "decisions.congestion.0.answers"
        assert self.fold.step(Input(self.sequence, 0, subject, None, data))
        return self.take()

    def answer(
        self, row: int, answer: Literal["approve", "deny"] = "approve", by: str = "ana"
    ) -> tuple[Result, str]:
        given = Answer(hold=f"congestion.{row}.0", answer=answer, by=by, why="so", at=AT)
        (found,) = self.say(given).answered
        assert found.sequence == self.sequence
        return found.result, found.detail

    def stop(self, revision: int, *, stopped: bool = True, why: str = "smoke") -> Verdicts:
        stop = Stop(pipeline="congestion", stopped=stopped, by="ana", why=why, at=AT)
        return self.say(StopOrder(stop=stop, revision=revision))

    def take(self) -> Verdicts:
        output = self.fold.take()
        assert output is not None
        subject, sequence = "verdicts.congestion.0", len(self.outputs) + 1
        made = Input(sequence, 10**9 * sequence, subject, dict(output.headers), output.data)
        self.outputs.append(made)
        return decode_verdicts(output.data)

    @property
    def ends(self) -> list[tuple[str, Outcome, str]]:
        found = [decode_verdicts(o.data) for o in self.outputs]
        return [(e.hold.decision, e.outcome, e.by) for v in found for e in v.released]

    @property
    def sent(self) -> list[tuple[str, str]]:
        found = [Action.model_validate_json(d.data) for o in self.outputs for d in route(o)]
        return [(a.decision, a.verdict) for a in found]


def verdicts(found: Verdicts) -> list[tuple[int, str]]:
    reasons = ("", *found.reason)
    return [
        (v, reasons[i])
        for v, i in zip(found.verdict.tolist(), found.reason_index.tolist(), strict=True)
    ]


def test_of_one_element_and_action_a_person_is_asked_once() -> None:
    desk = Desk()
    found = desk.judge(Row("a", 1, RISK), Row("a", 2, RISK), Row("b", 2, RISK))
    assert [v for v, _ in verdicts(found)] == [V.HOLD] * 3
    assert verdicts(found)[1][1] == "offload: a person is asked about this element already"
    assert [w.decision for w in found.opened] == ["congestion.1.0", "congestion.3.0"]
    first = found.opened[0]
    assert (first.element, first.action, first.score, first.risk) == ("a", "offload", RISK, 0.18)
    assert (first.time_ms, first.expires_ms, first.label_set) == (1, 120_001, '{"site": "s1"}')
    assert desk.sent == []


def test_an_approval_sends_the_action_begins_its_cool_down_and_covers_nothing() -> None:
    desk = Desk()
    desk.judge(Row("a", 1000, RISK))
    assert desk.answer(1) == (R.ENDED, "")
    assert desk.ends == [("congestion.1.0", Outcome.APPROVED, "ana")]
    assert desk.sent == [("congestion.1.0", "approved")]
    flow = decode_verdicts(desk.outputs[-1].data).flow
    assert (flow.first, flow.last) == (0, 0)
    assert desk.outputs[-1].headers == {CHANGES: "2"}
    assert COVERS in (desk.outputs[0].headers or {})
    found = desk.judge(Row("a", 2000, 0.999), Row("a", 3000, RISK))
    assert verdicts(found) == [(V.CAP, "offload: capped, within its cool-down of 60 s")] * 2
    assert desk.answer(1)[0] == R.UNKNOWN
    assert len(desk.sent) == 1


@pytest.mark.parametrize("end", ["deny", "expire"])
def test_after_a_denial_or_an_expiry_nobody_is_asked_again_for_a_cool_down(end: str) -> None:
    desk = Desk()
    desk.judge(Row("a", 1000, RISK))
    if end == "deny":
        assert desk.answer(1, "deny") == (R.ENDED, "")
        assert desk.ends == [("congestion.1.0", Outcome.DENIED, "ana")]
        began_ms, why = 1000, "a person denied it lately"
    else:
        desk.judge(Row("b", 121_000, 0.1, None))
        assert desk.ends == [("congestion.1.0", Outcome.EXPIRED, "")]
        began_ms, why = 121_000, "nobody answered lately"
    quiet = desk.judge(Row("a", began_ms + 59_999, RISK))
    assert verdicts(quiet) == [(V.DENY, f"offload: {why}, nobody is asked again for 60 s")]
    asked = desk.judge(Row("a", began_ms + 60_000, RISK))
    assert verdicts(asked)[0][0] == V.HOLD
    assert len(asked.opened) == 1
    assert desk.sent == []


def test_a_hold_expires_by_the_clock_just_before_the_row_that_reaches_it() -> None:
    desk = Desk()
    desk.judge(Row("a", 1000, RISK))
    assert desk.judge(Row("b", 120_999, 0.1, None)).released == ()
    found = desk.judge(Row("b", 120_999, 0.999), Row("a", 181_000, RISK))
    (end,) = found.released
    assert (end.clock_ms, end.before, end.at_ms) == (121_000, 1, 0)
    assert verdicts(found)[1][0] == V.HOLD  # its peace ended at this very moment
    assert desk.answer(1)[0] == R.UNKNOWN


def test_while_the_source_is_silent_ticks_count_from_the_first_one_after_the_opening() -> None:
    desk = Desk()
    desk.judge(Row("a", 1000, RISK))
    wall_ms = 1_700_000_000_000  # far from event time, as in a replay
    assert desk.judge(tick_ms=wall_ms).released == ()
    assert desk.judge(tick_ms=wall_ms + 119_999).released == ()
    (end,) = desk.judge(tick_ms=wall_ms + 120_000).released
    assert (end.outcome, end.clock_ms) == (Outcome.EXPIRED, 1000)


REFUSED: list[tuple[str, dict[str, Any], Sequence[Row], Result, str]] = [
    ("cool-down", {}, [Row("a", 2000, 0.999)], R.CAPPED, "capped, within its cool-down of 60 s"),
    (
        "budget",
        {"budgets": {"actions_per_minute": 1}},
        [Row("b", 2000, 0.999)],
        R.CAPPED,
        "capped, the budget of 1 actions a minute is used up",
    ),
    (
        "group",
        {"budgets": {"elements_per_label": {"site": 0.5}}},
        [Row("b", 2000, 0.999)],
        R.CAPPED,
        "capped, 1 of 2 elements with site s1 are under an action, at most 0.5 of them may be",
    ),
]


@pytest.mark.parametrize(
    ("risk", "rows", "result", "detail"), [x[1:] for x in REFUSED], ids=[x[0] for x in REFUSED]
)
def test_what_may_not_go_out_now_is_refused_and_the_hold_goes_on_waiting(
    risk: dict[str, Any], rows: Sequence[Row], result: Result, detail: str
) -> None:
    desk = Desk(rule(**risk))
    desk.judge(Row("a", 1000, RISK))
    desk.judge(*rows)
    before = desk.sent
    assert desk.answer(1) == (result, detail)
    assert desk.ends == []
    assert desk.sent == before
    assert desk.answer(1, "deny") == (R.ENDED, "")


def test_a_policy_that_changed_meanwhile_counts_for_the_approval() -> None:
    for changed, detail in (
        (rule(autonomy="advisory"), "the pipeline is advisory now"),
        (
            rule(boundaries=[{"name": "never", "when": "true", "verdict": "deny"}]),
            "boundary never applies",
        ),
        (
            policy({"action": "reset", "score_at_least": 0.5}),
            "the specification has no action offload any more",
        ),
    ):
        desk = Desk()
        desk.judge(Row("a", 1000, RISK))
        desk.policy = changed
        assert desk.answer(1) == (R.REFUSED, detail)
        assert desk.sent == []


def test_where_two_must_agree_one_is_noted_and_nobody_counts_twice() -> None:
    desk = Desk(rule(hold={"expires": "120s", "approvals": 2}))
    desk.judge(Row("a", 1000, RISK))
    assert desk.answer(1) == (R.NOTED, "1 of 2 people agree")
    again = (R.REFUSED, "ana agreed already; another person must agree, too")
    assert desk.answer(1) == again
    assert desk.sent == []
    assert desk.answer(1, by="ben") == (R.ENDED, "")
    assert desk.ends == [("congestion.1.0", Outcome.APPROVED, "ana, ben")]
    assert len(desk.sent) == 1


def test_a_stop_denies_what_is_new_keeps_holds_open_and_names_its_revision() -> None:
    desk = Desk()
    before = desk.judge(Row("a", 1000, RISK))
    assert "stop" not in before.flow.revisions
    assert desk.stop(5).flow.revisions["stop"] == 5
    found = desk.judge(Row("b", 2000, 0.999))
    assert verdicts(found) == [(V.DENY, "offload: denied, the pipeline is stopped by ana: smoke")]
    assert found.flow.revisions["stop"] == 5
    assert desk.answer(1) == (R.STOPPED, "the pipeline is stopped by ana: smoke")
    desk.stop(4, stopped=False)  # an older order that came late
    assert desk.answer(1)[0] == R.STOPPED
    desk.stop(6, stopped=False)
    assert desk.answer(1) == (R.ENDED, "")
    assert desk.judge(Row("b", 3000, 0.999)).flow.revisions["stop"] == 6
    assert [d for d, _ in desk.sent] == ["congestion.1.0", "congestion.3.0"]


def test_rows_before_a_stop_in_the_same_output_go_out_under_the_old_revision_or_never() -> None:
    desk = Desk()
    desk.fold.step(message(batch([Row("a", 1000, 0.999)]), 1))
    desk.sequence = 1
    assert desk.stop(5).flow.revisions.get("stop", 0) == 0
    (action,) = route(desk.outputs[0])
    assert action.revision == 0
    assert desk.judge(Row("b", 1000, 0.1, None)).flow.revisions["stop"] == 5


def test_what_is_no_answer_is_recorded_as_that_and_changes_nothing() -> None:
    desk = Desk()
    desk.judge(Row("a", 1000, RISK))
    desk.sequence += 1
    desk.fold.step(Input(desk.sequence, 0, "decisions.congestion.0.answers", None, b"{}"))
    (found,) = desk.take().answered
    assert (found.result, found.detail) == (
        R.UNKNOWN,
        "neither an answer nor a stop order of this version",
    )
    assert desk.answer(1)[0] == R.ENDED


def test_at_the_bound_what_would_wait_is_denied_and_says_so(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(waiting, "MAX_HOLDS", 2)
    desk = Desk()
    found = desk.judge(Row("a", 1, RISK), Row("b", 2, RISK), Row("c", 3, RISK))
    assert verdicts(found)[2] == (V.DENY, "offload: denied, 2 decisions wait for a person already")
    assert len(found.opened) == 2
    desk.answer(1, "deny")  # its peace still counts
    assert verdicts(desk.judge(Row("c", 4, RISK)))[0][0] == V.DENY
    assert verdicts(desk.judge(Row("c", 60_003, RISK)))[0][0] == V.HOLD


def test_keys_grow_on_every_element_also_where_approvals_fall_between_rows() -> None:
    desk = Desk()
    desk.judge(Row("a", 1000, RISK))
    desk.fold.step(message(batch([Row("b", 1000, 0.999)], first=2), 2))
    given = Answer(hold="congestion.1.0", answer="approve", by="ana", why="", at=AT)
    subject = "decisions.congestion.0.answers"
    desk.fold.step(Input(3, 0, subject, None, given.model_dump_json().encode()))
    desk.fold.step(message(batch([Row("a", 62_000, 0.999)], first=3), 4))
    desk.take()
    found = [(d.subject.rsplit(".", 1)[1], d.key) for d in route(desk.outputs[-1])]
    assert found == [("b", (2, 0)), ("a", (2, 1)), ("a", (2, 2))]


def test_records_and_events_say_what_became_of_a_hold_with_growing_keys() -> None:
    desk = Desk()
    desk.judge(Row("a", 1000, RISK), Row("b", 1000, RISK))
    desk.answer(1)
    every = [d for o in desk.outputs for d in record_route(o)]
    found = [d for d in every if d.stream != "KV_contexts"]
    assert [(d.subject, d.key, d.stream) for d in found] == [
        ("$KV.holds.congestion.1.0", (1, 0), "KV_holds"),
        ("risk.congestion.held", (1, 1), "EVENTS"),
        ("$KV.holds.congestion.2.0", (1, 2), "KV_holds"),
        ("risk.congestion.held", (1, 3), "EVENTS"),
        ("$KV.holds.congestion.1.0", (2, 0), "KV_holds"),
        ("risk.congestion.hold-answered", (2, 1), "EVENTS"),
    ]
    opened, ended = (Hold.model_validate_json(found[i].data) for i in (0, 4))
    assert (opened.state, opened.labels, opened.category) == ("open", {"site": "s1"}, "high")
    assert "waits for a person" in opened.reason
    assert ended == opened.model_copy(
        update={
            "state": "approved",
            "answered_by": "ana",
            "answered_why": "so",
            "answered_code": "other",
            "answered_at": AT,
        }
    )
    ((answered, hold),) = outcomes(desk.outputs[1])
    assert (answered.sequence, hold) == (2, ended)


def test_only_the_newest_ended_holds_are_kept_and_every_open_one() -> None:
    desk = Desk()
    desk.judge(*(Row(f"cell-{i}", 1000, RISK) for i in range(6)))
    for row in (3, 1, 2, 5):
        desk.answer(row, "deny")
    newest: dict[str, Hold] = {}
    for output in desk.outputs:
        records = [d for d in record_route(output) if d.stream == "KV_holds"]
        for dispatch in records:
            hold = Hold.model_validate_json(dispatch.data)
            newest[hold.id] = hold.model_copy(
                update={"answered_at": datetime.fromtimestamp(output.time_ns / 1e9, UTC)}
            )
    assert removable(newest.values(), keep=2) == ["congestion.1.0", "congestion.3.0"]


def test_a_full_state_fits_the_snapshot() -> None:
    desk = Desk()
    found = desk.judge(*(Row(f"cell-{i}", i, RISK + i / 1e6) for i in range(5000)))
    assert len(found.opened) == 5000
    data = desk.fold.dump()
    assert 2 * len(data) < (1 << 20)
    again = RiskFold(lambda _: Frame(desk.policy))
    again.load(data)
    assert again.dump() == data


def test_a_state_from_before_there_were_holds_is_read() -> None:
    partition = Partition()
    partition.recent.record("a", "", "offload", 1000, Reach(60_000))
    names = Names()
    old = partition.recent.as_json(names) | {"names": names.as_json()}
    again = Partition.load(zlib.compress(json.dumps(old).encode()))
    assert again.recent.is_cooling("a", "offload", 2000, 60_000)
    assert (len(again.holds), again.stop_revision) == (0, 0)


ROWS = st.builds(
    Row,
    st.sampled_from(["a", "b", "c"]),
    st.integers(0, 400).map(lambda s: s * 1000),
    st.sampled_from([RISK, 0.75, 0.999, 0.2]),
)
STEPS = st.lists(
    st.one_of(
        st.lists(ROWS, min_size=1, max_size=4),
        st.tuples(st.integers(1, 40), st.sampled_from(["approve", "deny"])),
        st.booleans(),
    ),
    max_size=14,
)


@settings(max_examples=40, deadline=None)
@given(STEPS, st.sets(st.integers(0, 13)))
def test_no_restart_changes_what_becomes_of_a_hold_and_nothing_is_sent_unfounded(
    steps: list[Any], restarts: set[int]
) -> None:
    whole, killed = Desk(), Desk()
    for desk, at in ((whole, set[int]()), (killed, restarts)):
        for i, step in enumerate(steps):
            if isinstance(step, bool):
                desk.stop(i + 1, stopped=step)
            elif isinstance(step, tuple):
                desk.answer(*step)
            else:
                desk.judge(*step)
            if i in at:
                saved = desk.fold.dump()
                desk.fold = RiskFold(lambda _, under=desk.policy: Frame(under))
                desk.fold.load(saved)
                assert desk.fold.dump() == saved
    assert [o.data for o in killed.outputs] == [o.data for o in whole.outputs]
    opened = [w.decision for o in whole.outputs for w in decode_verdicts(o.data).opened]
    approved = [d for d, outcome, _ in whole.ends if outcome is Outcome.APPROVED]
    assert len({d for d, _, _ in whole.ends}) == len(whole.ends)
    assert {d for d, _, _ in whole.ends} <= set(opened)
    assert [d for d, v in whole.sent if v == "approved"] == approved
    for a, b in pairwise(route(whole.outputs[-1]) if whole.outputs else []):
        assert a.key < b.key
