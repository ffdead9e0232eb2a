"""One partition of recorded decisions, judged again under a policy. Pure.

What is proposed follows from the recorded score and the policy's own thresholds. Novelty and
disagreement are as recorded, so they are unknown for rows that only the new thresholds propose; of a
multiclass target only the recorded class is known. The calibration is the newest one.
"""

from dataclasses import dataclass, replace

import numpy as np

from flyball_inference.propose import Rules, compile_rules
from flyball_proto.calibrations import Calibration
from flyball_proto.columns import F32, U8, Category, Column, Decisions, Doubts, Verdict, Verdicts
from flyball_proto.spec import Pipeline
from flyball_risk.capacity.allowances import allowance_of
from flyball_risk.judging.batches import Words, judge_batch
from flyball_risk.judging.facts import facts_of
from flyball_risk.judging.frame import Frame
from flyball_risk.judging.partition import Changes, Partition
from flyball_risk.judging.policy import policy_of
from flyball_risk.judging.proposals import Proposal, Ruling, propose
from flyball_risk.limits.boundaries import first_reached


@dataclass(frozen=True, slots=True)
class Ruled:
    """What became of one row; no verdict = nothing was proposed.

    `boundaries` are all that apply to it, whether they decide or not.
    """

    verdict: Verdict | None
    action: str = ""
    reason: str = ""
    boundaries: tuple[str, ...] = ()


NOTHING = Ruled(None)


class Again:
    """Judges the batches of one partition in order, from an empty state on.

    `learns` as in `Frame`: a stack's risk does.
    """

    def __init__(
        self,
        pipeline: Pipeline,
        calibration: Calibration | None = None,
        partition: int = 0,
        partitions: int = 1,
        *,
        learns: bool = False,
    ) -> None:
        spec, policy = pipeline.spec, policy_of(pipeline, 1)
        self._rules = compile_rules(spec.decisions, spec.target.classes)
        self._state = Partition()
        self._frame = Frame(
            policy,
            calibration=calibration and calibration.model_copy(update={"stepped_back": None}),
            allowance=allowance_of(policy.risk.budgets, partition, partitions),
            learns=learns,
        )

    def judge(self, recorded: Verdicts) -> list[Ruled]:
        """What each row gets, in their order."""
        decisions = proposed_again(recorded, self._rules)
        state, words = self._state, Words()
        judged = judge_batch(decisions, self._frame, state, words)
        if recorded.flow.tick_ms:
            state.tick(recorded.flow.tick_ms, self._frame.policy)
        state.changes = Changes()
        actions, reasons = ("", *words.actions), ("", *words.reasons)
        rows = [NOTHING] * len(decisions.rows)
        for i, proposal in propose(decisions, self._frame):
            ruling = Ruling(
                Verdict(int(judged.verdict[i])),
                Category(int(judged.category[i])),
                float(judged.risk[i]),
                actions[judged.action_index[i]],
                reasons[judged.reason_index[i]],
            )
            found = self._boundaries(proposal, ruling)
            rows[i] = Ruled(ruling.verdict, ruling.action, ruling.reason, found)
        return rows

    def _boundaries(self, proposal: Proposal, ruling: Ruling) -> tuple[str, ...]:
        policy = self._frame.policy
        if not policy.limits:
            return ()
        facts = facts_of(proposal, policy.rules[proposal.action], ruling)
        return tuple(limit.name for limit in policy.limits if first_reached([limit], facts))


def proposed_again(recorded: Verdicts, rules: Rules) -> Decisions:
    """The decisions behind verdicts, with the actions that these rules propose."""
    score, action = recorded.score, np.zeros(len(recorded.rows), U8)
    for step in rules.steps:
        meets = score >= step.threshold
        if rules.classes:
            meets &= recorded.class_index == step.place
        action[meets] = step.action
    was, found = np.flatnonzero(recorded.action_index), np.flatnonzero(action)
    seen = recorded.assessment
    doubts = Doubts(
        _of_rows(seen.novelty, was, found, len(score)),
        _of_rows(seen.disagreement, was, found, len(score)),
        np.empty((len(found), 0), F32),
    )
    return Decisions(
        recorded.pipeline,
        recorded.feature_digest,
        replace(recorded.flow, mark=None),
        recorded.rows,
        recorded.model,
        recorded.model_index,
        score,
        rules.actions,
        action,
        recorded.quality,
        recorded.class_name,
        recorded.class_index,
        doubts,
    )


def recorded_rulings(recorded: Verdicts) -> list[Ruled]:
    """What the rows got when they came in."""
    actions, reasons = ("", *recorded.action), ("", *recorded.reason)
    return [
        Ruled(Verdict(verdict), actions[action], reasons[reason]) if action else NOTHING
        for verdict, action, reason in zip(
            recorded.verdict.tolist(),
            recorded.action_index.tolist(),
            recorded.reason_index.tolist(),
            strict=True,
        )
    ]


def _of_rows(column: Column, was: Column, found: Column, n: int) -> Column:
    """A column of the recorded proposals for those found now; NaN = not known."""
    whole = np.full(n, np.nan, F32)
    if len(column):
        whole[was] = column
    return whole[found]
