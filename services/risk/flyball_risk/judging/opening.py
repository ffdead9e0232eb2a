"""A row begins to wait for a person: what waits, and what the person needs to see beside it. Pure."""

from typing import Final

import numpy as np

from flyball_proto.columns import Context, Decisions, Neighbour, Waiting
from flyball_risk.holding.approvals import people_needed
from flyball_risk.holding.history import signals_of
from flyball_risk.judging.facts import kept
from flyball_risk.judging.partition import Partition
from flyball_risk.judging.policy import Policy
from flyball_risk.judging.proposals import Proposal, Ruling

MAX_NEIGHBOURS: Final = 8
SIGNALS: Final = ("error", "confidence", "credibility", "novelty", "disagreement", "age_ms")
"""What a person is shown of what was found about a proposal."""
MAX_TOLD: Final = 500
"""Holds of one output with neighbours and history; of further ones only features and signals."""
MAX_SAID: Final = 2_000
"""Holds of one output with anything beside them, so that an output fits a message."""


def waiting_of(
    batch: Decisions,
    i: int,
    proposal: Proposal,
    ruling: Ruling,
    policy: Policy,
    clock_ms: int,
    stored_ms: int,
) -> Waiting:
    """The hold of row `i`."""
    is_critical = policy.rules[proposal.action].is_critical
    return Waiting(
        decision=f"{policy.pipeline}.{batch.rows.sequence[i]}.{batch.rows.sample[i]}",
        element=proposal.element,
        label_set=proposal.label_set,
        action=ruling.action,
        score=proposal.score,
        risk=ruling.risk,
        category=int(ruling.category),
        reason=ruling.reason,
        model=batch.model[int(batch.model_index[i])],
        time_ms=proposal.time_ms,
        expires_ms=clock_ms + policy.hold_expires_ms,
        opened_ms=stored_ms,
        approvals=people_needed(policy.approvals, ruling.category, is_critical=is_critical),
        fact_set=kept(proposal, ruling, policy),
    )


def context_of(
    batch: Decisions, i: int, proposal: Proposal, hold: Waiting, partition: Partition
) -> Context:
    """What is known beside the hold of row `i`, before this row counts in it.

    Neighbours are known only where a budget of groups is configured: nobody else counts groups.
    """
    doubts = batch.doubts
    p = int(np.count_nonzero(batch.action_index[:i]))
    signals = signals_of({name: getattr(proposal, name) for name in SIGNALS})
    feature = tuple(doubts.feature[p].tolist()) if len(doubts.feature) else ()
    if len(partition.changes.context) >= MAX_SAID:
        return Context(hold.decision)
    if len(partition.changes.context) >= MAX_TOLD:
        return Context(hold.decision, feature, signals)
    near = partition.recent.neighbours(hold.element, hold.label_set, MAX_NEIGHBOURS)
    return Context(
        decision=hold.decision,
        feature=feature,
        signal=signals,
        neighbour=tuple(
            Neighbour(element, f"{label}={value}", time_ms)
            for element, (label, value), time_ms in near
        ),
        history=partition.history.lines(hold.element),
    )
