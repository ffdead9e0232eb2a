"""Judges the rows of one batch in order: columns at once, proposals one by one. Pure.

Rows that propose nothing are negligible and clear, and cost next to nothing.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from flyball_proto.columns import (
    DISPATCHED,
    F64,
    U8,
    U16,
    U32,
    Column,
    Decisions,
    Flow,
    Model,
    Rows,
    Verdict,
    Verdicts,
)
from flyball_proto.merge import merge_classes, merge_flows, merge_rows
from flyball_risk.capacity.claims import Claim
from flyball_risk.holding.opening import context_of, waiting_of
from flyball_risk.judging.frame import Frame
from flyball_risk.judging.ladder import Proposal, Ruling, error_probability, judge
from flyball_risk.judging.partition import Changes, Partition
from flyball_risk.judging.policy import Policy
from flyball_risk.judging.recent import Recent

MAX_REASONS = 65_000
"""Distinct reasons of an output; further ones share `ANY_REASON`."""
ANY_REASON = "see the verdict and the category: this batch has too many different reasons"


@dataclass(slots=True)
class Words:
    """Dictionaries of one output: what its index columns point into."""

    models: dict[Model, int] = field(default_factory=dict)
    actions: dict[str, int] = field(default_factory=dict)
    reasons: dict[str, int] = field(default_factory=dict)

    def action(self, name: str) -> int:
        """Index column's value for an action; 0 is none."""
        return self.actions.setdefault(name, len(self.actions)) + 1

    def reason(self, text: str) -> int:
        """Index column's value for a reason; 0 is none."""
        if len(self.reasons) >= MAX_REASONS and text not in self.reasons:
            text = ANY_REASON
        return self.reasons.setdefault(text, len(self.reasons)) + 1


@dataclass(frozen=True, slots=True)
class Judged:
    """One input batch and its new columns, n entries each."""

    batch: Decisions
    model_index: Column
    action_index: Column
    verdict: Column
    category: Column
    risk: Column
    reason_index: Column


def judge_batch(
    batch: Decisions, frame: Frame, partition: Partition, words: Words, stored_ms: int = 0
) -> Judged:
    """Judge all rows in order; `partition` learns what is dispatched and what begins to wait.

    `stored_ms` is when the batch was stored.
    """
    n, before, recent = len(batch.rows), partition.changes.rows, partition.recent
    policy = frame.policy
    actions = np.array([0, *(words.action(a) for a in batch.action)], U8)
    models = np.array([words.models.setdefault(m, len(words.models)) for m in batch.model], U8)
    judged = Judged(
        batch,
        models[batch.model_index],
        actions[batch.action_index],
        np.zeros(n, U8),
        np.zeros(n, U8),
        np.zeros(n, F64),
        np.zeros(n, U16),
    )
    arrivals = _arrivals(batch.rows) if policy.group_share else None
    recent.group_by(policy.group_share)
    for i, now_ms, proposal in _proposals(batch, policy):
        _meet_until(recent, arrivals, batch.rows, i)
        partition.advance(now_ms, policy, before + i)
        ruling = judge(proposal, frame, partition)
        partition.breaker.note(ruling.verdict)
        if ruling.verdict in DISPATCHED:
            record(proposal, ruling.action, frame, partition)
        elif ruling.verdict is Verdict.HOLD:
            _hold(batch, i, proposal, ruling, policy, partition, stored_ms)
        partition.history.note(
            proposal.element, proposal.time_ms, ruling.action, proposal.score, ruling.verdict
        )
        _write(judged, i, ruling, words)
    if n:
        _meet_until(recent, arrivals, batch.rows, n)
        partition.advance(int(batch.rows.time_ms.max()), policy, before + n)
        partition.changes.rows += n
    return judged


def record(proposal: Proposal, action: str, frame: Frame, partition: Partition) -> None:
    """An action goes out: cool-downs, budgets, groups and the claim on its parameter begin."""
    policy = frame.policy
    rule = policy.rules[proposal.action]
    partition.recent.record(
        proposal.element, proposal.label_set, action, proposal.time_ms, rule.cooldown_ms
    )
    until_ms = proposal.time_ms + (policy.lease_ms or rule.cooldown_ms)
    claim = Claim(policy.pipeline, policy.priority, action, until_ms)
    frame.claims.take(proposal.element, rule.parameter, claim)


