"""What a proposal's risk comes to by its signals, what may be cleared, and what an operator reads."""

import json
import math
from dataclasses import replace
from datetime import UTC, datetime
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from tests.unit.risk_rows import BASELINE, LEARNT, Row, batch, message, policy, readable

from flyball_proto.calibrations import Calibration, Conformal, CutOff, SteppedBack
from flyball_proto.columns import (
    ASSESSED,
    F32,
    Category,
    Decisions,
    Doubts,
    Model,
    Quality,
    Verdict,
    Verdicts,
    decode_verdicts,
)
from flyball_risk.capacity.claims import Claim, Claims
from flyball_risk.fold import RiskFold
from flyball_risk.judging import caution
from flyball_risk.judging.caution import Caution
from flyball_risk.judging.frame import Frame
from flyball_risk.judging.policy import Policy
from flyball_risk.judging.proposals import propose
from flyball_risk.judging.rungs import CLEARED, by_risk, cleared_alone
from flyball_risk.judging.written import Names
from flyball_risk.scoring.impact import CONTESTED_RATIO
from flyball_risk.scoring.reasons import ALONE, MAX_CHARS

V, C = Verdict, Category
SLOW = 1_000_000
"""A budget that nothing here uses up."""


def offload(severity: str = "medium", **given: Any) -> dict[str, Any]:
    return {"action": "offload", "score_at_least": 0.1, "severity": severity, **given}


GRAVE = policy(offload("critical", reversible=False))


def cut_off(at: float | None = 0.05, *, proven: bool = True, rows: int = 400) -> CutOff:
    return CutOff(
        at=at, proven=proven, rows=rows, max_error=0.05, confidence=0.95, needed=117, errors=3
    )


def calibration(**given: Any) -> Calibration:
    """One that is not fitted, so that an error is 1 - score, unless told otherwise."""
    return Calibration(
        pipeline="congestion",
        feature_digest="f" * 64,
        at=datetime(2026, 1, 1, tzinfo=UTC),
        event_ms=0,
        **given,
    )


FITTED = calibration(
    conformal={
        "offload": Conformal(
            right=tuple(np.linspace(0.3, 1, 50).tolist()), wrong=tuple(np.linspace(0, 0.7, 50))
        )
    },
    weights={"claimed": 4.0, "doubt": 1.0, "novelty": 0.5, "disagreement": 1.5, "canary": 0.5},
    intercept=-4.0,
    raw=(0.0, 0.5, 1.0),
    error=(0.0, 0.4, 1.0),
)


def decided(
    rows: list[Row],
    under: Policy | None = None,
    *,
    novelty: list[float] | None = None,
    disagreement: list[float] | None = None,
    claims: Claims | None = None,
    known: Calibration | None = None,
) -> Verdicts:
    """All rows in one batch through a new fold; signals by proposal."""
    frame = Frame(under or policy(offload()), known, claims=claims or Claims())
    fold = RiskFold(lambda _: frame)
    fold.step(message(doubted(batch(rows), novelty, disagreement)))
    output = fold.take()
    assert output is not None
    return decode_verdicts(output.data)


def doubted(
    decisions: Decisions, novelty: list[float] | None, disagreement: list[float] | None
) -> Decisions:
    p = int(np.count_nonzero(decisions.action_index))
    nothing = [math.nan] * p
    doubts = Doubts(
        np.array(novelty or nothing, F32),
        np.array(disagreement or nothing, F32),
        np.empty((p, 0), F32),
    )
    return replace(decisions, doubts=doubts if novelty or disagreement else Doubts())


def one(row: Row, under: Policy | None = None, **given: Any) -> tuple[V, str]:
    """Verdict and reason of a single row."""
    found = decided([row], under, **given)
    return V(found.verdict[0]), found.reason[found.reason_index[0] - 1]


