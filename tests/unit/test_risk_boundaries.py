"""Boundaries in risk: what they see of a decision, and that the unknown never lets anything through."""

from dataclasses import replace
from datetime import UTC, datetime
from typing import Any

import cel
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from tests.unit.risk_rows import Row, batch, message, policy

from flyball_kit.fold import Input
from flyball_proto.columns import F32, Doubts, Model, Quality, Result, Verdict, decode_verdicts
from flyball_proto.holds import Answer
from flyball_proto.spec import Boundary, parse_documents
from flyball_proto.spec.boundaries import MEANINGS, facts
from flyball_proto.spec.typed import LABELS
from flyball_risk.fold import RiskFold
from flyball_risk.judging.frame import Frame
from flyball_risk.limits import clauses
from flyball_risk.limits.boundaries import compile_limits, first_reached
from flyball_risk.limits.facts import DAY_MS, HOUR_MS, READERS, Facts

FACTS = Facts(
    element="cell-7",
    label_set='{"site":"s1"}',
    labels={"site": "s1"},
    action="offload",
    parameter="tilt",
    severity="medium",
    score=0.83,
    risk=0.04,
    category="low",
    time_ms=3 * DAY_MS + 23 * HOUR_MS + 59 * 60_000,  # Sunday, 4 January 1970, 23:59
    trainer="recent",
    stage="canary",
    age_ms=61_500.0,
    class_name="storm",
    error=0.17,
    confidence=0.9,
    credibility=0.4,
    novelty=0.03,
    disagreement=0.1,
    quality=int(Quality.STALE | Quality.CLIPPED),
)
AT = datetime(2026, 1, 1, tzinfo=UTC)
SPEC = {
    "apiVersion": "flyball/v1",
    "kind": "Pipeline",
    "metadata": {"name": "p"},
    "spec": {
        "source": {"interval": "1s", "metrics": ["load"], "labels": ["site"]},
        "target": {
            "task": "multiclass",
            "kind": "feedback",
            "horizon": "1h",
            "classes": ["a", "b", "c"],
        },
    },
}
CATALOGUE = parse_documents([SPEC])
NAN = float("nan")
UNKNOWN = FACTS._replace(
    error=NAN, confidence=NAN, novelty=NAN, disagreement=NAN, age_ms=NAN, quality=-1, class_name=""
)


def limit(when: str, verdict: Any = "hold", name: str = "b") -> Boundary:
    return Boundary(name=name, when=when, verdict=verdict)


def reached(when: str, facts: Facts = FACTS) -> str | None:
    """None = it does not apply; else why it could not be evaluated, empty = it applies."""
    found = first_reached(compile_limits([limit(when)]), facts)
    return found.trouble if found else None


@pytest.mark.parametrize(
    "when",
    [
        'element.name == "cell-7" && element.labels.site == "s1"',
        'decision.action == "offload" && decision.parameter == "tilt"',
        'decision.severity == "medium" && decision.category == "low" && decision.class == "storm"',
        "decision.score == 0.83 && decision.risk == 0.04 && decision.error == 0.17",
        "decision.confidence == 0.9 && decision.credibility == 0.4",
        "decision.novelty < 0.05 && decision.disagreement < 0.2",
        "decision.stale && decision.clipped && !decision.missing && !decision.repaired",
        "time.hour == 23 && time.minute == 59 && time.weekday == 7",
        'model.trainer == "recent" && model.stage == "canary" && model.age_s == 61.5',
        "!has(element.labels.zone)",
        "true",
    ],
)
def test_an_expression_sees_every_fact_that_is_known(when: str) -> None:
    assert reached(when) == ""
    assert reached(f"!({when})") is None


@pytest.mark.parametrize(
    ("when", "missing"),
    [
        ("decision.novelty < 0.05", "decision.novelty is not known"),
        ("decision.stale", "decision.stale is not known"),
        ("model.age_s > 3600", "model.age_s is not known"),
        ('decision.class == "storm"', "decision.class is not known"),
        ('element.labels.zone == "hospital"', "the element has no label 'zone'"),
        ('decision.score > "0.8"', "TypeError No such overload"),
    ],
)
def test_what_is_not_known_makes_a_boundary_apply_and_the_reason_names_it(
    when: str, missing: str
) -> None:
    told = reached(when, UNKNOWN)
    assert told is not None
    assert told.startswith(f"it could not be evaluated: {missing}")


@pytest.mark.parametrize(
    "when", ["has(decision.novelty) && decision.novelty < 0.05", "has(model.age_s)"]
)
def test_has_says_whether_a_fact_is_known(when: str) -> None:
    assert reached(when, UNKNOWN) is None
    assert reached(when, FACTS) == ""


def test_the_hour_is_of_event_time_in_utc_and_monday_is_one() -> None:
    for day, weekday in ((0, 4), (3, 7), (4, 1)):  # Thursday, Sunday, Monday
        facts = FACTS._replace(time_ms=day * DAY_MS + 5 * HOUR_MS + 61_000)
        seen = [READERS[f"time.{name}"](facts) for name in ("hour", "minute", "weekday")]
        assert seen == [5, 1, weekday]


def test_a_boundary_from_before_expressions_were_checked_still_applies_as_it_did() -> None:
    assert reached('["offload"].exists(a, a == decision.action)') == ""
    assert reached("element.lable == 'x'") is not None
    assert reached("element.labels.site") == "it gives str, not true or false"
    assert reached("element.labels.site ==") == "its expression is not valid CEL"


