"""What became of actions: Given records in any order, I expect what is owed, said and overdue."""

import json
from datetime import UTC, datetime, timedelta

import pytest
from tests.unit.calibration_rows import Labelled, samples
from tests.unit.risk_rows import Row, judged, policy

from flyball_kit.fold import Input
from flyball_local.showing.acknowledged import effect_lines, row
from flyball_proto.columns import Verdict, encode_verdicts
from flyball_proto.outcomes import (
    MAX_OUTCOME_BYTES,
    Awaited,
    OutcomeError,
    Overdue,
    Told,
    action_outcomes,
    decode_outcome,
    told_key,
)
from flyball_proto.progress import ActionEffect
from flyball_risk.acknowledging.freeing import freed
from flyball_risk.acknowledging.ledger import MAX_ACTIONS, Ledger
from flyball_risk.acknowledging.routes import REASON, awaited, outcome_route
from flyball_risk.sending.dispatch import route

T = datetime(2026, 1, 1, tzinfo=UTC)


def owed(decision: str = "congestion.1.0", element: str = "cell-1", after_s: int = 0) -> Awaited:
    sent = T + timedelta(seconds=after_s)
    return Awaited(
        pipeline="congestion", decision=decision, element=element, action="offload",
        sent_at=sent, due_at=sent + timedelta(seconds=30),
    )  # fmt: skip


def told(result: str = "applied", element: str = "cell-1") -> Told:
    return Told(decision="congestion.1.0", element=element, result=result, at=T)


def message(data: bytes, subject: str = "outcomes.congestion.cell-1") -> Input:
    return Input(9, int(T.timestamp() * 1e9), subject, {}, data)


def test_an_action_is_overdue_once_its_time_is_over_and_until_that_is_known():
    ledger = Ledger()
    ledger.note("congestion.1.0", owed())
    assert ledger.due(T + timedelta(seconds=29)) == []
    assert ledger.due(T + timedelta(seconds=30)) == ["congestion.1.0"]
    ledger.note("congestion.1.0", Overdue(decision="congestion.1.0", at=T))
    assert ledger.due(T + timedelta(hours=1)) == []


@pytest.mark.parametrize("first", ["action", "word"])
def test_a_word_settles_the_action_whichever_is_heard_first(first):
    ledger, records = Ledger(), [owed(), told("rejected")]
    for record in records if first == "action" else records[::-1]:
        ledger.note("congestion.1.0", record)
    assert ledger.due(T + timedelta(hours=1)) == []
    assert ledger.not_applied("congestion.1.0")


def test_the_word_of_another_element_counts_nothing():
    ledger = Ledger()
    ledger.note("congestion.1.0", owed())
    ledger.note("congestion.1.0", told("rejected", element="cell-2"))
    assert not ledger.not_applied("congestion.1.0")
    assert ledger.due(T + timedelta(hours=1)) == ["congestion.1.0"]
    ledger.note("congestion.1.0", told("rejected"))
    ledger.note("congestion.1.0", told("applied", element="cell-2"))
    assert ledger.not_applied("congestion.1.0")


def test_the_newest_word_counts():
    ledger = Ledger()
    for record in (owed(), told("applied"), told("failed")):
        ledger.note("congestion.1.0", record)
    assert ledger.not_applied("congestion.1.0")


def test_at_the_bound_the_oldest_settled_action_is_forgotten_first():
    ledger = Ledger()
    for i in range(MAX_ACTIONS):
        ledger.note(f"congestion.{i}.0", owed(f"congestion.{i}.0", after_s=i))
    ledger.note("congestion.7.0", told())
    ledger.note("congestion.99999.0", owed("congestion.99999.0"))
    assert len(ledger) == MAX_ACTIONS
    assert ledger.get("congestion.7.0") is None
    assert ledger.get("congestion.0.0") is not None


def test_only_actions_that_are_sent_and_whose_specification_says_so_are_awaited():
    patient = policy(
        {"action": "offload", "score_at_least": 0.5, "cooldown": "60s", "acknowledge": "30s"}
    )
    verdicts = judged([Row("a", 0, 0.99), Row("a", 1000, 0.99), Row("b", 2000, 0.1, None)], patient)
    given = message(encode_verdicts(verdicts), "verdicts.congestion.0")
    (record,) = awaited(route(given), given, patient.patience)
    found = Awaited.model_validate_json(record.data)
    assert (found.element, found.due_at - found.sent_at) == ("a", timedelta(seconds=30))
    assert record.subject == f"$KV.acknowledged.{found.decision}"
    assert awaited(route(given), given, policy().patience) == []


