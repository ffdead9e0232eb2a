"""What a person's answer to a hold comes to. Pure.

An approval is judged again when it is read: an action that may not go out at that moment is refused
with the reason, and the hold goes on waiting until it expires. So nothing is ever approved that was
not sent.
"""

from collections.abc import Iterator
from typing import Final

from pydantic import TypeAdapter, ValidationError

from flyball_proto.breakers import BreakerOrder
from flyball_proto.columns import Answered, Outcome, Released, Result, Verdict
from flyball_proto.holds import Answer, BulkAnswer, StopOrder, Withdrawal
from flyball_proto.leases import LeaseOrder
from flyball_risk.holding.approvals import people_needed
from flyball_risk.holding.holds import Open, has_agreed
from flyball_risk.judging.budgets import allowance, contest, exhausted, lend, record, superseded
from flyball_risk.judging.facts import facts_of_hold
from flyball_risk.judging.frame import Frame
from flyball_risk.judging.partition import Partition
from flyball_risk.judging.policy import Policy
from flyball_risk.judging.proposals import Proposal
from flyball_risk.limits.boundaries import first_reached

Order = Answer | BulkAnswer | Withdrawal | StopOrder | BreakerOrder | LeaseOrder
"""What may stand between the decisions."""

_ORDERS: Final[TypeAdapter[Order]] = TypeAdapter(Order)

UNREADABLE: Final = "neither an answer nor a stop order of this version"
ALONE: Final = (
    "two people must agree, each by an answer to this hold alone; in bulk it can be denied"
)


def read_order(data: bytes) -> Order | None:
    """A message beside the decisions; None when it is nothing that this version knows."""
    try:
        return _ORDERS.validate_json(data)
    except ValidationError:
        return None


def take_order(data: bytes, sequence: int, partition: Partition, frame: Frame) -> None:
    """Take in one message beside the decisions; `sequence` is its place in DECISIONS."""
    order = read_order(data)
    if isinstance(order, StopOrder):
        partition.obey(order)
        return
    if isinstance(order, LeaseOrder):
        lend(order, allowance(frame), partition.recent)
        return
    if isinstance(order, BreakerOrder):
        result = Result.ENDED if partition.turn(order) else Result.NOTED
        partition.changes.answered.append(Answered(sequence, "", result, "", order.by, 0))
        return
    if order is None:
        partition.changes.answered.append(Answered(sequence, "", Result.UNKNOWN, UNREADABLE, "", 0))
        return
    at_ms = int(order.at.timestamp() * 1000)
    for hold, result, detail in _outcomes(order, partition, frame):
        partition.changes.answered.append(Answered(sequence, hold, result, detail, order.by, at_ms))


def _outcomes(
    order: Answer | BulkAnswer | Withdrawal, partition: Partition, frame: Frame
) -> Iterator[tuple[str, Result, str]]:
    """Hold by hold, what an order comes to; of a withdrawal that touches none, one without a hold."""
    if isinstance(order, Withdrawal):
        words = f"the approval of {order.withdrawn} counts no longer: {order.why or 'withdrawn'}"
        touched = partition.holds.withdraw(order.withdrawn)
        yield from ((hold, Result.NOTED, words) for hold in touched)
        if not touched:
            yield "", Result.NOTED, f"no approval of {order.withdrawn} waits for a second one"
        return
    if isinstance(order, Answer):
        yield (order.hold, *answer(order, partition, frame))
        return
    for hold in order.holds:
        one = Answer(
            hold=hold, answer=order.answer, by=order.by, why=order.why, code=order.code, at=order.at
        )
        yield (hold, *answer(one, partition, frame, alone=False))


def answer(
    given: Answer, partition: Partition, frame: Frame, *, alone: bool = True
) -> tuple[Result, str]:
    """What one answer comes to, with words unless it ended the hold.

    `alone`: it was given to this hold and not to many at once.
    """
    policy = frame.policy
    found = partition.holds.get(given.hold)
    if found is None:
        return Result.UNKNOWN, "no such decision waits for a person"
    if given.answer == "deny":
        _end(partition, policy, found, given, Outcome.DENIED)
        return Result.ENDED, ""
    return objection(found, partition, frame) or _approve(given, found, partition, frame, alone)


def _approve(
    given: Answer, found: Open, partition: Partition, frame: Frame, alone: bool
) -> tuple[Result, str]:
    """Somebody approves what may go out: it does, or waits for another person."""
    policy = frame.policy
    asked = max(found.hold.approvals, policy.approvals)
    is_critical = policy.rules[found.hold.action].is_critical
    needed = people_needed(asked, found.hold.category, is_critical=is_critical)
    if needed > 1 and not alone:
        return Result.REFUSED, ALONE
    if has_agreed(given.by, found.agreed):
        return Result.REFUSED, f"{given.by} agreed already; another person must agree, too"
    if len(found.agreed) + 1 < needed:
        partition.holds.agree(given.hold, given.by)
        return Result.NOTED, f"{len(found.agreed)} of {needed} people agree"
    _end(partition, policy, found, given, Outcome.APPROVED)
    proposal = _proposal(found, partition)
    rule = policy.rules[proposal.action]
    record(proposal.action, proposal, rule, frame, partition.recent)
    return Result.ENDED, ""


def objection(found: Open, partition: Partition, frame: Frame) -> tuple[Result, str] | None:
    """Why a held action may not go out now; None when it may."""
    policy = frame.policy
    hold, recent = found.hold, partition.recent
    rule = policy.rules.get(hold.action)
    if partition.stop_words:
        return Result.STOPPED, f"the pipeline is {partition.stop_words}"
    if rule is None:
        return Result.REFUSED, f"the specification has no action {hold.action} any more"
    if policy.autonomy == "advisory":
        return Result.REFUSED, "the pipeline is advisory now"
    reached = first_reached(policy.limits, facts_of_hold(hold, rule, recent.clock_ms))
    if reached is not None and reached.limit.verdict is Verdict.DENY:
        trouble = f" ({reached.trouble})" if reached.trouble else ""
        return Result.REFUSED, f"boundary {reached.limit.name} applies{trouble}"
    proposal = _proposal(found, partition)
    claim = contest(proposal, rule, frame)
    if claim is not None:
        return Result.REFUSED, superseded(claim, rule.parameter)
    crowds = recent.crowds(hold.element, hold.label_set, policy.group_window_ms)
    why = exhausted(hold.action, proposal, rule, frame, recent, crowds)
    return None if why is None else (Result.CAPPED, f"capped, {why}")


def _proposal(found: Open, partition: Partition) -> Proposal:
    """A held action as if it were proposed now."""
    hold = found.hold
    return Proposal(
        element=hold.element,
        label_set=hold.label_set,
        time_ms=partition.recent.clock_ms,
        action=hold.action,
        score=hold.score,
        error=0.0,
        quality=0,
        trainer=hold.model.trainer,
    )


def _end(
    partition: Partition, policy: Policy, found: Open, given: Answer, outcome: Outcome
) -> None:
    approved = outcome is Outcome.APPROVED
    by = ", ".join((*found.agreed, given.by)) if approved else given.by
    at_ms = int(given.at.timestamp() * 1000)
    clock_ms, row = partition.recent.clock_ms, partition.changes.rows
    released = Released(found.hold, outcome, by, given.why, at_ms, clock_ms, row, given.code)
    partition.end(released, policy)
