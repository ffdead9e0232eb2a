"""How much of a pipeline's shared budgets one partition may use now. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from flyball_proto.spec.acting import RiskBudgets
from flyball_risk.capacity.leases import NO_LEASE, Lease

TOTAL: Final = ""
"""Beside the names of actions: the budget of all actions together."""


@dataclass(frozen=True, slots=True)
class Allowance:
    """The even share of one of `partitions` partitions, and what the lease adds or takes away.

    `limits`: the actions that all partitions together may dispatch in any minute, by action, and
    of all of them under `TOTAL`.
    """

    limits: Mapping[str, int]
    partition: int = 0
    partitions: int = 1
    lease: Lease = NO_LEASE

    @property
    def revision(self) -> int:
        """Names the lease; 0 = there never was one."""
        return self.lease.revision

    def share(self, key: str) -> int:
        """The partition's even share of one budget."""
        return even_share(self.limits[key], self.partition, self.partitions)

    def at(self, key: str, clock_ms: int) -> int | None:
        """Actions in the minute up to a clock's time; None = no budget limits them."""
        limit = self.limits.get(key)
        if limit is None:
            return None
        if self.partitions == 1:
            return limit
        changed = self.lease.change(key, limit, self.partitions, clock_ms)
        return max(0, self.share(key) + changed)

    def group(self, share: float, known: int) -> int:
        """Elements of a group that may be under an action at once, of `known` in this partition.

        One always may, but where several partitions each have a part of the group: none of them
        can tell whether another one has it.
        """
        return max(int(self.partitions == 1), int(share * known))


def allowance_of(
    budgets: RiskBudgets, partition: int = 0, partitions: int = 1, lease: Lease = NO_LEASE
) -> Allowance:
    """What the specification allows a partition."""
    limits = {**budgets.per_action, TOTAL: budgets.actions_per_minute}
    return Allowance(limits, partition, partitions, lease)


def even_share(budget: int, partition: int, partitions: int) -> int:
    """A partition's part of a budget when nothing is known of the others; all add up to it."""
    return budget // partitions + (partition < budget % partitions)
