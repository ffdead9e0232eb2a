"""The ladder as a table: what becomes of a proposal, and why."""

import math
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.risk_rows import BASELINE, Row, judged, policy

from flyball_proto.columns import Category, Quality, Verdict
from flyball_risk.judging.rungs import CUT_OFFS, RUNG, category_of
from flyball_risk.scoring.impact import impact, spread
from flyball_risk.scoring.probability import error_probability
from flyball_risk.scoring.signals import DOUBT

C, V = Category, Verdict


def one(row: Row, *decisions: dict[str, Any], **risk: Any) -> tuple[V, C, str, str]:
    """Verdict, category, action and reason of a single row."""
    found = judged([row], policy(*decisions, **risk))
    action = ("", *found.action)[found.action_index[0]]
    reason = ("", *found.reason)[found.reason_index[0]]
    return V(found.verdict[0]), C(found.category[0]), action, reason


def offload(severity: str = "medium", **given: Any) -> dict[str, Any]:
    return {"action": "offload", "score_at_least": 0.1, "severity": severity, **given}


GRADES = [
    # severity, reversible, score -> category, verdict
    ("low", True, 0.95, C.NEGLIGIBLE, V.CLEAR),
    ("low", True, 0.5, C.LOW, V.CLEAR),
    ("low", False, 0.5, C.MEDIUM, V.NOTIFY),
    ("medium", True, 0.99, C.NEGLIGIBLE, V.CLEAR),
    ("medium", True, 0.85, C.LOW, V.CLEAR),
    ("medium", True, 0.5, C.MEDIUM, V.NOTIFY),
    ("medium", False, 0.5, C.HIGH, V.HOLD),
    ("high", True, 0.9, C.LOW, V.CLEAR),
    ("high", False, 0.9, C.MEDIUM, V.NOTIFY),
    ("high", False, 0.7, C.HIGH, V.HOLD),
    ("high", False, 0.4, C.CRITICAL, V.DENY),
    ("critical", False, 0.999, C.NEGLIGIBLE, V.CLEAR),
    ("critical", False, 0.85, C.HIGH, V.HOLD),
    ("critical", False, 0.6, C.CRITICAL, V.DENY),
]


@pytest.mark.parametrize(("severity", "reversible", "score", "category", "verdict"), GRADES)
def test_risk_is_probability_of_error_times_impact(
    severity: str, reversible: bool, score: float, category: C, verdict: V
) -> None:
    found = one(Row(score=score), offload(severity, reversible=reversible))
    assert found[:3] == (verdict, category, "offload")


def test_a_row_that_proposes_nothing_is_negligible_and_clear_whatever_its_score() -> None:
    for score in (0.0, 1.0, math.nan):
        assert one(Row(action=None, score=score)) == (V.CLEAR, C.NEGLIGIBLE, "", "")


def test_a_score_that_is_no_number_is_denied_however_harmless_the_action() -> None:
    verdict, category, _, reason = one(Row(score=math.nan), offload("low"))
    assert (verdict, category) == (V.DENY, C.CRITICAL)
    assert reason == "offload: denied, the score is not a number"


def test_a_regression_score_counts_as_a_coin_toss_until_it_is_calibrated() -> None:
    assert one(Row(score=123.0), offload("medium"), task="regression")[1] == C.MEDIUM
    assert one(Row(score=0.9999), offload("medium"), task="regression")[1] == C.MEDIUM


def test_flaws_of_the_inputs_raise_the_risk_and_are_named() -> None:
    verdict, category, _, reason = one(
        Row(score=0.99, quality=Quality.NULL | Quality.STALE), offload()
    )
    assert (verdict, category) == (V.NOTIFY, C.MEDIUM)
    assert reason == (
        "offload: medium risk, a metric is missing and inputs are stale (medium severity, "
        "reversible), an operator is told"
    )


def test_an_action_that_the_specification_no_longer_has_is_denied() -> None:
    verdict, _, action, reason = one(Row(action="reboot"))
    assert (verdict, action) == (V.DENY, "reboot")
    assert reason == "reboot: the specification has no such action any more"


