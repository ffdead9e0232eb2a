"""People and holds, by value: how many must agree, many at once, what stands beside a decision."""

import dataclasses
import json
import zlib
from datetime import UTC, datetime
from typing import Any

import numpy as np
import pytest
from tests.unit.risk_rows import Row, batch, message, policy
from tests.unit.test_risk_holds import AT, RISK, RISKY, Desk, rule, verdicts

from flyball_proto.columns import (
    F32,
    Context,
    Doubts,
    Neighbour,
    Outcome,
    Result,
    Verdict,
    Verdicts,
    decode_verdicts,
)
from flyball_proto.commands import AnswerHolds, HoldsReply, NotAnswered
from flyball_proto.holds import Answer, BulkAnswer, Hold, HoldContext, Withdrawal
from flyball_proto.streams import MAX_PAYLOAD_BYTES
from flyball_risk.answering.answers import ALONE
from flyball_risk.answering.recorded import record_route
from flyball_risk.holding.history import MAX_ELEMENTS, MAX_ENTRIES, History
from flyball_risk.holding.holds import MAX_HOLDS
from flyball_risk.judging.partition import Partition
from flyball_risk.judging.policy import Policy
from flyball_risk.steering.choosing import chosen, packs, unfit, words_of
from flyball_risk.steering.onrecord import RefusedError

R, V = Result, Verdict
ALWAYS = [{"name": "ask", "when": "true", "verdict": "hold"}]
CRITICAL = {**RISKY, "severity": "critical", "reversible": True}
SURE = 0.999


class Office(Desk):
    """A desk at which many are answered at once and approvals are withdrawn."""

    def many(self, answer: Any, *rows: int, by: str = "ana") -> list[tuple[str, Result, str]]:
        holds = tuple(f"congestion.{row}.0" for row in rows)
        order = BulkAnswer(holds=holds, answer=answer, by=by, why="so", code="policy", at=AT)
        found = self.tell(order).answered
        assert {f.sequence for f in found} == {self.sequence}
        return [(f.decision.split(".")[1], f.result, f.detail) for f in found]

    def withdraw(self, name: str) -> list[tuple[str, Result, str]]:
        order = Withdrawal(withdrawn=name, by="root", why="left us", at=AT)
        return [(f.decision, f.result, f.detail) for f in self.tell(order).answered]

    def tell(self, order: Any) -> Verdicts:
        return self.say(order)


def critical(**risk: Any) -> Policy:
    return policy(CRITICAL, **({"boundaries": ALWAYS, "hold": {"expires": "120s"}} | risk))


def test_an_action_of_critical_severity_always_takes_two_people() -> None:
    desk = Office(critical())
    (waiting,) = desk.judge(Row("a", 1000, SURE)).opened
    assert waiting.approvals == 2
    assert desk.answer(1) == (R.NOTED, "1 of 2 people agree")
    assert desk.answer(1) == (R.REFUSED, "ana agreed already; another person must agree, too")
    assert desk.answer(1, by="ben") == (R.ENDED, "")
    assert desk.ends == [("congestion.1.0", Outcome.APPROVED, "ana, ben")]


def test_one_person_is_one_person_however_the_name_is_written() -> None:
    desk = Office(critical())
    desk.judge(Row("a", 1000, SURE))
    assert desk.answer(1, by="Ana")[0] == R.NOTED
    assert desk.answer(1, by="ana ")[0] == R.REFUSED
    assert [hold for hold, _, _ in desk.withdraw("ANA")] == ["congestion.1.0"]


def test_a_policy_that_asks_for_fewer_meanwhile_changes_nothing_about_an_open_hold() -> None:
    desk = Office(rule(hold={"expires": "120s", "approvals": 2}))
    desk.judge(Row("a", 1000, RISK))
    desk.policy = rule()
    assert desk.answer(1)[0] == R.NOTED
    desk = Office(rule())
    desk.judge(Row("a", 1000, RISK))
    desk.policy = rule(hold={"expires": "120s", "approvals": 2})
    assert desk.answer(1)[0] == R.NOTED, "and one that asks for more counts at once"


def test_one_person_may_deny_what_takes_two_to_approve() -> None:
    desk = Office(critical())
    desk.judge(Row("a", 1000, SURE))
    desk.answer(1)
    assert desk.answer(1, "deny", by="ben") == (R.ENDED, "")
    assert desk.ends == [("congestion.1.0", Outcome.DENIED, "ben")]
    assert desk.sent == []


