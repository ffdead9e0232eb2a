"""Who should answer for a pipeline: what an event does to its deployment. Pure.

Each rule is a row of guards, the first that applies says in words why nothing moves, and one move.
`tests/unit/test_deployer_rollout.py` is the table of it.
"""

from dataclasses import dataclass, field, replace
from datetime import datetime

from flyball_deployer import moves, promoting, withdrawing
from flyball_deployer.forms import Chosen, Fleet
from flyball_deployer.moves import Cause, Stay, Transition, placed, short
from flyball_deployer.policy import Policy
from flyball_proto.breakers import BreakerRecord
from flyball_proto.deployments import ActiveModel
from flyball_proto.events import ModelRecord, ModelTripped
from flyball_proto.judgements import (
    AnyJudgement,
    CanaryJudged,
    Concluded,
    Degraded,
    Refreshed,
    RefreshRefused,
    Restarted,
    Superior,
)
from flyball_proto.spec import BASELINE


@dataclass(frozen=True, slots=True)
class Seat:
    """A deployment as read, with the models in question; None = there is no such record.

    `fleet` is who has to run a model that is placed anew; `breaker` is the pipeline's breaker while
    it is not closed.
    """

    record: ActiveModel | None = None
    baseline: ModelRecord | None = None
    named: ModelRecord | None = None
    fleet: Fleet = field(default_factory=Fleet)
    breaker: BreakerRecord | None = None


Event = ModelRecord | AnyJudgement | ModelTripped
"""A model passed admission, a judgement, or a runtime that cannot answer."""


def decide(seat: Seat, event: Event, policy: Policy, *, now: datetime) -> Transition | Stay:
    """What an event does.

    A judgement that was not acted on before always gives a transition, because the record notes
    its number; one that was gives `Stay`, so that a redelivery is harmless.
    """
    if isinstance(event, ModelRecord):
        return _admitted(seat, event, now)
    if seat.record is None:
        return Stay("nobody holds the seat yet")
    if isinstance(event, ModelTripped):
        return withdrawing.tripped(seat.record, event, now)
    if event.number <= seat.record.handled:
        return Stay(f"judgement {event.number} was acted on")
    return _noted(_judged(seat, seat.record, event, policy, now), event)


def take_up(
    seat: Seat, put_off: AnyJudgement, policy: Policy, *, now: datetime
) -> Transition | Stay:
    """What a judgement does that waited for the breaker to close; it stands in the record."""
    record = seat.record
    if record is None or put_off not in record.put_off:
        return Stay(f"judgement {put_off.number} was taken up")
    if seat.breaker is not None:
        return Stay(f"the breaker is {seat.breaker.state}")
    left = tuple(judgement for judgement in record.put_off if judgement != put_off)
    record = record.model_copy(update={"put_off": left})
    return _noted(_judged(seat, record, put_off, policy, now), put_off)


def completed(record: ActiveModel) -> ActiveModel:
    """A record that an earlier version wrote while the baseline held the seat, naming it."""
    if record.baseline is None and record.trainer == BASELINE:
        return record.model_copy(update={"baseline": record.active})
    return record


def _admitted(seat: Seat, model: ModelRecord, now: datetime) -> Transition | Stay:
    if (reason := _bars_baseline(seat, model)) is not None:
        return Stay(reason)
    record, baseline = seat.record, placed(model)
    if record is None:
        return moves.seat_zero(baseline, Cause(model.pipeline, now, "the seat was empty"))
    if record.trainer != BASELINE:
        reason = f"the seat belongs to {record.trainer}; the baseline is its last fallback"
        return moves.keep_baseline(record, baseline, reason)
    cause = Cause(model.pipeline, now, "the specification changed, and the baseline with it")
    return moves.renew_baseline(record, baseline, cause)


def _bars_baseline(seat: Seat, model: ModelRecord) -> str | None:
    if model.stage == "refused":
        return "the model is refused"
    if model.trainer != BASELINE:
        return "a learnt model takes the seat by evidence, not by being admitted"
    known = None if seat.record is None else seat.record.baseline
    if known is not None and known.digest == model.digest:
        return "the model is the baseline already"
    if known and seat.baseline is not None and seat.baseline.admitted_at >= model.admitted_at:
        return "the baseline that is known was admitted later"
    return None


def _judged(
    seat: Seat, record: ActiveModel, judgement: AnyJudgement, policy: Policy, now: datetime
) -> Transition:
    if seat.breaker is not None and _lets_come(judgement):
        return _put_off(record, judgement, seat.breaker)
    cause = Cause(judgement.pipeline, now, "", judgement.number)
    chosen = Chosen(seat.named, seat.fleet)
    match judgement:
        case Superior():
            return promoting.superior(record, judgement, chosen, policy, cause)
        case Refreshed():
            return promoting.refreshed(record, judgement, chosen, policy, cause)
        case Degraded():
            return withdrawing.degraded(record, judgement, cause)
        case CanaryJudged():
            return promoting.canary_judged(record, judgement, policy, cause)
        case Concluded() | RefreshRefused() | Restarted():
            return moves.rest(record, _report(judgement))


def _lets_come(judgement: AnyJudgement) -> bool:
    """Whether somebody would answer for more elements than now."""
    if isinstance(judgement, CanaryJudged):
        return judgement.outcome == "pass"
    return isinstance(judgement, Superior | Refreshed)


def _put_off(record: ActiveModel, judgement: AnyJudgement, breaker: BreakerRecord) -> Transition:
    """Nobody comes by itself while risk lets the pipeline only record what it decides."""
    others = tuple(found for found in record.put_off if found.kind != judgement.kind)
    reason = f"put off, the pipeline's breaker is {breaker.state} ({breaker.reason})"
    return moves.rest(record, reason, put_off=(*others, judgement))


def _report(judgement: Concluded | RefreshRefused | Restarted) -> str:
    """What is only told."""
    match judgement:
        case Concluded():
            return f"{judgement.trainer} is {judgement.outcome}, not superior: a report"
        case RefreshRefused():
            return f"{short(judgement.digest)} stays out of the seat: {judgement.outcome}"
        case Restarted():
            return f"{judgement.upstream} changed: comparisons began anew"


def _noted(made: Transition, judgement: AnyJudgement) -> Transition:
    record = made.record.model_copy(
        update={
            "handled": max(made.record.handled, judgement.number),
            "heard_ms": max(made.record.heard_ms, judgement.event_ms),
            "outcome": f"{judgement.kind}: {made.reason}",
        }
    )
    return replace(made, record=record)