def test_every_proposal_is_assessed_in_the_order_of_the_rows() -> None:
    rows = [Row("a", score=0.9), Row("b", action=None), Row("c", score=0.7)]
    found = decided(rows, novelty=[0.5, 0.01], disagreement=[0.0, math.nan]).assessment
    assert found.novelty.tolist() == pytest.approx([0.5, 0.01])
    assert found.disagreement[0] == 0
    assert math.isnan(found.disagreement[1])
    assert found.error.tolist() == pytest.approx([0.1, 1 - 0.7 * 0.8])
    assert found.impact.tolist() == pytest.approx([0.15, 0.15])
    assert np.isnan(found.confidence).all()


def test_a_batch_without_proposals_has_an_empty_assessment() -> None:
    found = decided([Row(action=None), Row("b", action=None)]).assessment
    assert [len(getattr(found, name)) for name in ASSESSED] == [0] * len(ASSESSED)


def test_assessments_of_several_batches_stand_in_one_column() -> None:
    fold = RiskFold(lambda _: Frame(policy(offload())))
    for i, rows in enumerate(([Row("a")], [Row("b", action=None)], [Row("c"), Row("d")])):
        fold.step(message(batch(rows, first=1 + i * 10)))
    output = fold.take()
    assert output is not None
    found = decode_verdicts(output.data)
    assert len(found.assessment.error) == np.count_nonzero(found.action_index) == 3


ODD: list[tuple[str, Row, dict[str, Any], V]] = [
    ("no signal known", Row(), {}, V.CLEAR),
    ("signals that are no numbers", Row(), {"novelty": [math.nan]}, V.CLEAR),
    ("a novelty beyond 1", Row(), {"novelty": [7.0]}, V.CLEAR),
    ("a negative novelty", Row(score=0.99), {"novelty": [-1.0]}, V.CLEAR),
    ("an endless disagreement", Row(score=0.99), {"disagreement": [math.inf]}, V.CLEAR),
    ("a negative disagreement", Row(), {"disagreement": [-1.0]}, V.CLEAR),
    ("a score of no number", Row(score=math.nan), {"novelty": [0.5]}, V.DENY),
    ("an endless score", Row(score=math.inf), {}, V.DENY),
    ("a score above 1", Row(score=1.5), {}, V.CLEAR),
]


@pytest.mark.parametrize(("odd", "row", "signals", "verdict"), ODD, ids=[o[0] for o in ODD])
@pytest.mark.parametrize("known", [None, FITTED], ids=["not calibrated", "calibrated"])
def test_odd_columns_are_judged_and_raise_nothing(
    odd: str, row: Row, signals: dict[str, Any], verdict: V, known: Calibration | None
) -> None:
    assert one(row, policy(offload("low")), known=known, **signals)[0] == verdict, odd


@pytest.mark.parametrize("label_set", ["", "no json", "[1]", '{"zone": "a"}'])
def test_an_element_without_readable_labels_is_judged_without_its_group(label_set: str) -> None:
    under = policy(offload(), budgets={"elements_per_label": {"site": 0.2}})
    fold = RiskFold(lambda _: Frame(under))
    given = batch([Row("a"), Row("b")])
    given = replace(given, rows=replace(given.rows, label_set=(label_set,)))
    fold.step(message(given))
    output = fold.take()
    assert output is not None
    assert set(decode_verdicts(output.data).verdict) == {V.CLEAR}


def test_novelty_and_disagreement_raise_the_risk_and_are_said_in_words() -> None:
    plain = decided([Row(score=0.9)])
    both = decided([Row(score=0.9)], novelty=[0.01], disagreement=[0.6])
    assert both.risk[0] > plain.risk[0]
    (reason,) = both.reason
    assert reason == (
        "offload: medium risk, its inputs are unlike what the model learnt from and the fallback "
        "says otherwise (medium severity, reversible), an operator is told"
    )
    held = decided([Row(score=0.91)], GRAVE, disagreement=[0.6]).reason[0]
    assert "the fallback says 0.31" in held


