"""How many different people must agree before a held action goes out. Pure."""

from typing import Final

from flyball_proto.columns import Category

CRITICAL_APPROVALS: Final = 2
"""What is of critical severity or category always takes two, whatever the policy says."""


def people_needed(asked: int, category: int, *, is_critical: bool) -> int:
    """One or two; `asked` is what the policy asks for, `is_critical` the action's severity."""
    critical = is_critical or category == Category.CRITICAL
    return max(asked, CRITICAL_APPROVALS if critical else 1)
