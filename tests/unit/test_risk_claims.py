"""Pipelines that change the same parameter of the same element: one at a time."""

import random
from collections.abc import Iterable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.risk_rows import Row, batch, message, pipeline

from flyball_proto.columns import Verdict, Verdicts, decode_verdicts
from flyball_proto.holds import Answer
from flyball_risk.capacity import claims as bounds
from flyball_risk.capacity.claims import Claim, Claims
from flyball_risk.fold import RiskFold
from flyball_risk.judging.budgets import claims_of
from flyball_risk.judging.frame import Frame
from flyball_risk.judging.partition import Partition
from flyball_risk.judging.policy import Policy, policy_of

V = Verdict
TILT = {"score_at_least": 0.5, "parameter": "tilt", "cooldown": "60s"}


def policy(name: str, *actions: str, **risk: Any) -> Policy:
    decisions = [{"action": action, **TILT} for action in actions or (name,)]
    made = pipeline(*decisions, **risk)
    metadata = made.metadata.model_copy(update={"name": name})
    return policy_of(made.model_copy(update={"metadata": metadata}), 1)


class Process:
    """The folds of some pipelines in one process, one partition each."""

    def __init__(self, *policies: Policy) -> None:
        self.policies = {p.pipeline: p for p in policies}
        self.claims = Claims()
        self.folds = {name: self._fold(name) for name in self.policies}
        self._sequence = 0

    def _fold(self, name: str) -> RiskFold:
        return RiskFold(lambda _: Frame(self.policies[name], claims=self.claims))

    def propose(
        self, name: str, time_s: float, action: str = "", element: str = "cell"
    ) -> tuple[V, str]:
        """What becomes of a proposal."""
        self._sequence += 1
        row = Row(element, int(time_s * 1000), action=action or name)
        found = self.take(name, batch([row], first=self._sequence))
        return V(int(found.verdict[0])), found.reason[0]

    def take(self, name: str, decisions: Any) -> Verdicts:
        self.folds[name].step(message(decisions))
        output = self.folds[name].take()
        assert output is not None
        return decode_verdicts(output.data)

    def restart(self, order: Iterable[str]) -> None:
        """Begin again from the states of the folds, taken up in some order."""
        saved = {name: fold.dump() for name, fold in self.folds.items()}
        self.claims = Claims()
        for name in order:
            self.folds[name] = self._fold(name)
            self.folds[name].load(saved[name])
            recent = Partition.load(saved[name]).recent
            self.claims.take_up(claims_of(self.policies[name], recent))


def test_of_equals_who_came_first_keeps_the_other_out_for_its_lease() -> None:
    process = Process(policy("up"), policy("down"))
    assert process.propose("up", 0)[0] is V.CLEAR
    verdict, reason = process.propose("down", 59)
    assert verdict is V.SUPERSEDED
    assert reason == "down: superseded, pipeline up (priority 50) changed tilt by up"
    assert process.propose("down", 60)[0] is V.CLEAR
    assert process.propose("up", 61)[0] is V.SUPERSEDED


def test_other_elements_and_other_parameters_are_free() -> None:
    process = Process(policy("up"), policy("down"))
    process.propose("up", 0)
    assert process.propose("down", 1, element="other")[0] is V.CLEAR
    assert process.claims.holder("down", 50, "cell", "power", 1_000) is None


def test_the_lease_is_the_cool_down_unless_the_specification_says_otherwise() -> None:
    process = Process(policy("up", lease="300s"), policy("down"))
    process.propose("up", 0)
    assert process.propose("down", 299)[0] is V.SUPERSEDED
    assert process.propose("down", 300)[0] is V.CLEAR


def test_a_higher_priority_takes_over_at_once_and_keeps_it_while_it_goes_on_proposing() -> None:
    process = Process(policy("up"), policy("urgent", priority=90))
    assert process.propose("up", 0)[0] is V.CLEAR
    assert process.propose("urgent", 1)[0] is V.CLEAR
    assert process.propose("up", 60)[0] is V.SUPERSEDED
    assert process.propose("urgent", 60)[0] is V.CAP  # in its own cool-down
    assert process.propose("up", 119)[0] is V.SUPERSEDED
    assert process.propose("up", 120)[0] is V.CLEAR


def test_what_is_not_dispatched_claims_nothing() -> None:
    process = Process(
        policy("up", boundaries=[{"name": "no", "when": "true", "verdict": "deny"}]),
        policy("advised", autonomy="advisory"),
        policy("down"),
    )
    assert process.propose("up", 0)[0] is V.DENY
    assert process.propose("advised", 0)[0] is V.ADVISE
    assert process.propose("down", 0)[0] is V.CLEAR