def test_a_calibrated_reason_says_how_sure_the_decision_is_and_what_speaks_against_it() -> None:
    _, held = one(Row(score=0.3, quality=Quality.STALE), GRAVE, known=FITTED)
    assert held.startswith("offload at 0.30 is high risk 0.")
    assert " sure, but inputs are stale (critical severity, irreversible): waits" in held
    mild = decided([Row(f"c{i}", score=0.9 + i / 1000) for i in range(20)], known=FITTED)
    assert mild.reason == (
        "offload: negligible risk, at least 0.9 sure (medium severity, reversible)",
    )


def test_a_canary_and_an_old_model_are_mentioned() -> None:
    day_ms = 86_400_000
    old = Model("c" * 64, 4, "canary", "recent", trained_ms=1000)
    row = Row(score=0.7, time_ms=9 * day_ms, model=old)
    _, held = one(row, policy(offload("high", reversible=False)))
    assert ": a canary decided and the model is 9 days old (high" in held


def test_the_share_of_the_group_that_is_acted_on_raises_the_impact_and_is_said_in_figures() -> None:
    quiet = [Row(f"c{i}", action=None, site="site-12") for i in range(8)]
    acting = [Row(f"c{i}", score=0.99, site="site-12") for i in range(3)]
    grave = policy(
        offload("critical", reversible=False),
        budgets={"elements_per_label": {"site": 1.0}, "window": "1min"},
    )
    found = decided([*quiet, *acting, Row("c7", score=0.8, site="site-12")], grave)
    said = "3 of 8 elements with site site-12 were acted on in the last 1 min"
    assert said in found.reason[found.reason_index[-1] - 1]
    assert found.assessment.impact[-1] == pytest.approx(min(1.0, 1.0 * (1 + 3 / 8)))


def test_another_pipeline_s_claim_on_the_element_raises_the_impact() -> None:
    claims = Claims()
    claims.take("cell-1", "tilt", Claim("coverage", 50, "tilt", until_ms=60_000))
    alone, contested = decided([Row("cell-2")]), decided([Row("cell-1")], claims=claims)
    ratio = contested.assessment.impact[0] / alone.assessment.impact[0]
    assert ratio == pytest.approx(CONTESTED_RATIO)
    assert "another pipeline acts on this element" in contested.reason[0]
    own = Claims()
    own.take("cell-1", "tilt", Claim("congestion", 50, "tilt", until_ms=60_000))
    assert decided([Row("cell-1")], claims=own).assessment.impact[0] == alone.assessment.impact[0]


UNPROVEN = cut_off(None, proven=False, rows=43)
CLEARING: list[tuple[str, CutOff | None, dict[str, Any], float, V, str]] = [
    # what is known, of the risk section, score -> verdict, what the reason says
    ("nobody has looked", None, {}, 0.95, V.CLEAR, "negligible risk"),
    ("nobody has looked", None, {"unproven": "hold"}, 0.95, V.HOLD, "no labelled rows"),
    ("not proven", UNPROVEN, {}, 0.95, V.NOTIFY, "told: not proven yet: 43 of 117 labelled rows"),
    ("not proven", UNPROVEN, {"unproven": "hold"}, 0.95, V.HOLD, "43 of 117 labelled rows: waits"),
    ("not proven", UNPROVEN, {}, 0.5, V.NOTIFY, "medium risk (medium"),
    ("below it", cut_off(), {}, 0.96, V.CLEAR, "negligible risk"),
    ("at it", cut_off(), {}, 0.95, V.CLEAR, "negligible risk"),
    ("above it", cut_off(), {}, 0.9, V.HOLD, "0.100 likely and only up to 0.050 is proven: waits"),
    ("above it", cut_off(), {"autonomy": "autonomous"}, 0.9, V.DENY, "stays as it is"),
    (
        "above it",
        cut_off(),
        {"autonomy": "autonomous", "fallback": "reset"},
        0.9,
        V.REPLACE,
        "reset is sent instead",
    ),
    ("none holds", cut_off(None), {}, 0.999, V.HOLD, "no limit keeps errors within 5 %: waits"),
    ("too risky anyway", cut_off(0.9), {}, 0.1, V.NOTIFY, "medium risk"),
]