def assemble(
    parts: Sequence[Judged], words: Words, frame: Frame, stop_revision: int, changes: Changes
) -> Verdicts:
    """One output of everything judged since the last one, in order; of changes alone it has no rows."""
    revisions = frame.revisions | ({"stop": stop_revision} if stop_revision else {})
    flow = merge_flows([p.batch.flow for p in parts] or [Flow()])
    newest = parts[-1].batch if parts else None
    class_name, class_index = merge_classes([p.batch for p in parts])
    return Verdicts(
        frame.policy.pipeline,
        newest.feature_digest if newest else "",
        replace(flow, revisions={**flow.revisions, **revisions}),
        merge_rows([p.batch.rows for p in parts] or [Rows.none()]),
        tuple(words.models),
        _joined([p.model_index for p in parts], U8),
        _joined([p.batch.score for p in parts], F64),
        tuple(words.actions),
        _joined([p.action_index for p in parts], U8),
        _joined([p.batch.quality for p in parts], U8),
        _joined([p.verdict for p in parts], U8),
        _joined([p.category for p in parts], U8),
        _joined([p.risk for p in parts], F64),
        tuple(words.reasons),
        _joined([p.reason_index for p in parts], U16),
        tuple(changes.opened),
        tuple(changes.released),
        tuple(changes.answered),
        class_name,
        class_index,
        frame.policy.digest,
        context=tuple(changes.context),
        turned=tuple(changes.turned),
    )


def _proposals(batch: Decisions, policy: Policy) -> Iterator[tuple[int, int, Proposal]]:
    """Rows that propose an action: their index, the clock there, what they propose."""
    proposing = np.flatnonzero(batch.action_index)
    if not len(proposing):
        return
    rows, score, quality = batch.rows, batch.score[proposing], batch.quality[proposing]
    clock_ms = np.maximum.accumulate(rows.time_ms)[proposing].tolist()
    error = error_probability(score, quality, is_probability=policy.is_probability).tolist()
    label_sets = [rows.label_set[i] for i in rows.label_index.tolist()]
    for at, i in enumerate(proposing.tolist()):
        element = int(rows.element_index[i])
        yield (
            i,
            clock_ms[at],
            Proposal(
                element=rows.element[element],
                label_set=label_sets[element],
                time_ms=int(rows.time_ms[i]),
                action=batch.action[int(batch.action_index[i]) - 1],
                score=float(score[at]),
                error=error[at],
                quality=int(quality[at]),
                trainer=batch.model[int(batch.model_index[i])].trainer,
            ),
        )


def _write(judged: Judged, i: int, ruling: Ruling, words: Words) -> None:
    judged.action_index[i] = words.action(ruling.action)
    judged.verdict[i] = ruling.verdict
    judged.category[i] = ruling.category
    judged.risk[i] = ruling.risk
    judged.reason_index[i] = words.reason(ruling.reason)


def _arrivals(rows: Rows) -> list[tuple[int, int]]:
    """(first row, element) of every element, last first: group sizes grow row by row."""
    elements, first = np.unique(np.asarray(rows.element_index, U32), return_index=True)
    return sorted(zip(first.tolist(), elements.tolist(), strict=True), reverse=True)


def _meet_until(
    recent: Recent, arrivals: list[tuple[int, int]] | None, rows: Rows, last: int
) -> None:
    """Meet the elements whose first row is at or before `last`."""
    while arrivals and arrivals[-1][0] <= last:
        element = arrivals.pop()[1]
        recent.meet(rows.element[element], rows.label_set[rows.label_index[element]])


def _joined(columns: Sequence[Column], dtype: np.dtype[Any]) -> Column:
    if not columns:
        return np.empty(0, dtype)
    return columns[0] if len(columns) == 1 else np.concatenate(columns)


def _hold(
    batch: Decisions,
    i: int,
    proposal: Proposal,
    ruling: Ruling,
    policy: Policy,
    partition: Partition,
    stored_ms: int,
) -> None:
    """Let a row wait for a person, unless its element and action do already."""
    if partition.holds.is_waiting((proposal.element, ruling.action)):
        return
    clock_ms = partition.recent.clock_ms
    hold = waiting_of(batch, i, proposal, ruling, policy, clock_ms, stored_ms)
    partition.open(hold, context_of(batch, i, hold, partition), policy)
