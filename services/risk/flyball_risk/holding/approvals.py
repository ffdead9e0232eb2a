"""How many different people must agree before a held action goes out. Pure."""

from typing import Final

from flyball_proto.columns import Category
from flyball_risk.judging.policy import Policy, Rule

CRITICAL_APPROVALS: Final = 2
"""What is of critical severity or category always takes two, whatever the policy says."""


def people_needed(policy: Policy, rule: Rule | None, category: int) -> int:
    """One or two; `rule` None = the specification does not know the action any more."""
    is_critical = category == Category.CRITICAL or (rule is not None and rule.is_critical)
    return max(policy.approvals, CRITICAL_APPROVALS if is_critical else 1)