@pytest.mark.parametrize(("known", "limit", "risk", "score", "verdict", "says"), CLEARING)
def test_only_what_is_proven_is_cleared(
    known: str, limit: CutOff | None, risk: dict[str, Any], score: float, verdict: V, says: str
) -> None:
    found = one(Row(score=score), policy(offload(), **risk), known=calibration(cut_off=limit))
    assert found[0] == verdict, known
    assert says in found[1]


def test_a_pipeline_that_stepped_back_only_advises_and_says_why() -> None:
    stepped = SteppedBack(since_ms=0, error=0.09, lower_bound=0.06, rows=200)
    known = calibration(cut_off=cut_off(), stepped_back=stepped)
    verdict, reason = one(Row(score=0.99), known=known)
    assert verdict == V.ADVISE
    assert reason == (
        "offload: negligible risk, recorded only: the pipeline stepped back, 9 % of 200 cleared "
        "decisions were wrong, at most 5 % may be"
    )
    assert one(Row(score=math.nan), known=known)[0] == V.DENY


# Hysteresis: of high severity, that can be taken back, the limit 0.15 is an error of 0.5.
WAVERING = policy(
    offload("high", cooldown="60s"),
    hysteresis=0.1,
    hold={"expires": "1s"},
    budgets={"actions_per_minute": SLOW},
)
HIGH, NEAR, BELOW = 0.4, 0.54, 0.56
"""Scores of risk 0.18, 0.138 and 0.132; from 0.135 down an element is cleared again."""


def wavering(*rows: tuple[float, float], under: Policy = WAVERING) -> list[V]:
    """Verdicts of one element; rows are (seconds, score)."""
    given = [Row("a", int(at_s * 1000), score) for at_s, score in rows]
    return [V(v) for v in decided(given, under).verdict]


def test_what_was_held_is_cleared_again_only_well_below_the_limit() -> None:
    assert wavering((0, NEAR)) == [V.NOTIFY]
    held = wavering((0, HIGH), (30, NEAR), (70, NEAR))
    assert held == [V.HOLD, V.DENY, V.NOTIFY]  # nobody is asked again; after the cool-down it may
    assert wavering((0, HIGH), (30, BELOW)) == [V.HOLD, V.NOTIFY]


def test_why_a_proposal_of_little_risk_waits_is_said() -> None:
    rows = [Row("a", 0, HIGH), Row("a", 61_500, HIGH), Row("a", 61_600, NEAR)]
    autonomous = policy(offload("high"), autonomy="autonomous")
    reason = readable(decided(rows, autonomous))[-1][8]
    assert reason.endswith(
        "(high severity, reversible), it was over a limit less than 60 s ago and is near it: the "
        "element stays as it is"
    )


def test_near_a_limit_the_wait_does_not_grow_longer() -> None:
    seen = wavering((0, HIGH), *((t, NEAR) for t in range(10, 70, 10)))
    assert seen[-1] == V.NOTIFY
    assert V.NOTIFY not in seen[:-1]


def test_caution_is_the_element_s_own_and_the_action_s_own() -> None:
    rows = [Row("a", 0, HIGH), Row("b", 1, NEAR)]
    assert [V(v) for v in decided(rows, WAVERING).verdict] == [V.HOLD, V.NOTIFY]


def test_no_hysteresis_clears_right_below_the_limit() -> None:
    under = policy(offload("high"), hysteresis=0, autonomy="autonomous")
    assert wavering((0, HIGH), (1, NEAR), under=under) == [V.DENY, V.NOTIFY]