def test_an_older_report_does_not_undo_what_a_newer_one_of_another_pipeline_did() -> None:
    process = Process(policy("up"), policy("down"))
    process.propose("up", 1000)
    assert process.propose("down", 10)[0] is V.SUPERSEDED


def test_within_a_pipeline_one_action_does_not_undo_another_within_its_cool_down() -> None:
    process = Process(policy("tilts", "raise", "lower"))
    assert process.propose("tilts", 0, "raise")[0] is V.CLEAR
    verdict, reason = process.propose("tilts", 30, "lower")
    assert verdict is V.CAP
    assert reason == "lower: capped, raise changed tilt and is within its cool-down"
    assert process.propose("tilts", 60, "lower")[0] is V.CLEAR


def test_what_other_pipelines_did_at_an_element_lately_is_known() -> None:
    process = Process(policy("up"), policy("down"))
    process.propose("up", 0)
    claims = process.claims
    assert claims.others("down", "cell", 59_000)
    assert not claims.others("up", "cell", 59_000)
    assert not claims.others("down", "cell", 60_000)
    assert not claims.others("down", "other", 1)


def test_a_pipeline_that_is_gone_claims_nothing() -> None:
    process = Process(policy("up"), policy("down"))
    process.propose("up", 0)
    process.claims.drop("up")
    assert len(process.claims) == 0
    assert process.propose("down", 1)[0] is V.CLEAR


@pytest.mark.parametrize("order", [("up", "down"), ("down", "up")])
def test_a_restart_opens_no_gap(order: tuple[str, str]) -> None:
    process = Process(policy("up"), policy("down"))
    process.propose("up", 0)
    process.restart(order)
    assert process.propose("down", 59)[0] is V.SUPERSEDED
    process.restart(order)
    assert process.propose("up", 59.5)[0] is V.CAP
    assert process.propose("down", 61)[0] is V.CLEAR


def test_an_approval_that_another_pipeline_is_in_the_way_of_is_refused() -> None:
    ask = {"name": "ask", "when": "true", "verdict": "hold"}
    process = Process(policy("up"), policy("down", boundaries=[ask]))
    assert process.propose("down", 0)[0] is V.HOLD
    process.propose("up", 0)
    given = Answer.model_validate(
        {"hold": "down.1.0", "answer": "approve", "by": "ana", "why": "", "at": "2026-01-01T00:00Z"}
    )
    fold = process.folds["down"]
    data = given.model_dump_json().encode()
    fold.step(message(batch([]))._replace(subject="decisions.down.0.answers", data=data))
    output = fold.take()
    assert output is not None
    (answered,) = decode_verdicts(output.data).answered
    assert answered.detail == "superseded, pipeline up (priority 50) changed tilt by up"


def test_at_the_bound_the_newcomer_is_capped_until_older_claims_are_over(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(bounds, "MAX_CLAIMS", 2)
    process = Process(policy("up"))
    for i, expected in enumerate([V.CLEAR, V.CLEAR, V.CAP]):
        verdict, reason = process.propose("up", i, element=f"cell-{i}")
        assert verdict is expected
    assert reason == "up: capped, more elements are under leases than can be remembered"
    assert process.propose("up", 61, element="cell-0")[0] is V.CLEAR  # it is known already
    assert process.propose("up", 300, element="cell-3")[0] is V.CLEAR
    assert len(process.claims) <= 2


def test_claims_taken_up_in_any_order_are_the_same() -> None:
    rng = random.Random(3)
    found = [
        ("cell", "tilt", Claim(rng.choice("abc"), 50, "x", rng.randint(0, 99))) for _ in range(50)
    ]
    one, other = Claims(), Claims()
    one.take_up(found)
    other.take_up(rng.sample(found, len(found)))
    for time_ms in range(100):
        for name in "abcd":
            asked = (name, 50, "cell", "tilt", time_ms)
            assert one.holder(*asked) == other.holder(*asked)


@settings(max_examples=100)
@given(
    st.lists(
        st.tuples(st.sampled_from(["up", "down", "urgent"]), st.integers(0, 20), st.booleans()),
        max_size=80,
    )
)
def test_no_element_sees_actions_of_two_equal_pipelines_within_a_lease(
    steps: list[tuple[str, int, bool]],
) -> None:
    process = Process(policy("up"), policy("down"), policy("urgent", priority=90))
    time_s, sent = 0.0, list[tuple[float, str]]()
    for name, pause_s, restarts in steps:
        time_s += pause_s
        if restarts:
            process.restart(("urgent", "down", "up"))
        if process.propose(name, time_s)[0] in (V.CLEAR, V.NOTIFY):
            sent.append((time_s, name))
    for i, (at_s, name) in enumerate(sent):
        near = {other for then_s, other in sent[:i] if at_s - then_s < 60}
        assert name == "urgent" or not near  # nothing but a higher priority comes so soon
