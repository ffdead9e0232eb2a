"""What a pipeline's owner and this service allow a rollout to do. Pure."""

from dataclasses import dataclass, field
from typing import Final

from flyball_proto.spec import Pipeline
from flyball_proto.spec.learning import ModelBudgets, Promotion

ATTRIBUTION_MS: Final = 24 * 3_600_000
"""Event time within which a second automatic rollback freezes the seat.

A day: a traffic pattern comes once a day, so two models that fail within one were not both unlucky;
and a person who is asked today still knows what was changed yesterday.
"""


@dataclass(frozen=True, slots=True)
class Policy:
    """What the specification says of promotion."""

    steps: tuple[int, ...] = Promotion().canary
    refresh: bool = True
    budgets: ModelBudgets = field(default_factory=ModelBudgets)


def policy_of(pipeline: Pipeline) -> Policy:
    """The policy that a specification states."""
    promotion = pipeline.spec.promotion
    return Policy(
        steps=promotion.canary, refresh=promotion.refresh.enabled, budgets=promotion.budgets
    )
