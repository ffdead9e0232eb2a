"""What a pipeline's specification says about risk, made ready for judging. Pure."""

import json
from collections.abc import Mapping
from dataclasses import dataclass, replace
from hashlib import sha256
from typing import Literal

from flyball_proto.spec import Decision, Pipeline, Risk
from flyball_risk.judging.control import DEFAULT_KEY, SEVERITIES
from flyball_risk.limits.boundaries import Limit, compile_limits
from flyball_risk.scoring.impact import impact


@dataclass(frozen=True, slots=True)
class Rule:
    """One action as the specification describes it; `words` stand in reasons.

    `may_withhold`: every decision that proposes it is of a severity that the control share takes.
    `parameter` is what it changes at the element; `threshold` the least score that proposes it;
    `is_critical`: some decision that proposes it is of critical severity; `acknowledge_ms`: how long
    the element may take to say what became of it, None = it owes nothing. `severity` is that of the
    gravest decision that proposes it.
    """

    action: str
    impact: float
    cooldown_ms: int
    words: str
    may_withhold: bool
    parameter: str
    threshold: float
    is_critical: bool = False
    acknowledge_ms: int | None = None
    severity: str = ""


@dataclass(frozen=True, slots=True)
class Policy:
    """A pipeline's rules; `revision` and `digest` name them in every output.

    `risk` is the specification's, for what is not spelt out beside it.
    """

    pipeline: str
    revision: int
    rules: Mapping[str, Rule]
    is_probability: bool
    autonomy: Literal["advisory", "supervised", "autonomous"]
    baseline_acts: bool
    fallback: str
    group_share: Mapping[str, float]
    group_window_ms: int
    limits: tuple[Limit, ...]
    control_share: float
    control_key: str
    horizon_ms: int
    hold_expires_ms: int
    approvals: int
    digest: str
    priority: int
    lease_ms: int | None
    risk: Risk

    @property
    def acts_alone(self) -> bool:
        """Whether at most one action can reach an element within the time a label looks at."""
        rules = self.rules.values()
        return len(rules) == 1 and all(rule.cooldown_ms >= self.horizon_ms for rule in rules)

    @property
    def is_owed(self) -> bool:
        """Whether elements owe a word about any action."""
        return any(rule.acknowledge_ms for rule in self.rules.values())

    def patience(self, action: str) -> int | None:
        """How long an element may take to say what became of an action; None = it owes nothing."""
        rule = self.rules.get(action)
        return rule.acknowledge_ms if rule else None


def policy_of(pipeline: Pipeline, revision: int, *, control_key: str = DEFAULT_KEY) -> Policy:
    """The policy of an applied pipeline; it is the same for all of its partitions."""
    spec, risk = pipeline.spec, pipeline.spec.risk
    return Policy(
        pipeline=pipeline.name,
        revision=revision,
        rules=_rules(spec.decisions),
        is_probability=spec.target.task != "regression",
        autonomy=risk.autonomy,
        baseline_acts=risk.baseline_acts,
        fallback=risk.fallback,
        group_share=dict(risk.budgets.elements_per_label),
        group_window_ms=risk.budgets.window_ms,
        limits=compile_limits(risk.boundaries),
        control_share=risk.control_share,
        control_key=control_key,
        horizon_ms=spec.target.horizon_ms,
        hold_expires_ms=risk.hold.expires_ms,
        approvals=risk.hold.approvals,
        digest=policy_digest(pipeline),
        priority=risk.priority,
        lease_ms=risk.lease_ms,
        risk=risk,
    )


def policy_digest(pipeline: Pipeline) -> str:
    """SHA-256, hex, of the rules that verdicts are made by: decisions and risk, canonical JSON."""
    spec = pipeline.spec
    said = {
        "decisions": [d.model_dump(mode="json", by_alias=True) for d in spec.decisions],
        "risk": spec.risk.model_dump(mode="json", by_alias=True),
    }
    return sha256(json.dumps(said, sort_keys=True, separators=(",", ":")).encode()).hexdigest()


def _rules(decisions: tuple[Decision, ...]) -> dict[str, Rule]:
    """One rule an action; of several decisions for one action the gravest counts."""
    rules: dict[str, Rule] = {}
    for decision in decisions:
        rule = _rule(decision)
        before = rules.get(rule.action, rule)
        gravest = max(before, rule, key=lambda r: r.impact)
        rules[rule.action] = replace(
            gravest,
            cooldown_ms=max(before.cooldown_ms, rule.cooldown_ms),
            may_withhold=before.may_withhold and rule.may_withhold,
            threshold=min(before.threshold, rule.threshold),
            is_critical=before.is_critical or rule.is_critical,
            acknowledge_ms=gravest.acknowledge_ms or before.acknowledge_ms or rule.acknowledge_ms,
        )
    return rules


def _rule(decision: Decision) -> Rule:
    undo = "reversible" if decision.reversible else "irreversible"
    return Rule(
        decision.action,
        impact(decision.severity, reversible=decision.reversible),
        decision.cooldown_ms,
        f"{decision.severity} severity, {undo}",
        decision.severity in SEVERITIES,
        decision.parameter or decision.action,
        decision.score_at_least,
        decision.severity == "critical",
        decision.acknowledge_ms,
        decision.severity,
    )
