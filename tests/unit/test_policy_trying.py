"""A changed policy on recorded decisions: what would change, and whether anything gets looser."""

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.unit.risk_rows import Row, batch, judged, message, pipeline

from flyball_local.trying.again import NOTHING, Again, Ruled, recorded_rulings
from flyball_local.trying.comparing import MAX_EXAMPLES, Comparison, keeps_budgets, looser_settings
from flyball_local.trying.comparing import Row as Compared
from flyball_local.trying.telling import (
    boundary_rows,
    comparison_lines,
    ending_lines,
    example_lines,
    move_rows,
    policy_lines,
)
from flyball_proto.columns import F32, Doubts, Verdict, Verdicts, decode_verdicts
from flyball_proto.spec import Pipeline
from flyball_risk.fold import RiskFold
from flyball_risk.judging.frame import Frame
from flyball_risk.judging.policy import policy_digest, policy_of

HOSPITAL = {"name": "hospital", "verdict": "hold", "when": 'element.labels.site == "hospital"'}
PROVEN = (
    "errors among cleared decisions: at most 5 %, with confidence 0.95; while that is not proven: "
    "notify"
)
ROWS = [
    Row("cell-1", 0),
    Row("cell-2", 1000, site="hospital"),
    Row("cell-3", 2000, score=0.7),
    Row("cell-1", 3000),  # within its cool-down
    Row("cell-4", 4000, score=0.2, action=None),
]


def recorded(rows: list[Row] = ROWS, under: Pipeline | None = None) -> Verdicts:
    return judged(rows, policy_of(under or pipeline(), 1))


def compared(
    after: Pipeline, before: Pipeline | None = None, rows: list[Row] | None = None
) -> Comparison:
    before = before or pipeline()
    found = recorded(rows or ROWS, before)
    comparison = Comparison(
        keeps_budgets(before, after), len(found.rows), settings=looser_settings(before, after)
    )
    ruled = zip(
        recorded_rulings(found), Again(before).judge(found), Again(after).judge(found), strict=True
    )
    for i, (was, old, new) in enumerate(ruled):
        if old is NOTHING and new is NOTHING:
            continue
        element = found.rows.element[found.rows.element_index[i]]
        time_ms, score = int(found.rows.time_ms[i]), float(found.score[i])
        comparison.add(Compared(f"congestion.{i}.0", element, time_ms, score, was, old, new))
    return comparison


def test_the_policy_in_force_gives_every_row_the_verdict_that_is_recorded() -> None:
    found = compared(pipeline())
    assert (found.rows, found.proposals, found.as_recorded) == (5, 4, 4)
    assert (found.changed, found.looser, found.tighter, found.is_looser) == (0, 0, 0, False)


def test_judging_again_goes_on_from_batch_to_batch() -> None:
    under = policy_of(pipeline(), 1)
    fold, again = RiskFold(lambda _: Frame(under)), Again(pipeline())
    for n, row in enumerate([Row(time_ms=0), Row(time_ms=1000), Row(time_ms=61_000)]):
        fold.step(message(batch([row], first=n + 1), n + 1))
        output = fold.take()
        assert output is not None
        was = decode_verdicts(output.data)
        assert again.judge(was) == recorded_rulings(was)
        assert was.verdict.tolist() == [Verdict.CAP if n == 1 else Verdict.CLEAR]


def test_a_new_boundary_shows_which_rows_it_tightens_and_nothing_gets_looser() -> None:
    after = pipeline(boundaries=[HOSPITAL])
    found = compared(after)
    assert (found.changed, found.tighter, found.is_looser) == (1, 1, False)
    assert move_rows(found) == [
        ["clear", "hold", "1", ""],
        ["clear", "clear", "2", "as before"],
        ["cap", "cap", "1", "as before"],
    ]
    assert boundary_rows(found, pipeline(), after) == [
        ["hospital", "hold", "new", "1", 'element.labels.site == "hospital"']
    ]
    (example,) = found.examples()
    assert list(example_lines(found, example)) == [
        "congestion.1.0  cell-2  0.950: clear → hold",
        "    before: offload: negligible risk (medium severity, reversible)",
        "    after: offload: boundary hospital applies: waits for a person",
    ]
    assert list(ending_lines(found))[-1] == "nothing would become looser"


