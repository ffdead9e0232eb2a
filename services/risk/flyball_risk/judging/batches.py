"""Judges the rows of one batch in order: columns at once, proposals one by one. Pure.

Rows that propose nothing are negligible and clear, and cost next to nothing. What does not depend
on the state is found for all proposals at once, see `proposals`.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from flyball_proto.columns import (
    ASSESSED,
    DISPATCHED,
    F32,
    F64,
    U8,
    U16,
    U32,
    Assessment,
    Column,
    Decisions,
    Flow,
    Model,
    Rows,
    Verdict,
    Verdicts,
)
from flyball_proto.merge import merge_classes, merge_flows, merge_rows
from flyball_risk.judging.budgets import record
from flyball_risk.judging.frame import Frame
from flyball_risk.judging.ladder import judge
from flyball_risk.judging.opening import context_of, waiting_of
from flyball_risk.judging.partition import Changes, Partition
from flyball_risk.judging.policy import Policy
from flyball_risk.judging.proposals import Proposal, Proposals, Ruling, homes_of, propose
from flyball_risk.judging.recent import Recent
from flyball_risk.judging.rungs import cleared_alone

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
    assessment: Assessment
    """Of the rows that propose an action."""


def judge_batch(
    batch: Decisions, frame: Frame, partition: Partition, words: Words, stored_ms: int = 0
) -> Judged:
    """Judge all rows in order; `partition` learns what is dispatched and what begins to wait.

    `stored_ms` is when the batch was stored.
    """
    n, before, recent = len(batch.rows), partition.changes.rows, partition.recent
    policy = frame.policy
    partition.breaker.hear(frame.labelled_ms)
    models = np.array([words.models.setdefault(m, len(words.models)) for m in batch.model], U8)
    proposed, rulings = propose(batch, frame), list[Ruling]()
    recent.group_by(policy.group_share)
    arrivals = _arrivals(batch, proposed.homes, recent) if policy.group_share else []
    clock_ms = partition.clock.along(batch.rows, recent.clock_ms).tolist()
    for (i, proposal), first in zip(proposed, _alone(proposed, frame), strict=True):
        if arrivals:
            _meet_until(recent, arrivals, i)
        partition.advance(clock_ms[i], policy, before + i)
        ruling = judge(proposal, frame, partition, first)
        partition.breaker.note(ruling.verdict)
        if ruling.verdict in DISPATCHED:
            record(ruling.action, proposal, policy.rules[proposal.action], frame, recent)
        elif ruling.verdict is Verdict.HOLD:
            _hold(batch, i, proposal, ruling, policy, partition, stored_ms)
        partition.history.note(
            proposal.element, proposal.time_ms, ruling.action, proposal.score, ruling.verdict
        )
        rulings.append(ruling)
    if n:
        _meet_until(recent, arrivals, n)
        partition.advance(clock_ms[-1], policy, before + n)
        partition.changes.rows += n
    return _judged(batch, models[batch.model_index], proposed, rulings, words)


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
        Assessment(
            *(_joined([getattr(p.assessment, name) for p in parts], F32) for name in ASSESSED)
        ),
        context=tuple(changes.context),
        turned=tuple(changes.turned),
    )


def _alone(proposed: Proposals, frame: Frame) -> list[Ruling | None]:
    """See `cleared_alone`; where groups are counted hardly any element is alone."""
    if frame.policy.group_share:
        return [None] * len(proposed.proposals)
    return cleared_alone(proposed.proposals, frame)


def _judged(
    batch: Decisions, models: Column, proposed: Proposals, rulings: list[Ruling], words: Words
) -> Judged:
    n, rows = len(batch.rows), proposed.rows
    fields = zip(*rulings, strict=True) if rulings else [()] * len(Ruling._fields)
    verdict, category, risk, action, reason, impact = fields
    actions = {said: words.action(said) for said in dict.fromkeys(action)}
    reasons = {said: words.reason(said) for said in dict.fromkeys(reason)}
    return Judged(
        batch,
        models,
        _column(n, U8, rows, [actions[said] for said in action]),
        _column(n, U8, rows, list(map(int, verdict))),
        _column(n, U8, rows, list(map(int, category))),
        _column(n, F64, rows, risk),
        _column(n, U16, rows, [reasons[said] for said in reason]),
        proposed.assessment(impact),
    )


def _arrivals(batch: Decisions, homes: list[str], recent: Recent) -> list[tuple[int, str, str]]:
    """(first row, element, label set) of elements not met yet under these labels, last first.

    Group sizes grow row by row.
    """
    rows, homes = batch.rows, homes or homes_of(batch)
    elements, first = np.unique(np.asarray(rows.element_index, U32), return_index=True)
    found = [
        (row, rows.element[element], homes[element])
        for row, element in zip(first.tolist(), elements.tolist(), strict=True)
        if not recent.is_at(rows.element[element], homes[element])
    ]
    return sorted(found, reverse=True)


def _meet_until(recent: Recent, arrivals: list[tuple[int, str, str]], last: int) -> None:
    """Meet the elements whose first row is at or before `last`."""
    while arrivals and arrivals[-1][0] <= last:
        _, element, label_set = arrivals.pop()
        recent.meet(element, label_set)


def _column(n: int, dtype: np.dtype[Any], rows: list[int], values: Sequence[float]) -> Column:
    """A column of all rows; those that propose nothing have 0: clear, negligible, no reason."""
    column = np.zeros(n, dtype)
    column[rows] = values
    return column


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
    partition.open(hold, context_of(batch, i, proposal, hold, partition), policy)
