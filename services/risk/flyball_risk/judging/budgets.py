"""Whether there is room for one more action: cool-downs, budgets, groups, leases. Pure."""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import Protocol

from flyball_proto.leases import LeaseOrder
from flyball_risk.capacity.allowances import TOTAL, Allowance, allowance_of
from flyball_risk.capacity.claims import Claim
from flyball_risk.capacity.leases import View, obey
from flyball_risk.judging.frame import Frame
from flyball_risk.judging.policy import Policy, Rule
from flyball_risk.judging.recent import Crowd, Reach, Recent


class Row(Protocol):
    """What is asked of a proposal here."""

    @property
    def element(self) -> str:
        """Who would be acted on."""
        ...

    @property
    def label_set(self) -> str:
        """Its labels, a canonical JSON object."""
        ...

    @property
    def time_ms(self) -> int:
        """Event time."""
        ...


def allowance(frame: Frame) -> Allowance:
    """The partition's; without one it is the only partition."""
    return frame.allowance or allowance_of(frame.policy.risk.budgets)


def lease_ms(policy: Policy, rule: Rule) -> int:
    """How long an action that goes out keeps other pipelines away."""
    return rule.cooldown_ms if policy.lease_ms is None else policy.lease_ms


def record(action: str, row: Row, rule: Rule, frame: Frame, recent: Recent) -> None:
    """An action goes out: cool-downs, budgets, groups and the claim on its parameter begin."""
    policy, leased_ms = frame.policy, lease_ms(frame.policy, rule)
    window_ms = policy.group_window_ms if policy.risk.budgets.per_element else 0
    reach = Reach(rule.cooldown_ms, rule.parameter, leased_ms, window_ms)
    recent.record(row.element, row.label_set, action, row.time_ms, reach)
    claim = Claim(policy.pipeline, policy.priority, action, row.time_ms + leased_ms)
    frame.claims.take(row.element, rule.parameter, claim, row.time_ms)


def claims_of(policy: Policy, recent: Recent) -> Iterator[tuple[str, str, Claim]]:
    """Element, parameter and claim of everything that a partition's state remembers."""
    for element, parameter, changed in recent.changes():
        claim = Claim(policy.pipeline, policy.priority, changed.action, changed.lease_ms)
        yield element, parameter, claim


def view_of(allowed: Allowance, recent: Recent) -> View:
    """How a partition stands, for those who plan what it cedes."""
    used = {budget: recent.used(budget) for budget in allowed.limits}
    refused = {budget: recent.refused(budget) for budget in allowed.limits}
    return View(recent.clock_ms, recent.lease, used, refused)


def lend(order: LeaseOrder, allowed: Allowance, recent: Recent) -> None:
    """Cede and use what an order says, as far as the partition can."""
    recent.lease = obey(recent.lease, order, allowed, recent.clock_ms, recent.used)


def contest(row: Row, rule: Rule, frame: Frame) -> Claim | None:
    """Another pipeline's claim on what an action would change; None = nobody is in the way.

    A pipeline that holds it keeps it by proposing.
    """
    policy, claims = frame.policy, frame.claims
    place = (row.element, rule.parameter, row.time_ms)
    found = claims.holder(policy.pipeline, policy.priority, *place)
    if found is None:
        claims.renew(policy.pipeline, *place, lease_ms(policy, rule))
    return found


def superseded(claim: Claim, parameter: str) -> str:
    """Why another pipeline goes first."""
    priority = f"pipeline {claim.pipeline} (priority {claim.priority})"
    return f"superseded, {priority} changed {parameter} by {claim.action}"


def exhausted(
    action: str, row: Row, rule: Rule, frame: Frame, recent: Recent, crowds: Sequence[Crowd]
) -> str | None:
    """Which cool-down, budget or bound is in the way of an action; None when there is room."""
    return (
        _at_element(action, row, rule, frame.policy, recent)
        or _of_pipeline(action, allowance(frame), recent)
        or _of_groups(frame, crowds)
        or _bounded(row, rule, frame, recent)
    )


@lru_cache(maxsize=256)
def cooling(cooldown_ms: int) -> str:
    """In the way of an action that reached its element a short while ago."""
    return f"within its cool-down of {cooldown_ms / 1000:g} s"


def _at_element(action: str, row: Row, rule: Rule, policy: Policy, recent: Recent) -> str | None:
    if recent.is_cooling(row.element, action, row.time_ms, rule.cooldown_ms):
        return cooling(rule.cooldown_ms)
    changed = recent.changed(row.element, rule.parameter, row.time_ms)
    if changed is not None and changed.action != action:
        return f"{changed.action} changed {rule.parameter} and is within its cool-down"
    most, window_ms = policy.risk.budgets.per_element, policy.group_window_ms
    if most is not None and recent.acted_on(row.element, row.time_ms, window_ms) >= most:
        return f"the element has had its {most} actions in {window_ms / 1000:g} s"
    return None


def _of_pipeline(action: str, allowed: Allowance, recent: Recent) -> str | None:
    for budget, of in ((TOTAL, "actions"), (action, f"{action} actions")):
        most = allowed.at(budget, recent.clock_ms)
        if most is None or recent.used(budget) < most:
            continue
        recent.refuse(budget)
        limit, parts = allowed.limits[budget], allowed.partitions
        here = f", {most} of it here, in one of {parts} partitions," if parts > 1 else ""
        return f"the budget of {limit} {of} a minute{here} is used up"
    return None


def _of_groups(frame: Frame, crowds: Sequence[Crowd]) -> str | None:
    policy, allowed = frame.policy, allowance(frame)
    for crowd in crowds:
        share = policy.group_share.get(crowd.group[0], 1.0)
        if crowd.acted >= allowed.group(share, crowd.known):
            label, value = crowd.group
            parts = allowed.partitions
            here = f" in this one of {parts} partitions" if parts > 1 else ""
            return (
                f"{crowd.acted} of {crowd.known} elements with {label} {value}{here} are under an "
                f"action, at most {share:g} of them may be"
            )
    return None


def _bounded(row: Row, rule: Rule, frame: Frame, recent: Recent) -> str | None:
    if recent.is_full:
        return "more elements are under actions than can be remembered"
    policy = frame.policy
    if not frame.claims.has_room(policy.pipeline, row.element, rule.parameter, row.time_ms):
        return "more elements are under leases than can be remembered"
    return None
