"""What boundaries may see of a proposal, and of one that waits for a person. Pure."""

import json

from flyball_proto.columns import Category, Waiting
from flyball_risk.judging.policy import Policy, Rule
from flyball_risk.judging.proposals import Proposal, Ruling
from flyball_risk.judging.recent import labels_of
from flyball_risk.limits.facts import Facts, fact_set

NAMES = tuple(category.name.lower() for category in Category)


def facts_of(proposal: Proposal, rule: Rule, ruling: Ruling) -> Facts:
    """Of a row, with its risk."""
    return Facts(
        proposal.element,
        proposal.label_set,
        labels_of(proposal.label_set),
        proposal.action,
        rule.parameter,
        rule.severity,
        proposal.score,
        ruling.risk,
        NAMES[ruling.category],
        proposal.time_ms,
        proposal.trainer,
        proposal.stage,
        proposal.age_ms,
        proposal.class_name,
        proposal.error,
        proposal.confidence,
        proposal.credibility,
        proposal.novelty,
        proposal.disagreement,
        proposal.quality,
    )


def facts_of_hold(hold: Waiting, rule: Rule, clock_ms: int) -> Facts:
    """Of a hold that is approved when event time is `clock_ms`, with what it kept when it opened."""
    model = hold.model
    return Facts(
        hold.element,
        hold.label_set,
        labels_of(hold.label_set),
        hold.action,
        rule.parameter,
        rule.severity,
        hold.score,
        hold.risk,
        NAMES[hold.category],
        clock_ms,
        model.trainer,
        model.stage,
        float(clock_ms - model.trained_ms) if model.trained_ms else float("nan"),
        **(json.loads(hold.fact_set) if hold.fact_set else {}),
    )


def kept(proposal: Proposal, ruling: Ruling, policy: Policy) -> str:
    """What a hold of it must keep, so that the policy's boundaries can be asked again; often nothing."""
    if not policy.limits:
        return ""
    paths = {path for limit in policy.limits for path in limit.paths}
    return fact_set(paths, facts_of(proposal, policy.rules[proposal.action], ruling))