def test_an_error_above_the_cut_off_begins_caution_too() -> None:
    known = calibration(cut_off=cut_off(0.2))
    given = [Row("a", t, score) for t, score in ((0, 0.7), (10, 0.81), (20, 0.83))]
    under = policy(offload("low"), autonomy="autonomous")
    found = decided(given, under, known=known)
    assert [V(v) for v in found.verdict] == [V.DENY, V.DENY, V.CLEAR]


def test_at_the_bound_the_element_that_exceeded_longest_ago_is_forgotten(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(caution, "MAX_PAIRS", 2)
    found = Caution()
    for i, element in enumerate(("a", "b", "a", "c")):
        found.exceeded(element, "offload", 1000 + i)
    assert [found.is_due(e, "offload", 999) for e in "abc"] == [True, False, True]
    names = Names()
    again = Caution.from_json(json.loads(json.dumps(found.as_json(names))), names.as_json())
    assert again.as_json(Names()) == found.as_json(Names())
    assert [again.is_due(e, "offload", 1002) for e in "ac"] == [False, True]
    assert len(again) == 2


def test_no_reason_is_longer_than_it_may_be() -> None:
    name, site = "a" * 63, "s" * 400
    long = {"action": name, "score_at_least": 0.1, "severity": "high", "reversible": False}
    rows = [Row("a", 0, 0.99, name, site=site), Row("b", 1, 0.99, name, site=site)]
    rows += [Row("c", 2, 0.7, name, quality=255, site=site)]
    under = policy(long, budgets={"elements_per_label": {"site": 1.0}})
    found = decided(rows, under, novelty=[0.01] * 3, disagreement=[0.5] * 3, known=FITTED)
    assert all(len(reason) <= MAX_CHARS for reason in found.reason)
    regression = policy(offload(), task="regression")
    assert len(one(Row(score=1e300), regression)[1]) < 100


SIGNALS = st.lists(
    st.tuples(
        st.builds(
            Row,
            element=st.sampled_from([f"c{i}" for i in range(5)]),
            time_ms=st.integers(0, 100_000),
            score=st.one_of(st.floats(0, 1), st.just(math.nan)),
            action=st.sampled_from([None, "offload", "reset", "unknown"]),
            quality=st.integers(0, 15),
            model=st.sampled_from(
                [LEARNT, replace(LEARNT, stage="canary", trained_ms=50), BASELINE]
            ),
        ),
        st.one_of(st.floats(0, 1, width=32), st.just(math.nan)),
        st.one_of(st.floats(0, 1, width=32), st.just(math.nan)),
    ),
    min_size=1,
    max_size=40,
)
TWO = (offload("high", cooldown="20s"), offload("low", cooldown="5s") | {"action": "reset"})
BUDGETS = {"actions_per_minute": SLOW, "elements_per_label": {"site": 1.0}, "window": "30s"}
STATES = st.sampled_from(
    [None, FITTED, calibration(cut_off=cut_off(0.3)), calibration(cut_off=UNPROVEN)]
)


def folded(
    given: list[tuple[Row, float, float]], cuts: list[int], known: Calibration | None, under: Policy
) -> list[Verdicts]:
    """Rows in pieces, one output a piece, with a restart after each; two elements are at s2."""
    given = [(replace(r, site="s2") if r.element in "c0c1" else r, n, d) for r, n, d in given]
    fold = RiskFold(lambda _: Frame(under, known))
    edges = [0, *sorted({min(c, len(given)) for c in cuts}), len(given)]
    found = []
    for start, end in pairwise(edges):
        piece = given[start:end]
        proposing = [g for g in piece if g[0].action]
        decisions = batch([row for row, *_ in piece], first=start + 1)
        doubts = [n for _, n, _ in proposing], [d for _, _, d in proposing]
        fold.step(message(doubted(decisions, *doubts)))
        output = fold.take()
        assert output is not None
        found.append(decode_verdicts(output.data))
        state = fold.dump()
        fold = RiskFold(lambda _: Frame(under, known))
        fold.load(state)
    return found


@settings(max_examples=40, deadline=None)
@given(SIGNALS, STATES)
def test_all_at_once_is_the_same_as_one_by_one_with_restarts(
    rows: list[tuple[Row, float, float]], known: Calibration | None
) -> None:
    under = policy(*TWO, budgets=BUDGETS, autonomy="autonomous", baseline_acts=True)
    (whole,) = folded(rows, [], known, under)
    single = folded(rows, list(range(1, len(rows))), known, under)
    assert [r for part in single for r in readable(part)] == readable(whole)
    for name in ASSESSED:
        columns = [getattr(part.assessment, name) for part in single]
        np.testing.assert_array_equal(np.concatenate(columns), getattr(whole.assessment, name))


@settings(max_examples=60, deadline=None)
@given(SIGNALS, STATES, st.sampled_from(["notify", "hold"]))
def test_what_is_found_at_once_is_what_a_closer_look_says(
    rows: list[tuple[Row, float, float]], known: Calibration | None, unproven: str
) -> None:
    frame = Frame(policy(*TWO, unproven=unproven), known)
    proposing = [g for g in rows if g[0].action]
    given = doubted(
        batch([row for row, *_ in rows]), [g[1] for g in proposing], [g[2] for g in proposing]
    )
    proposals = propose(given, frame).proposals
    for proposal, found in zip(proposals, cleared_alone(proposals, frame), strict=True):
        rule = frame.policy.rules.get(proposal.action)
        looked = by_risk(proposal, rule, ALONE, frame, Caution()) if rule else None
        assert found == (looked if looked and looked.verdict in CLEARED else None)


# Whatever a policy adds, no more goes out without a person than the risk alone allows.
EXPOSED = {V.CLEAR: 2, V.NOTIFY: 2, V.REPLACE: 1}


@settings(max_examples=60, deadline=None)
@given(
    SIGNALS,
    st.sampled_from([None, FITTED]),
    st.fixed_dictionaries(
        {},
        optional={
            "boundaries": st.lists(
                st.sampled_from(
                    [
                        {"name": "a", "when": "element.labels.site == 's1'", "verdict": "hold"},
                        {"name": "b", "when": "decision.score > 0.5", "verdict": "deny"},
                    ]
                ),
                max_size=2,
                unique_by=lambda limit: limit["name"],
            ),
            "autonomy": st.sampled_from(["advisory", "supervised", "autonomous"]),
            "unproven": st.sampled_from(["notify", "hold"]),
            "budgets": st.sampled_from([{"actions_per_minute": 1}, BUDGETS]),
            "control_share": st.sampled_from([0, 0.5]),
            "baseline_acts": st.booleans(),
        },
    ),
    STATES,
)
def test_nothing_that_a_policy_or_a_proof_adds_ever_loosens_what_the_risk_alone_says(
    rows: list[tuple[Row, float, float]],
    known: Calibration | None,
    risk: dict[str, Any],
    proof: Calibration | None,
) -> None:
    cut = proof.cut_off if proof else None
    tightened = known.model_copy(update={"cut_off": cut}) if known else calibration(cut_off=cut)
    base, bound_by = policy(*TWO, baseline_acts=True), policy(*TWO, **risk)
    for row in rows[:10]:  # each by itself: what goes out for one row changes what may for the next
        (alone,) = folded([row], [], known, base)
        (further,) = folded([row], [], tightened, bound_by)
        free, bound = V(alone.verdict[0]), V(further.verdict[0])
        assert EXPOSED.get(bound, 0) <= EXPOSED.get(free, 0)
        assert free is not V.DENY or bound is V.DENY
        assert further.category[0] == alone.category[0]
        assert further.risk[0] == alone.risk[0]
