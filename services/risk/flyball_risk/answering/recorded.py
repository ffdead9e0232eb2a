"""From committed verdicts to the records of holds and the events about them. Pure."""

import math
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final, get_args

from flyball_kit.fold import Dispatch, Input
from flyball_proto import streams
from flyball_proto.columns import (
    Answered,
    Category,
    Context,
    Outcome,
    Released,
    Result,
    Verdicts,
    Waiting,
    decode_verdicts,
)
from flyball_proto.headers import CHANGES
from flyball_proto.holds import Held, Hold, HoldAnswered, HoldContext, Nearby, ReasonCode
from flyball_risk.judging.recent import labels_of

RECORDS: Final = f"KV_{streams.HOLDS.name}"
CONTEXTS: Final = f"KV_{streams.CONTEXTS.name}"
CODES: Final[tuple[ReasonCode, ...]] = get_args(ReasonCode)
STATES: Final = {
    Outcome.APPROVED: "approved",
    Outcome.DENIED: "denied",
    Outcome.EXPIRED: "expired",
}


def subject_of(hold: str) -> str:
    """Where a hold's record is stored."""
    return f"$KV.{streams.HOLDS.name}.{hold}"


def context_subject_of(hold: str) -> str:
    """Where what stands beside a hold is stored."""
    return f"$KV.{streams.CONTEXTS.name}.{hold}"


def changes_of(message: Input) -> Verdicts | None:
    """The verdicts of a message by which a hold changed; None when none did."""
    if not message.data or CHANGES not in (message.headers or {}):
        return None
    return decode_verdicts(message.data)


def record_route(message: Input) -> list[Dispatch]:
    """A record in KV `holds` and an event for every hold that opened or ended.

    What stands beside an opened one is a record in KV `contexts`.

    Keys are places in VERDICTS, over all partitions of a pipeline: ends follow openings.
    """
    batch = changes_of(message)
    if batch is None:
        return []
    partition = int(message.subject.rsplit(".", 1)[1])
    at = datetime.fromtimestamp(message.time_ns // 1000 / 1e6, UTC)
    found = [_beside(batch.feature_digest, c, message.sequence) for c in batch.context]
    before = len(found)
    for hold in (opened(batch.pipeline, partition, w) for w in batch.opened):
        event = Held(pipeline=batch.pipeline, at=at, hold=hold)
        found += _both(hold, event, message.sequence, len(found) - before)
    for hold in (ended(batch.pipeline, partition, end, at) for end in batch.released):
        answered = HoldAnswered(pipeline=batch.pipeline, at=at, hold=hold)
        found += _both(hold, answered, message.sequence, len(found) - before)
    return found


def opened(pipeline: str, partition: int, waiting: Waiting) -> Hold:
    """The record of a hold that is open."""
    return Hold(
        id=waiting.decision,
        pipeline=pipeline,
        partition=partition,
        element=waiting.element,
        labels=dict(labels_of(waiting.label_set)),
        action=waiting.action,
        score=waiting.score,
        risk=waiting.risk,
        category=Category(waiting.category).name.lower(),
        reason=waiting.reason,
        model=waiting.model.digest,
        trainer=waiting.model.trainer,
        epoch=waiting.model.epoch,
        time_ms=waiting.time_ms,
        expires_ms=waiting.expires_ms,
        opened_at=datetime.fromtimestamp(waiting.opened_ms / 1000, UTC),
        approvals=max(1, waiting.approvals),
    )


def beside(feature_digest: str, context: Context) -> HoldContext:
    """The record of what stands beside a hold."""
    return HoldContext(
        hold=context.decision,
        feature_digest=feature_digest,
        features=tuple(float(x) if math.isfinite(x) else None for x in context.feature),
        signals=dict(context.signal),
        neighbours=tuple(
            Nearby(element=near.element, label=near.label, time_ms=near.time_ms)
            for near in context.neighbour
        ),
        history=tuple(context.history),
    )


def ended(pipeline: str, partition: int, end: Released, at: datetime) -> Hold:
    """The record of a hold that ended; `at` stands in when nobody answered."""
    return opened(pipeline, partition, end.hold).model_copy(
        update={
            "state": STATES[end.outcome],
            "answered_by": end.by,
            "answered_why": end.why,
            "answered_code": _code(end.code),
            "answered_at": datetime.fromtimestamp(end.at_ms / 1000, UTC) if end.at_ms else at,
        }
    )


def outcomes(message: Input) -> Iterator[tuple[Answered, Hold | None]]:
    """What became of each answer in a message, with the hold if the answer ended it."""
    batch = changes_of(message)
    if batch is None:
        return
    partition = int(message.subject.rsplit(".", 1)[1])
    at = datetime.fromtimestamp(message.time_ns // 1000 / 1e6, UTC)
    ends = {e.hold.decision: ended(batch.pipeline, partition, e, at) for e in batch.released}
    for answer in batch.answered:
        yield answer, ends.get(answer.decision) if answer.result is Result.ENDED else None


def _code(given: str) -> ReasonCode | None:
    """A code of another version counts as `other`; none was given before there were codes."""
    return next((code for code in CODES if code == given), "other") if given else None


def _beside(feature_digest: str, context: Context, sequence: int) -> Dispatch:
    record = beside(feature_digest, context).model_dump_json().encode()
    return Dispatch(context_subject_of(context.decision), (sequence, 0), record, stream=CONTEXTS)


def _both(hold: Hold, event: Held | HoldAnswered, sequence: int, n: int) -> list[Dispatch]:
    record = hold.model_dump_json().encode()
    said = event.model_dump_json().encode()
    return [
        Dispatch(subject_of(hold.id), (sequence, n), record, stream=RECORDS),
        Dispatch(event.subject, (sequence, n + 1), said, stream=streams.EVENTS.name),
    ]
