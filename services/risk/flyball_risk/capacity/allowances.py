"""How much of a pipeline's shared budgets one partition may use now. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field


@dataclass(frozen=True, slots=True)
class Allowance:
    """Actions in any minute of event time; `revision` names the lease that it stands on."""

    actions_per_minute: int
    per_action: Mapping[str, int] = field(default_factory=dict)
    revision: int = 0


def even_share(budget: int, partition: int, partitions: int) -> int:
    """A partition's part of a budget when nothing is known of the others; all add up to it."""
    return budget // partitions + (partition < budget % partitions)