def test_an_approval_of_somebody_whose_access_ended_counts_no_longer() -> None:
    desk = Office(critical())
    desk.judge(Row("a", 1000, SURE), Row("b", 1000, SURE))
    desk.answer(1)
    assert desk.withdraw("ana") == [
        ("congestion.1.0", R.NOTED, "the approval of ana counts no longer: left us")
    ]
    assert desk.withdraw("ana") == [("", R.NOTED, "no approval of ana waits for a second one")]
    assert desk.answer(1, by="ben") == (R.NOTED, "1 of 2 people agree")
    assert desk.sent == []
    assert desk.answer(1, by="cid") == (R.ENDED, "")
    assert desk.sent == [("congestion.1.0", "approved")]


def test_of_many_at_once_each_is_judged_by_itself() -> None:
    desk = Office(rule(budgets={"actions_per_minute": 2}))
    desk.judge(*(Row(f"cell-{i}", 1000, RISK) for i in range(4)))
    desk.answer(1, "deny")
    capped = "capped, the budget of 2 actions a minute is used up"
    assert desk.many("approve", 1, 2, 3, 4) == [
        ("1", R.UNKNOWN, "no such decision waits for a person"),
        ("2", R.ENDED, ""),
        ("3", R.ENDED, ""),
        ("4", R.CAPPED, capped),
    ]
    assert [d for d, _ in desk.sent] == ["congestion.2.0", "congestion.3.0"]
    assert desk.many("deny", 4) == [("4", R.ENDED, "")]


def test_what_takes_two_people_is_never_approved_among_many_but_may_be_denied() -> None:
    desk = Office(critical())
    desk.judge(Row("a", 1000, SURE), Row("b", 1000, SURE))
    assert desk.many("approve", 1, 2) == [("1", R.REFUSED, ALONE), ("2", R.REFUSED, ALONE)]
    desk.answer(1)
    assert desk.many("approve", 1, by="ben") == [("1", R.REFUSED, ALONE)]
    assert [result for _, result, _ in desk.many("deny", 1, 2)] == [R.ENDED, R.ENDED]
    assert desk.sent == []


def test_the_code_of_an_answer_is_part_of_the_record() -> None:
    desk = Office()
    desk.judge(Row("a", 1000, RISK), Row("b", 1000, RISK), Row("c", 1000, RISK))
    given = Answer(
        hold="congestion.1.0", answer="deny", by="ana", why="", code="maintenance", at=AT
    )
    desk.tell(given)
    desk.many("deny", 2)
    desk.judge(Row("d", 121_000, 0.1, None))
    codes = [e.code for o in desk.outputs for e in decode_verdicts(o.data).released]
    assert codes == ["maintenance", "policy", ""]
    records = [
        Hold.model_validate_json(d.data)
        for o in desk.outputs
        for d in record_route(o)
        if d.stream == "KV_holds"
    ]
    shown = [h.answered_code for h in records if h.state != "open"]
    assert shown == ["maintenance", "policy", None]


def test_an_answer_from_before_there_were_codes_counts() -> None:
    old = {
        "version": 1,
        "hold": "x",
        "answer": "deny",
        "by": "ana",
        "why": "",
        "at": AT.isoformat(),
    }
    assert Answer.model_validate_json(json.dumps(old)).code == "other"


def told(rows: list[Row], features: list[list[float]], novelty: float = 0.5) -> Any:
    given = batch(rows)
    p = len(rows)
    doubts = Doubts(np.full(p, novelty, F32), np.full(p, np.nan, F32), np.array(features, F32))
    return dataclasses.replace(given, doubts=doubts)