def test_a_boundary_that_is_taken_away_makes_rows_looser() -> None:
    found = compared(pipeline(), pipeline(boundaries=[HOSPITAL]))
    assert (found.looser, found.is_looser) == (1, True)
    assert next(example_lines(found, found.examples()[0])).endswith("hold → clear, LOOSER")
    assert boundary_rows(found, pipeline(boundaries=[HOSPITAL]), pipeline())[0][2:4] == [
        "1",
        "removed",
    ]


def rule(threshold: float, **given: Any) -> dict[str, Any]:
    return {"action": "offload", "score_at_least": threshold, "cooldown": "60s"} | given


@pytest.mark.parametrize(
    ("before", "after", "move", "looser"),
    [
        (pipeline(), pipeline(rule(0.1)), ("nothing", "notify offload"), True),
        (pipeline(rule(0.1)), pipeline(), ("notify offload", "nothing"), False),
        (pipeline(), pipeline(autonomy="advisory"), ("clear", "advise"), False),
        (pipeline(), pipeline(rule(0.5, cooldown="1s")), ("cap", "clear"), True),
        (
            pipeline(),
            pipeline(rule(0.5, severity="critical", reversible=False)),
            ("clear", "deny"),
            None,
        ),
        (pipeline(), pipeline(rule(0.5, action="reset")), ("clear offload", "clear reset"), True),
        (
            pipeline(rule(0.5, severity="critical")),
            pipeline(rule(0.5, severity="critical"), autonomy="autonomous", fallback="reset"),
            ("hold offload", "replace reset"),
            True,
        ),
    ],
)
def test_what_goes_out_more_easily_than_before_is_looser(
    before: Pipeline, after: Pipeline, move: tuple[str, str], looser: bool | None
) -> None:
    found = compared(after, before)
    if looser is None:
        assert found.tighter > 0
        assert found.looser == 0
        return
    assert found.moves[move] >= 1
    assert found.is_looser == looser


@pytest.mark.parametrize(
    ("risk", "words"),
    [
        ({"hold": {"approvals": 1}}, "risk.hold.approvals: 2 → 1"),
        ({"max_error": 0.1}, "risk.max_error: 0.05 → 0.1"),
        ({"confidence": 0.9}, "risk.confidence: 0.95 → 0.9"),
        ({"breaker": {"enabled": False}}, "risk.breaker.enabled: true → false"),
    ],
)
def test_a_setting_that_rows_cannot_tell_apart_counts_as_looser(
    risk: dict[str, Any], words: str
) -> None:
    strict: dict[str, Any] = {"hold": {"approvals": 2}}
    after = pipeline(**(strict | risk))
    found = compared(after, pipeline(**strict))
    assert found.settings == (words,)
    assert found.is_looser
    assert compared(pipeline(**strict), after).settings == ()


def test_signals_are_as_recorded_and_unknown_for_rows_that_are_newly_proposed() -> None:
    rows = [Row("cell-1"), Row("cell-2", score=0.45, action=None), Row("cell-3")]
    under = policy_of(pipeline(), 1)
    fold = RiskFold(lambda _: Frame(under))
    doubts = Doubts(np.array([0.01, 0.9], F32), np.zeros(2, F32), np.empty((2, 0), F32))
    fold.step(message(replace(batch(rows), doubts=doubts)))
    output = fold.take()
    assert output is not None
    far = {"name": "far", "verdict": "deny", "when": "decision.novelty < 0.05"}
    found = Again(pipeline(rule(0.4), boundaries=[far])).judge(decode_verdicts(output.data))
    assert [ruled.verdict for ruled in found] == [Verdict.DENY, Verdict.DENY, Verdict.CLEAR]
    assert found[0].reason == "offload: boundary far applies: denied"
    assert "decision.novelty is not known" in found[1].reason
    assert found[0].boundaries == ("far",)


