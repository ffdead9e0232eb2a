"""Which model should be active: the seat of a pipeline, and what an event does to it. Pure."""

from dataclasses import dataclass
from datetime import datetime

from flyball_proto.deployments import ActiveModel
from flyball_proto.events import ModelRecord
from flyball_proto.spec import BASELINE


@dataclass(frozen=True, slots=True)
class Seat:
    """A pipeline's seat as read: the active pointer and the record of the model it names."""

    pointer: ActiveModel | None = None
    record: ModelRecord | None = None


@dataclass(frozen=True, slots=True)
class Activate:
    """The pointer moves to this."""

    pointer: ActiveModel


@dataclass(frozen=True, slots=True)
class Stay:
    """The pointer stays where it is, and why."""

    reason: str


Transition = Activate | Stay


def admitted(seat: Seat, model: ModelRecord, *, now: datetime) -> Transition:
    """A model passed admission. The baseline takes the empty seat; a learnt model needs evidence."""
    if (reason := _unfit(model)) is not None:
        return Stay(reason)
    if seat.pointer is None:
        return Activate(_pointer(model, epoch=1, now=now, reason="the seat was empty"))
    if (reason := _kept(seat.pointer, seat.record, model)) is not None:
        return Stay(reason)
    reason = "the specification changed, and the baseline with it"
    return Activate(_pointer(model, epoch=seat.pointer.epoch + 1, now=now, reason=reason))


def _unfit(model: ModelRecord) -> str | None:
    if model.stage == "refused":
        return "the model is refused"
    if model.trainer != BASELINE:
        return "a learnt model takes the seat by evidence, not by being admitted"
    return None


def _kept(pointer: ActiveModel, record: ModelRecord | None, model: ModelRecord) -> str | None:
    if pointer.digest == model.digest:
        return "the model is active"
    if pointer.trainer != BASELINE:
        return f"the seat belongs to {pointer.trainer}, which the baseline never displaces"
    if record is not None and record.admitted_at >= model.admitted_at:
        return "the baseline in the seat was admitted later"
    return None


def _pointer(model: ModelRecord, *, epoch: int, now: datetime, reason: str) -> ActiveModel:
    return ActiveModel(
        digest=model.digest,
        trainer=model.trainer,
        feature_digest=model.feature_digest,
        epoch=epoch,
        since=now,
        reason=reason,
    )
