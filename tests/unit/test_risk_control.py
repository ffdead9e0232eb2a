"""The control share: who is left alone, who never is, and that nothing but the decision decides it."""

from collections.abc import Sequence
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.risk_rows import BASELINE, Row, batch, judged, message, pipeline, policy, readable

from flyball_kit.fold import Input
from flyball_local.audit import Ledger
from flyball_proto.columns import Verdict, decode_verdicts
from flyball_proto.digest import DecisionsDigest
from flyball_proto.spec import Pipeline
from flyball_risk.fold import RiskFold
from flyball_risk.judging.control import is_drawn, spell_ms
from flyball_risk.judging.frame import Frame
from flyball_risk.judging.policy import Policy, policy_of
from flyball_risk.sending.dispatch import route

V = Verdict
MANY = 4_000
FREE = {"budgets": {"actions_per_minute": 1_000_000}}
"""A policy in which nothing is capped, with the cool-down of `offload`."""


def offload(severity: str = "medium", **given: Any) -> dict[str, Any]:
    return {
        "action": "offload",
        "score_at_least": 0.1,
        "severity": severity,
        "cooldown": "0s",
    } | given


def under(share: float, *decisions: dict[str, Any], **risk: Any) -> Policy:
    return policy(*(decisions or [offload()]), control_share=share, **(FREE | risk))


def verdicts(rows: Sequence[Row], given: Policy) -> list[V]:
    return [V(v) for v in judged(rows, given).verdict]


def rows_like(row: Row, count: int = MANY) -> list[Row]:
    """Each row in a spell of its own."""
    return [
        Row(
            f"cell-{i % 50}",
            i // 50 * 60_000 + i % 50,
            row.score,
            row.action,
            row.quality,
            row.site,
            row.model,
        )
        for i in range(count)
    ]


@pytest.mark.parametrize("share", [0.01, 0.05, 0.2, 0.5])
def test_the_declared_share_of_would_be_actions_is_withheld(share: float) -> None:
    found = verdicts(rows_like(Row()), under(share))
    spread = (MANY * share * (1 - share)) ** 0.5
    assert abs(found.count(V.WITHHOLD) - MANY * share) < 4 * spread
    assert set(found) == {V.CLEAR, V.WITHHOLD}


def test_the_share_holds_within_each_element_and_each_moment() -> None:
    drawn = {
        (e, t): is_drawn("key", 0.2, pipeline="p", element=f"cell-{e}", spell=t)
        for e in range(60)
        for t in range(60)
    }
    for i in range(60):
        assert 2 <= sum(drawn[i, t] for t in range(60)) <= 25
        assert 2 <= sum(drawn[e, i] for e in range(60)) <= 25


NEVER = {
    "high severity": ([offload("high")], {}, Row(score=0.99)),
    "critical severity": ([offload("critical")], {}, Row(score=0.999)),
    "held for its risk": ([offload("medium", reversible=False)], {}, Row(score=0.5)),
    "no number": ([offload("low")], {}, Row(score=float("nan"))),
    "a boundary holds": (
        [offload()],
        {"boundaries": [{"name": "all", "when": "true", "verdict": "hold"}]},
        Row(),
    ),
    "a boundary denies": (
        [offload()],
        {"boundaries": [{"name": "all", "when": "true", "verdict": "deny"}]},
        Row(),
    ),
    "replaced by the fallback": (
        [offload("medium", reversible=False)],
        {"autonomy": "autonomous", "fallback": "reset"},
        Row(score=0.5),
    ),
    "advisory": ([offload()], {"autonomy": "advisory"}, Row()),
    "the baseline may not act": ([offload()], {}, Row(model=BASELINE)),
    "proposes to keep": ([offload() | {"action": "keep"}], {}, Row(action="keep")),
    "proposes nothing": ([offload()], {}, Row(action=None)),
}


@pytest.mark.parametrize("case", NEVER)
def test_what_is_grave_or_not_dispatched_anyway_is_never_withheld(case: str) -> None:
    decisions, risk, row = NEVER[case]
    with_share = judged(rows_like(row, 300), under(0.5, *decisions, **risk))
    without = judged(rows_like(row, 300), under(0.0, *decisions, **risk))
    assert V.WITHHOLD not in with_share.verdict
    assert readable(with_share) == readable(without)


def test_a_baseline_that_acts_by_permission_has_its_control_share_too() -> None:
    found = verdicts(rows_like(Row(model=BASELINE), 300), under(0.5, baseline_acts=True))
    assert set(found) == {V.CLEAR, V.WITHHOLD}


def test_what_is_withheld_says_why_and_keeps_what_was_judged() -> None:
    rows = rows_like(Row(score=0.5), 300)
    left_alone, acted = judged(rows, under(0.5)), judged(rows, under(0.0))
    assert left_alone.risk.tolist() == acted.risk.tolist()
    assert left_alone.category.tolist() == acted.category.tolist()
    assert left_alone.action_index.tolist() == acted.action_index.tolist()
    (reason,) = {r[8] for r in readable(left_alone) if r[5] == V.WITHHOLD}
    assert reason == (
        "offload: medium risk, withheld at random, as 50 % are, so that the effect of acting "
        "stays measurable"
    )


def test_nothing_of_what_is_withheld_is_sent() -> None:
    given = under(0.5)
    fold = RiskFold(lambda _: Frame(given))
    fold.step(message(batch(rows_like(Row(), 300))))
    output = fold.take()
    assert output is not None
    found = decode_verdicts(output.data)
    sent = route(Input(9, 0, "verdicts.congestion.0", dict(output.headers), output.data))
    cleared = [i for i, v in enumerate(found.verdict) if v == V.CLEAR]
    assert [d.key for d in sent] == [(9, i) for i in cleared]
    assert 0 < len(cleared) < 300