BUDGETS: dict[str, Any] = {"actions_per_minute": 1}


def test_what_goes_out_only_in_the_room_that_tighter_rows_leave_is_not_looser() -> None:
    rows = [Row("cell-1", 0, site="hospital"), Row("cell-2", 1000)]
    before = pipeline(budgets=BUDGETS)
    found = compared(pipeline(budgets=BUDGETS, boundaries=[HOSPITAL]), before, rows)
    assert (found.room, found.looser, found.tighter, found.is_looser) == (1, 0, 1, False)
    assert "1 go out in the room that tighter ones leave in budgets" in comparison_lines(found)
    wider = compared(pipeline(budgets={"actions_per_minute": 2}), before, rows)
    assert (wider.room, wider.looser) == (0, 1)


@pytest.mark.parametrize(
    "wider",
    [
        pipeline(budgets={"actions_per_minute": 31}),
        pipeline(budgets={"window": "9min"}),
        pipeline(rule(0.5, cooldown="59s")),
    ],
)
def test_a_cool_down_or_budget_that_gets_wider_is_seen(wider: Pipeline) -> None:
    assert not keeps_budgets(pipeline(), wider)
    assert keeps_budgets(wider, pipeline())
    narrow = pipeline(budgets={"per_action": {"offload": 1}, "elements_per_label": {"site": 0.1}})
    assert not keeps_budgets(narrow, pipeline())
    assert keeps_budgets(pipeline(), narrow)


def test_of_every_kind_of_change_there_are_examples_and_the_looser_come_first() -> None:
    found = Comparison()
    clear, hold, deny = (Ruled(v, "x", "why") for v in (Verdict.CLEAR, Verdict.HOLD, Verdict.DENY))
    for i in range(50):
        old, new = (clear, deny) if i % 3 else (hold, clear)
        found.add(Compared(f"p.{i}.0", "e", i, 0.5, old, old, new))
    examples = found.examples()
    assert len(examples) == MAX_EXAMPLES
    assert [row.is_looser for row in examples[:4]] == [True, False, True, False]
    assert (found.looser, found.tighter, found.changed) == (17, 33, 50)
    assert len(found.as_json()["examples"]) == MAX_EXAMPLES


def test_without_a_proposal_there_is_nothing_to_compare_and_it_says_so() -> None:
    found = Comparison(rows=7)
    assert list(comparison_lines(found)) == [
        "7 recorded rows, and neither policy proposes anything for them"
    ]
    assert not found.is_looser


def test_a_policy_is_told_in_words_with_the_hash_that_verdicts_name() -> None:
    spec = pipeline(
        rule(0.8, severity="high", reversible=False),
        boundaries=[HOSPITAL, {"name": "never", "verdict": "deny", "when": "true"}],
        budgets={"elements_per_label": {"site": 0.2}, "per_action": {"offload": 3}},
        hold={"approvals": 2},
    )
    assert list(policy_lines(spec)) == [
        f"congestion: policy {policy_digest(spec)}",
        "autonomy supervised, what is of high risk waits for a person",
        "offload from a score of 0.8 on: high severity, irreversible, again after 1min",
        PROVEN,
        "withheld at random: 0 % of what is of low and medium severity",
        "at most 30 actions a minute",
        "at most 3 offload a minute",
        "at most 20 % of the elements of a site within 10min",
        "a hold expires after 2min, 2 people must agree",
        "boundary never: deny when true",
        'boundary hospital: hold when element.labels.site == "hospital"',
    ]
    assert recorded(under=spec).policy_hash == policy_digest(spec)