TIGHTENED = [
    # risk section, row, verdict, action, what the reason says
    ({"autonomy": "advisory"}, Row(), V.ADVISE, "offload", "the pipeline is advisory"),
    ({}, Row(model=BASELINE), V.ADVISE, "offload", "the baseline holds the seat"),
    ({"baseline_acts": True}, Row(model=BASELINE), V.CLEAR, "offload", "low risk"),
    ({"autonomy": "advisory"}, Row(score=math.nan), V.DENY, "offload", "not a number"),
    ({}, Row(score=0.6), V.HOLD, "offload", "waits for a person"),
    ({"autonomy": "autonomous"}, Row(score=0.6), V.DENY, "offload", "stays as it is"),
    (
        {"autonomy": "autonomous", "fallback": "reset"},
        Row(score=0.6),
        V.REPLACE,
        "reset",
        "reset is sent instead",
    ),
]


@pytest.mark.parametrize(("risk", "row", "verdict", "action", "says"), TIGHTENED)
def test_the_pipeline_s_autonomy_tightens(
    risk: dict[str, Any], row: Row, verdict: V, action: str, says: str
) -> None:
    found = one(row, offload("high", reversible=row.score > 0.9), **risk)
    assert (found[0], found[2]) == (verdict, action)
    assert says in found[3]


def limit(when: str, verdict: str = "hold", name: str = "protect") -> dict[str, str]:
    return {"name": name, "when": when, "verdict": verdict}


LIMITS = [
    ("element.labels.site == 'hospital'", Row(site="hospital"), V.HOLD, "boundary protect applies"),
    ("element.labels.site == 'hospital'", Row(site="mall"), V.CLEAR, "low risk"),
    ("element.name == 'cell-1' && decision.action == 'offload'", Row(), V.HOLD, "applies"),
    ("decision.score < 0.96", Row(score=0.95), V.HOLD, "applies"),
    (
        "element.labels.zone == 'a'",
        Row(),
        V.HOLD,
        "could not be evaluated: the element has no label 'zone'",
    ),
    ("element.labels.site", Row(), V.HOLD, "it gives str, not true or false"),
    ("element.labels.site ==", Row(), V.HOLD, "its expression is not valid CEL"),
    ("has(element.labels.zone)", Row(), V.CLEAR, "low risk"),
]


@pytest.mark.parametrize(("when", "row", "verdict", "says"), LIMITS)
def test_a_boundary_tightens_and_one_that_fails_applies(
    when: str, row: Row, verdict: V, says: str
) -> None:
    found = one(row, offload("high"), boundaries=[limit(when)])
    assert found[0] == verdict
    assert says in found[3]


def test_of_several_boundaries_the_strictest_decides_and_none_loosens() -> None:
    both = [limit("true", "hold", "first"), limit("true", "deny", "second")]
    assert one(Row(), boundaries=both)[0] == V.DENY
    denied = one(Row(score=math.nan), boundaries=[limit("true", "hold")])
    assert denied[0] == V.DENY


def test_reasons_of_clear_verdicts_are_few_and_those_of_held_ones_have_figures() -> None:
    clear = judged([Row(f"cell-{i}", score=0.95 + i / 1000) for i in range(20)])
    assert clear.reason == ("offload: negligible risk (medium severity, reversible)",)
    held = one(Row(score=0.72), offload("high", reversible=False))[3]
    assert held == (
        "offload at 0.72 is high risk 0.17 (high severity, irreversible): waits for a person"
    )


@given(st.floats(0, 1), st.sampled_from(["low", "medium", "high", "critical"]), st.booleans())
def test_risk_stays_in_bounds_and_never_falls_when_inputs_get_worse(
    score: float, severity: Any, reversible: bool
) -> None:
    harm = impact(severity, reversible=reversible)
    errors = [
        float(error_probability([score], [quality], is_probability=True)[0])  # type: ignore[arg-type]
        for quality in (0, Quality.NULL, Quality.NULL | Quality.STALE)
    ]
    risks = [error * harm for error in errors]
    assert 0 <= risks[0] <= risks[1] <= risks[2] <= 1
    assert spread(harm, 0) == harm <= spread(harm, 0.5) <= 1


@given(st.floats(0, 1), st.floats(0, 1))
def test_more_risk_never_gives_a_milder_category(a: float, b: float) -> None:
    low, high = sorted((a, b))
    assert category_of(low) <= category_of(high)


def test_every_category_has_a_rung_and_every_flag_a_doubt() -> None:
    assert set(RUNG) == set(Category)
    assert set(DOUBT) == set(Quality)
    assert len(CUT_OFFS) == len(Category) - 1
    assert [category_of(c) for c in CUT_OFFS] == [C.LOW, C.MEDIUM, C.HIGH, C.CRITICAL]