def test_beside_a_hold_stand_features_signals_neighbours_and_history() -> None:
    desk = Office(rule(budgets={"elements_per_label": {"site": 1.0}}))
    desk.judge(Row("a", 500, 0.2, None), Row("b", 600, 0.999), Row("a", 700, 0.999))
    desk.sequence += 1
    given = told([Row("a", 90_000, 0.8), Row("c", 90_000, 0.8)], [[1.5, np.nan], [2.0, 3.0]])
    desk.fold.step(message(given, desk.sequence))
    found = desk.take()
    assert [w.element for w in found.opened] == ["a", "c"]
    first, second = found.context
    assert first.decision == found.opened[0].decision
    assert tuple(first.feature)[:1] == (1.5,)
    assert np.isnan(first.feature[1])
    assert first.signal["novelty"] == 0.5
    assert "disagreement" not in first.signal, "what is not known is not said"
    assert list(first.neighbour) == [Neighbour("b", "site=s1", 600)]
    assert list(first.history) == ["1970-01-01 00:00:00 offload at 1.00: clear"]
    assert [n.element for n in second.neighbour] == ["a", "b"]
    assert list(second.history) == []
    beside = [d for d in record_route(desk.outputs[-1]) if d.stream == "KV_contexts"]
    assert [d.subject for d in beside] == [f"$KV.contexts.{c.decision}" for c in found.context]
    record = HoldContext.model_validate_json(beside[0].data)
    assert record.features == (1.5, None)
    assert record.feature_digest == "f" * 64


def test_history_says_what_became_of_a_hold_and_counts_what_repeats() -> None:
    desk = Office()
    desk.judge(Row("a", 0, RISK), Row("a", 1000, RISK), Row("a", 2000, RISK))
    desk.answer(1, "deny")
    desk.judge(Row("a", 3000, RISK))
    (opened,) = desk.judge(Row("a", 70_000, RISK)).context
    assert list(opened.history) == [
        "1970-01-01 00:00:03 offload at 0.70: deny",
        "1970-01-01 00:00:00 offload at 0.70: hold, denied (3 proposals until 1970-01-01 00:00:02)",
    ]


def test_history_is_bounded_and_survives_a_restart() -> None:
    history = History()
    for i in range(MAX_ELEMENTS + 10):
        for j in range(MAX_ENTRIES + 2):
            history.note(f"cell-{i}", 1000 * j, "offload", 0.5, V.CLEAR if j % 2 else V.HOLD)
    assert history.lines("cell-0") == ()
    assert len(history.lines(f"cell-{MAX_ELEMENTS}")) == MAX_ENTRIES
    again = History.from_json(json.loads(json.dumps(history.as_json())))
    assert again.as_json() == history.as_json()
    assert again.lines("cell-500") == history.lines("cell-500")


def test_a_hold_that_opened_under_an_older_version_is_answered_as_before() -> None:
    desk = Office()
    desk.judge(Row("a", 1000, RISK))
    state = json.loads(zlib.decompress(desk.fold.dump()))
    state.pop("history")
    for fields in state["holds"]["open"]:
        del fields[15:]
    desk.fold.load(zlib.compress(json.dumps(state).encode()))
    assert desk.answer(1) == (R.ENDED, "")


def test_of_a_hundred_thousand_held_proposals_ten_thousand_wait_and_can_be_denied_at_once() -> None:
    desk = Office()
    rest = 0
    for first in range(0, 100_000, 4000):
        found = desk.judge(*(Row(f"cell-{i}", 1000, RISK) for i in range(first, first + 4000)))
        assert len(found.context) == len(found.opened)
        rest += sum(1 for verdict, _ in verdicts(found) if verdict == V.DENY)
        assert len(desk.outputs[-1].data) < 8 << 20
    words = f"offload: denied, {MAX_HOLDS} decisions wait for a person already"
    assert rest == 100_000 - MAX_HOLDS
    assert verdicts(found)[-1][1] == words
    assert len(desk.fold.dump()) < 1 << 20
    for first in range(1, MAX_HOLDS, 1000):
        results = {result for _, result, _ in desk.many("deny", *range(first, first + 1000))}
        assert results == {R.ENDED}
        assert len(desk.outputs[-1].data) < 2 << 20
    assert len(desk.ends) == MAX_HOLDS
    assert desk.sent == []
    assert len(Partition.load(desk.fold.dump()).holds) == 0


def hold(name: str, **given: Any) -> Hold:
    fields = {
        "id": f"congestion.{name}.0",
        "pipeline": "congestion",
        "partition": 0,
        "element": "a",
        "labels": {"site": "s1"},
        "action": "offload",
        "score": 0.7,
        "risk": 0.2,
        "category": "high",
        "reason": "",
        "model": "a" * 64,
        "trainer": "recent",
        "epoch": 1,
        "time_ms": 1,
        "expires_ms": 2,
        "opened_at": AT,
    }
    return Hold(**(fields | given))