def test_what_an_element_says_is_recorded_under_the_decision():
    said = {"decision": "congestion.1.0", "result": "failed", "effect": {"load": 0.6}}
    (record,) = outcome_route(message(json.dumps(said).encode()))
    (foreign,) = outcome_route(message(json.dumps(said).encode(), "outcomes.congestion.cell-2"))
    assert record.subject == f"$KV.acknowledged.{told_key('congestion.1.0', 'cell-1')}"
    assert foreign.subject != record.subject  # it takes nobody's word away
    assert Told.model_validate_json(record.data).effect == {"load": 0.6}


@pytest.mark.parametrize(
    ("said", "words"),
    [
        (b"applied", "Invalid JSON"),
        (b'{"decision": "congestion.1.0"}', "result"),
        (b'{"decision": "congestion.1.0", "result": "maybe"}', "'applied', 'rejected' or 'failed'"),
        (b'{"decision": "congestion.*.0", "result": "applied"}', "pattern"),
        (b'{"decision": "other.1.0", "result": "applied"}', "pipeline congestion"),
        (b'{"decision": "congestion.1.0", "result": "applied", "effect": {"x": NaN}}', "effect"),
        (b'{"decision": "congestion.1.0", "result": "applied", "hurry": 1}', "hurry"),
        (b" " * (MAX_OUTCOME_BYTES + 1), "at most 8192"),
    ],
)
def test_what_cannot_be_an_outcome_is_quarantined_untouched_with_the_reason(said, words):
    (refused,) = outcome_route(message(said))
    assert (refused.subject, refused.stream) == ("quarantine._outcomes.congestion", "QUARANTINE")
    assert refused.data == said
    assert refused.headers[REASON].startswith("cell-1: ")
    assert words in refused.headers[REASON]


def test_an_outcome_that_is_no_json_is_told_as_such():
    with pytest.raises(OutcomeError, match="Invalid JSON"):
        decode_outcome(b"{")


def test_one_entry_an_action_says_what_is_known_of_it_the_newest_first():
    records = {
        "congestion.1.0": owed("congestion.1.0", after_s=0),
        "congestion.1.0.overdue": Overdue(decision="congestion.1.0", at=T),
        "congestion.2.0": owed("congestion.2.0", after_s=1),
        told_key("congestion.2.0", "cell-1"): told("applied").model_copy(
            update={"decision": "congestion.2.0"}
        ),
        told_key("congestion.2.0", "cell-2"): told("rejected", "cell-2"),
        "congestion.3.0": owed("congestion.3.0", after_s=2),
        told_key("congestion.9.0", "cell-1"): told(),  # nobody waits for it
    }
    found = [(one.decision, one.state) for one in action_outcomes(records)]
    assert found == [
        ("congestion.3.0", "awaited"),
        ("congestion.2.0", "applied"),
        ("congestion.1.0", "overdue"),
    ]


def test_people_read_when_the_word_came_and_what_was_measured():
    late = Told(
        decision="congestion.1.0", element="cell-1", result="applied", effect={"load": 0.6},
        at=T + timedelta(seconds=40),
    )  # fmt: skip
    (one,) = action_outcomes({"congestion.1.0": owed(), told_key("congestion.1.0", "cell-1"): late})
    assert row(one)[3:] == ("2026-01-01T00:00:00Z", "applied (late)", "40.0 s", "load 0.6")


def test_people_read_what_an_action_changes():
    one = ActionEffect(
        action="offload", withheld_rows=40, withheld_mean=0.5, acted_rows=400, acted_mean=0.2,
        difference=-0.3, low=-0.4, high=-0.2,
    )  # fmt: skip
    unknown = ActionEffect(
        action="sleep", withheld_rows=0, withheld_mean=None, acted_rows=3, acted_mean=0.2,
        difference=None,
    )  # fmt: skip
    assert list(effect_lines([one, unknown])) == [
        "offload: mean label -0.300 (95 %: -0.400 to -0.200; 400 rows acted on, 40 left alone)",
        "sleep: nothing to compare yet (3 rows acted on, 0 left alone)",
    ]


def test_the_label_of_an_action_that_was_not_carried_out_counts_like_any_other():
    sent = Labelled(score=0.9, verdict=Verdict.CLEAR, censored=True)
    found = samples([sent, Labelled(score=0.9, verdict=Verdict.WITHHOLD)])
    refused = f"{found.pipeline}.{found.rows.sequence[0]}.{found.rows.sample[0]}"
    assert freed(found, {refused}.__contains__).censored.tolist() == [0, 0]
    assert freed(found, lambda _: False) is found


@pytest.mark.parametrize(
    ("cooldown", "decisions", "alone"),
    [("60s", 1, True), ("10s", 1, False), ("60s", 2, False)],
)
def test_only_where_no_other_action_can_falsify_it(cooldown, decisions, alone):
    rules = [
        {"action": action, "score_at_least": 0.5, "cooldown": cooldown}
        for action in ("offload", "sleep")[:decisions]
    ]
    assert policy(*rules).acts_alone is alone