def test_the_auditor_counts_what_is_withheld_as_a_decision_without_an_action() -> None:
    found = judged(rows_like(Row(), 300), under(0.5))
    ledger, sent = Ledger("congestion"), int((found.verdict == V.CLEAR).sum())
    for sequence in found.rows.sequence.tolist():
        ledger.received(0, sequence, 1)
    ledger.judged(0, found)
    withheld = int(found.rows.sequence[list(found.verdict).index(V.WITHHOLD)])
    ledger.acted((withheld, 0), found.rows.element[0], "offload")
    account = ledger.account()
    assert account.verdicts == {"clear": sent, "withhold": 300 - sent}
    assert (account.decisions, account.lost, account.duplicated) == (300, 0, 0)
    assert (account.actions_unfounded, account.actions_missing) == (1, sent)


def test_a_decision_that_was_withheld_has_another_digest_than_one_that_was_not() -> None:
    digests = set()
    for share in (0.0, 0.5):
        digest = DecisionsDigest()
        digest.add(judged(rows_like(Row(), 300), under(share)))
        digests.add(digest.hexdigest())
    assert len(digests) == 2


def test_what_is_withheld_starts_no_cool_down_and_spends_no_budget() -> None:
    given = policy(
        offload(cooldown="60s"), control_share=0.5, budgets={"actions_per_minute": 1_000_000}
    )
    rows = [Row(f"cell-{i}", t * 1000) for i in range(200) for t in (0, 1)]
    found = verdicts(rows, given)
    pairs = set(zip(found[::2], found[1::2], strict=True))
    assert pairs == {(V.CLEAR, V.CAP), (V.WITHHOLD, V.WITHHOLD)}
    few = policy(offload(), control_share=0.5, budgets={"actions_per_minute": 10})
    crowd = [Row(f"cell-{i}", i) for i in range(100)]
    assert verdicts(crowd, few).count(V.CLEAR) == 10


@given(
    st.lists(st.tuples(st.sampled_from("abc"), st.floats(0, 1)), max_size=40),
    st.sampled_from([0.05, 0.5]),
)
def test_the_share_takes_from_what_would_be_dispatched_and_changes_nothing_else(
    scores: list[tuple[str, float]], share: float
) -> None:
    rows = [Row(e, i * 1000, s) for i, (e, s) in enumerate(scores)]
    decisions = (offload("medium", reversible=False),)
    for before, after in zip(
        verdicts(rows, under(0.0, *decisions)),
        verdicts(rows, under(share, *decisions)),
        strict=True,
    ):
        assert after == before or (after, before) in {
            (V.WITHHOLD, V.CLEAR),
            (V.WITHHOLD, V.NOTIFY),
        }


@given(st.data())
def test_neither_message_borders_nor_restarts_nor_revisions_change_who_is_withheld(
    data: st.DataObject,
) -> None:
    given, rows = under(0.5), rows_like(Row(), 60)
    expected = verdicts(rows, given)
    fold, found, first = RiskFold(lambda _: Frame(given)), list[V](), 1
    while rows:
        size = data.draw(st.integers(1, 20))
        fold.step(message(batch(rows[:size], first=first)))
        rows, first = rows[size:], first + size
        if data.draw(st.booleans()) and (output := fold.take()):
            found += [V(v) for v in decode_verdicts(output.data).verdict]
            state, fold = fold.dump(), RiskFold(lambda _: Frame(policy_of(spec(), 8)))
            fold.load(state)
    if output := fold.take():
        found += [V(v) for v in decode_verdicts(output.data).verdict]
    assert found == expected


def test_of_several_decisions_for_one_action_all_must_be_of_low_or_medium_severity() -> None:
    def may(*severities: str) -> bool:
        decisions = [offload(s, label=f"class-{i}") for i, s in enumerate(severities)]
        document = spec().model_dump(mode="json", by_alias=True)
        document["spec"] |= {
            "target": {
                "kind": "feedback",
                "task": "multiclass",
                "classes": ["class-0", "class-1", "class-2"],
                "horizon": "30s",
            },
            "decisions": decisions,
        }
        found = policy_of(Pipeline.model_validate(document), 1)
        return found.rules["offload"].may_withhold

    assert may("low", "medium")
    assert not may("low", "high")
    assert not may("critical", "medium")


def spec() -> Any:
    return pipeline(offload(), control_share=0.5, **FREE)


def test_another_key_withholds_others_and_the_same_key_the_same() -> None:
    rows = rows_like(Row(), 300)
    ours, again, theirs = (
        verdicts(rows, policy_of(spec(), 7, control_key=key)) for key in ("a", "a", "b")
    )
    assert ours == again != theirs


def test_who_is_left_alone_is_left_alone_for_as_long_as_labels_look_ahead() -> None:
    given = under(0.5)  # horizon 30 s, no cool-down
    seconds = [Row("cell-1", t * 1_000) for t in range(600)]
    found = verdicts(seconds, given)
    spells = [set(found[i : i + 30]) for i in range(0, 600, 30)]
    assert all(len(spell) == 1 for spell in spells)
    assert {V.CLEAR, V.WITHHOLD} == set.union(*spells)
    assert spell_ms(60_000, 30_000) == 60_000
    assert spell_ms(0, 0) == 1