NOW = datetime(2026, 1, 1, 0, 5, tzinfo=UTC)
HOLDS = [
    hold("1"),
    hold("2", action="reset"),
    hold("3", labels={"site": "s2"}),
    hold("4", opened_at=NOW),
    hold("5", state="denied"),
    hold("6", element="b"),
]


@pytest.mark.parametrize(
    ("command", "ids"),
    [
        ({"pipeline": "congestion"}, "12364"),
        ({"action": "reset"}, "2"),
        ({"labels": {"site": "s1"}, "action": "offload"}, "164"),
        ({"older_than_s": 60}, "1236"),
        ({"element": "b"}, "6"),
        ({"holds": ("congestion.1.0", "congestion.3.0")}, "13"),
    ],
)
def test_what_many_are_meant_is_said_by_name_or_by_what_they_have_in_common(
    command: dict[str, Any], ids: str
) -> None:
    given = AnswerHolds(**command, expected=len(ids), answer="deny", by="ana")
    found = chosen(given, HOLDS, NOW)
    assert [h.id.split(".")[1] for h in found] == list(ids)


@pytest.mark.parametrize(
    ("command", "kind", "words"),
    [
        ({"action": "offload", "expected": 3}, "unexpected-count", "4 open holds match, 3 were"),
        ({"holds": ("congestion.5.0",), "expected": 1}, "unexpected-count", "0 open holds match"),
        ({"expected": 5}, "invalid", "name holds, or at least one of pipeline"),
    ],
)
def test_nothing_is_answered_when_not_as_many_are_found_as_expected(
    command: dict[str, Any], kind: str, words: str
) -> None:
    with pytest.raises(RefusedError, match=words) as refused:
        chosen(AnswerHolds(**command, answer="deny", by="ana"), HOLDS, NOW)
    assert refused.value.kind == kind


def test_more_than_a_thousand_are_refused_with_their_number() -> None:
    many = [hold(str(i)) for i in range(1001)]
    command = AnswerHolds(action="offload", expected=1000, answer="deny", by="ana")
    with pytest.raises(RefusedError, match="1001 open holds match") as refused:
        chosen(command, many, NOW)
    assert refused.value.kind == "too-many"


def test_approving_many_leaves_out_what_takes_two() -> None:
    both = hold("1", approvals=2)
    approve = AnswerHolds(action="offload", expected=1, answer="approve", by="ana")
    deny = approve.model_copy(update={"answer": "deny"})
    found = unfit(both, approve)
    assert found is not None
    assert found.kind == "needs-two"
    assert unfit(both, deny) is None
    assert unfit(hold("2"), approve) is None


def test_the_record_of_many_names_every_hold_with_what_became_of_it() -> None:
    states = {f"congestion.{i}.0": "denied" for i in range(450)}
    late = NotAnswered(hold="congestion.999.0", kind="expired", message="too late")
    reply = HoldsReply(ok=True, ended=450, states=states, refused=(late,))
    assert words_of(reply) == "450 ended; 1 refused: expired 1"
    named = packs(reply)
    assert [(state, len(ids)) for state, ids in named] == [
        ("denied", 200),
        ("denied", 200),
        ("denied", 50),
        ("refused, expired", 1),
    ]
    assert {i for _, ids in named for i in ids} == {*states, late.hold}


def test_a_context_is_said_as_it_was_stored() -> None:
    desk = Office()
    (context,) = desk.judge(Row("a", 1000, RISK)).context
    assert isinstance(context, Context)
    assert context.decision == "congestion.1.0"


def test_however_long_labels_are_one_message_can_end_all_holds_at_once() -> None:
    """Given labels of 700 bytes, I expect fewer holds, and their end in a message that fits."""
    desk, site = Office(), "s" * 700
    for first in range(0, 9_000, 1_000):
        rows = (Row(f"cell-{i}", 1000, RISK, site=site) for i in range(first, first + 1_000))
        desk.judge(*rows)
    for late in ("a", "b"):  # a leap of the clock is confirmed by another element
        desk.judge(Row(late, 10_000_000, 0.1, None))
    assert 3_000 < len(desk.ends) < 9_000
    assert max(len(output.data) for output in desk.outputs) < MAX_PAYLOAD_BYTES
