"""What the fold passes on, and what the dispatch makes of committed verdicts."""

import json
from dataclasses import replace

import numpy as np
from tests.unit.risk_rows import BASELINE, LEARNT, Row, batch, message, pipeline, policy

from flyball_kit.fold import Input
from flyball_proto.columns import (
    U8,
    U32,
    U64,
    Decisions,
    Skipped,
    SkipReason,
    Verdict,
    decode_verdicts,
    encode_decisions,
)
from flyball_proto.events import Action
from flyball_proto.headers import COVERS
from flyball_proto.streams import BATCH_BYTES
from flyball_risk.fold import RiskFold
from flyball_risk.judging.batches import ANY_REASON, Words
from flyball_risk.judging.frame import Frame
from flyball_risk.judging.policy import policy_of
from flyball_risk.sending.dispatch import route


def new_fold(**risk: object) -> RiskFold:
    given = policy(**risk)
    return RiskFold(lambda _: Frame(given))


def with_skipped(decisions: Decisions, sequence: int) -> Decisions:
    skipped = Skipped(
        np.array([sequence], U64),
        np.array([3], U32),
        np.array([SkipReason.QUARANTINED], U8),
        ("not-json",),
    )
    return replace(decisions, flow=replace(decisions.flow, skipped=skipped))


def test_the_flow_passes_through_and_gains_the_policy_s_revision() -> None:
    fold = new_fold()
    assert not fold.step(message(with_skipped(batch([Row("a")], first=5), 4)))
    assert not fold.step(message(batch([], tick_ms=99)))
    assert fold.step(message(batch([Row("b"), Row("a")], first=6, mark="m-1")))
    output = fold.take()
    assert output is not None
    assert output.mark == "m-1"
    assert output.rows == 3
    assert output.headers[COVERS] == "hub.METRICS 5 7"
    flow = decode_verdicts(output.data).flow
    assert (flow.first, flow.last, flow.tick_ms) == (5, 7, 99)
    assert flow.mark is not None
    assert flow.mark.id == "m-1"
    assert flow.revisions == {"pipeline": 2, "policy": 7}
    assert flow.skipped.sequence.tolist() == [4]
    assert flow.skipped.detail == ("not-json",)
    assert fold.take() is None


def test_identity_score_and_model_of_every_row_stay_as_they_are_over_merged_batches() -> None:
    fold = new_fold(baseline_acts=True)
    fold.step(message(batch([Row("a", 1, 0.91), Row("b", 2, 0.2, None)])))
    fold.step(message(batch([Row("b", 3, 0.7, "offload", model=BASELINE)], first=3)))
    output = fold.take()
    assert output is not None
    found = decode_verdicts(output.data)
    assert [found.rows.element[i] for i in found.rows.element_index] == ["a", "b", "b"]
    assert found.rows.sequence.tolist() == [1, 2, 3]
    assert found.rows.time_ms.tolist() == [1, 2, 3]
    assert found.score.tolist() == [0.91, 0.2, 0.7]
    assert [found.model[i] for i in found.model_index] == [LEARNT, LEARNT, BASELINE]


def test_an_output_is_cut_when_it_is_large_enough() -> None:
    fold = new_fold()
    rows = [Row(f"cell-{i}", action=None) for i in range(500)]
    steps = 0
    while not fold.step(message(batch(rows, first=1 + 500 * steps))):
        steps += 1
    output = fold.take()
    assert output is not None
    assert BATCH_BYTES / 2 < len(output.data) < BATCH_BYTES * 1.5


def test_a_changed_policy_counts_from_the_next_output_on() -> None:
    revision = iter([1, 1, 2])
    fold = RiskFold(lambda _: Frame(policy_of(pipeline(), next(revision))))
    for expected in (1, 2):
        fold.step(message(batch([Row()])))
        fold.step(message(batch([Row()])))
        output = fold.take()
        assert output is not None
        assert decode_verdicts(output.data).flow.revisions["policy"] == expected


def test_too_many_reasons_share_one() -> None:
    words = Words()
    indices = {words.reason(f"reason {i}") for i in range(70_000)}
    assert max(indices) <= 65_001
    assert ANY_REASON in words.reasons


def committed(fold: RiskFold) -> Input:
    output = fold.take()
    assert output is not None
    return Input(9, 0, "verdicts.congestion.0", dict(output.headers), output.data)


def test_only_verdicts_that_let_an_action_through_become_actions() -> None:
    fold = new_fold()
    rows = [
        Row("clear", 1, 0.95),
        Row("told", 2, 0.5),
        Row("clear", 3, 0.95),  # capped
        Row("quiet", 4, 0.1, None),
        Row("advised", 5, 0.95, model=BASELINE),
    ]
    fold.step(message(batch(rows, first=11)))
    sent = route(committed(fold))
    assert [(d.subject, d.key) for d in sent] == [
        ("actions.congestion.clear", (9, 0)),
        ("actions.congestion.told", (9, 1)),
    ]
    action = Action.model_validate_json(sent[1].data)
    assert action.model_dump(exclude={"risk"}) == {
        "version": 1,
        "pipeline": "congestion",
        "element": "told",
        "action": "offload",
        "decision": "congestion.12.0",
        "time_ms": 2,
        "verdict": "notify",
        "category": "medium",
        "score": 0.5,
        "model": LEARNT.digest,
        "epoch": 3,
    }
    assert action.risk == 0.075


def test_a_replaced_decision_sends_the_fallback() -> None:
    given = policy(
        {"action": "offload", "score_at_least": 0.1, "severity": "high", "reversible": False},
        autonomy="autonomous",
        fallback="reset",
    )
    fold = RiskFold(lambda _: Frame(given))
    fold.step(message(batch([Row(score=0.7)])))
    (sent,) = route(committed(fold))
    assert json.loads(sent.data)["action"] == "reset"
    assert json.loads(sent.data)["verdict"] == Verdict.REPLACE.name.lower()


def test_a_claim_dispatches_nothing() -> None:
    assert route(Input(1, 0, "verdicts.congestion.0", {}, b"")) == []


def test_a_row_of_another_batch_size_is_judged_alike() -> None:
    one, many = new_fold(), new_fold()
    rows = [Row(f"cell-{i}", i, 0.5 + i / 100) for i in range(40)]
    many.step(message(batch(rows)))
    outputs = []
    for i, row in enumerate(rows):
        one.step(Input(i, 0, "", None, encode_decisions(batch([row], first=i + 1))))
        outputs.append(one.take())
    found = decode_verdicts(committed(many).data)
    each = [decode_verdicts(o.data) for o in outputs if o]
    assert found.verdict.tolist() == [int(v.verdict[0]) for v in each]
    assert found.risk.tolist() == [float(v.risk[0]) for v in each]
