"""What people ask for: promote, roll back, pin, unpin. Pure.

A person may do what evidence may not: bring a model back that was rolled back, move a frozen seat.
What a person made active is not taken away by the watch; it asks instead.
"""

from dataclasses import replace
from datetime import datetime

from flyball_deployer import moves
from flyball_deployer.forms import Misfit, place
from flyball_deployer.moves import Cause, Transition, short
from flyball_deployer.rollout import Seat
from flyball_deployer.withdrawing import fallback
from flyball_proto.commands import Failure, PinSeat, PromoteModel, RollBackSeat, UnpinSeat
from flyball_proto.deployments import ActiveModel, Pin

Order = PromoteModel | RollBackSeat | PinSeat | UnpinSeat


def steer(seat: Seat, order: Order, *, now: datetime) -> Transition | Failure:
    """What a person's order does, or why it cannot be carried out; then nothing changes."""
    record = seat.record
    if record is None:
        return Failure(
            kind="not-found",
            message=f"pipeline {order.pipeline} has no deployment; apply its specification and "
            "wait until its baseline is active: flyball status",
        )
    cause = Cause(order.pipeline, now, "", by=order.by)
    match order:
        case PromoteModel():
            return _promote(record, seat, order, cause)
        case RollBackSeat():
            return _roll_back(record, order, cause)
        case PinSeat():
            return _pin(record, order, cause)
        case UnpinSeat():
            return _unpin(record, order)


def _promote(
    record: ActiveModel, seat: Seat, order: PromoteModel, cause: Cause
) -> Transition | Failure:
    model, name = seat.named, short(order.digest)
    if model is None:
        return Failure(
            kind="not-found",
            message=f"{name} is no admitted model of {order.pipeline}: flyball models list",
        )
    if model.stage == "refused":
        return Failure(kind="conflict", message=f"{name} was refused admission and cannot answer")
    if model.digest == record.digest:
        return Failure(
            kind="conflict",
            message=f"{name} is active already; to keep it there: flyball models pin",
        )
    if model.feature_digest != record.feature_digest:
        return Failure(
            kind="conflict",
            message=f"{name} was made for features {model.feature_digest[:8]}, the pipeline runs "
            f"with {record.feature_digest[:8]}",
        )
    found = place(model, seat.fleet)
    if isinstance(found, Misfit):
        return Failure(
            kind="conflict",
            message=f"{name} cannot answer everywhere: {found.reason}; train it smaller, or give "
            "the runtime more: MODEL_MEMORY_MB, PRECISIONS",
        )
    reason = f"promoted by {order.by}: {order.why}"
    return moves.promote(record, found, replace(cause, reason=reason))


def _roll_back(record: ActiveModel, order: RollBackSeat, cause: Cause) -> Transition | Failure:
    to = fallback(record)
    if to is None:
        return Failure(
            kind="conflict",
            message=f"{short(record.digest)} is the last fallback itself; to choose another model: "
            "flyball models promote",
        )
    reason = f"rolled back by {order.by}: {order.why}"
    moved = moves.roll_back(record, to, replace(cause, reason=reason), event_ms=1)
    kept = {"rollback_ms": record.rollback_ms, "frozen": False}  # only automatic ones are counted
    return replace(moved, record=moved.record.model_copy(update=kept))


def _pin(record: ActiveModel, order: PinSeat, cause: Cause) -> Transition | Failure:
    if record.pinned is not None:
        return Failure(
            kind="conflict",
            message=f"{order.pipeline} is pinned already, by {record.pinned.by}: {record.pinned.why}",
        )
    pinned = Pin(by=order.by, why=order.why, at=cause.now)
    reason = f"pinned by {order.by}: {order.why}"
    return moves.pin(record, pinned, replace(cause, reason=reason))


def _unpin(record: ActiveModel, order: UnpinSeat) -> Transition | Failure:
    if record.pinned is None and not record.frozen:
        return Failure(
            kind="conflict", message=f"{order.pipeline} is neither pinned nor frozen: nothing to do"
        )
    reason = f"unpinned by {order.by}: {order.why}"
    return moves.unpin(record, reason)