def test_answers_are_remembered_by_what_the_expression_names_and_only_so_many(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(clauses, "MAX_REMEMBERED", 3)
    (found,) = compile_limits([limit("time.hour >= 22 && element.name != 'x'")])
    for hour in [*range(24), *range(24)]:
        facts = FACTS._replace(time_ms=hour * HOUR_MS)
        assert (first_reached([found], facts) is not None) == (hour >= 22)
        assert len(found.clauses[0].remembered) <= 3
    (never,) = compile_limits([limit("decision.score > 0.9")])
    first_reached([never], FACTS)
    assert not never.clauses[0].remembered


EXPRESSIONS = [
    "decision.novelty < 0.05 || time.hour < 6",
    'element.labels.site == "s1" && has(decision.error)',
    "decision.stale == (decision.score > 0.5)",
    "time.hour < 12 // in the morning\n&& decision.novelty < 0.5 && !decision.stale && time.weekday < 6",
    'element.labels.zone == "x" && decision.novelty < 0.5',
    "decision.error > 0.5 && (decision.clipped || decision.missing) && 1 < 2",
    'model.stage == "active" ? time.weekday > 5 : "zone" in element.labels',
]
FACT_SETS = st.builds(
    Facts,
    element=st.sampled_from(["a", "b"]),
    label_set=st.just("{}"),
    labels=st.just({}),
    action=st.just("offload"),
    parameter=st.just("tilt"),
    severity=st.just("low"),
    score=st.floats(0, 1),
    risk=st.floats(0, 1),
    category=st.just("low"),
    time_ms=st.integers(0, 10**12),
    trainer=st.just("recent"),
    stage=st.sampled_from(["active", "canary"]),
    age_ms=st.just(float("nan")),
    novelty=st.one_of(st.floats(0, 1), st.just(float("nan"))),
    error=st.one_of(st.floats(0, 1), st.just(float("nan"))),
    quality=st.integers(-1, 15),
)


@given(st.sampled_from(EXPRESSIONS), st.lists(FACT_SETS, min_size=1, max_size=8))
def test_giving_only_what_is_named_and_remembering_change_no_answer(
    when: str, rows: list[Facts]
) -> None:
    (found,) = compile_limits([limit(when)])
    for seen in rows:
        whole: dict[str, dict[str, Any]] = {}
        for path, read in READERS.items():
            root, _, name = path.partition(".")
            known = whole.setdefault(root, {})
            if (value := read(seen)) is not None:
                known[name] = value
        try:
            expected = bool(cel.compile(when).execute(whole))
        except (KeyError, TypeError):
            expected = True
        assert (first_reached([found], seen) is not None) == expected


def fold_under(*limits: dict[str, str]) -> RiskFold:
    under = policy(boundaries=list(limits))
    return RiskFold(lambda _: Frame(under))


def asked(fold: RiskFold, given: Input) -> Any:
    fold.step(given)
    output = fold.take()
    assert output is not None
    return decode_verdicts(output.data)


def novel(p_value: float, row: Row = Row()) -> Any:
    doubts = Doubts(np.array([p_value], F32), np.array([0.0], F32), np.empty((1, 0), F32))
    return replace(batch([row]), doubts=doubts)


def test_rows_bring_their_signals_their_model_and_their_time() -> None:
    model = Model("a" * 64, 3, "canary", "recent", trained_ms=1)
    row = Row(time_ms=HOUR_MS, model=model, quality=Quality.STALE)
    fold = fold_under(
        {
            "name": "all",
            "verdict": "hold",
            "when": "decision.novelty < 0.05 && decision.stale && time.hour == 1 && "
            'model.stage == "canary" && model.age_s > 3599.0 && decision.severity == "medium"',
        }
    )
    found = asked(fold, message(novel(0.04, row)))
    assert found.verdict.tolist() == [Verdict.HOLD]
    assert found.reason == ("offload: boundary all applies: waits for a person",)


def answer(fold: RiskFold, decision: str, sequence: int) -> Any:
    given = Answer(hold=decision, answer="approve", by="ana", at=AT, why="")
    data = given.model_dump_json().encode()
    return asked(fold, Input(sequence, 0, "decisions.congestion.0.answers", None, data))


def test_every_fact_that_may_be_named_can_be_read_and_is_explained() -> None:
    (pipeline,) = CATALOGUE.pipelines.values()
    named = {p for p in facts(pipeline, CATALOGUE.sources["p"]) if not p.startswith(f"{LABELS}.")}
    assert named == set(READERS)
    assert {p for p in MEANINGS if not p.startswith(f"{LABELS}.")} == named - {LABELS}


def test_an_approval_asks_the_boundaries_again_with_the_signals_that_the_row_had() -> None:
    fold = fold_under(
        {"name": "all", "verdict": "hold", "when": "true"},
        {"name": "far-out", "verdict": "deny", "when": "decision.novelty < 0.05"},
    )
    fold.step(message(novel(0.5)))
    output = fold.take()
    assert output is not None
    (hold,) = decode_verdicts(output.data).opened
    assert hold.fact_set == '{"novelty":0.5}'
    again = fold_under({"name": "late", "verdict": "deny", "when": "decision.novelty < 0.6"})
    again.load(fold.dump())
    (refused,) = answer(again, hold.decision, 2).answered
    assert (refused.result, refused.detail) == (Result.REFUSED, "boundary late applies")
    (ended,) = answer(fold, hold.decision, 2).answered
    assert ended.result is Result.ENDED


def test_an_approval_is_refused_where_a_new_boundary_names_what_the_hold_did_not_keep() -> None:
    fold = fold_under({"name": "all", "verdict": "hold", "when": "true"})
    (hold,) = asked(fold, message(novel(0.5))).opened
    assert hold.fact_set == ""
    again = fold_under({"name": "late", "verdict": "deny", "when": "decision.novelty < 0.05"})
    again.load(fold.dump())
    (refused,) = answer(again, hold.decision, 2).answered
    assert refused.detail == (
        "boundary late applies (it could not be evaluated: decision.novelty is not known)"
    )
