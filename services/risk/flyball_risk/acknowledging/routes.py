"""From actions and from what elements say of them to records in KV `acknowledged`. Pure.

Two dispatchers write there, each on keys of its own, so that on each keys only grow.
"""

from collections.abc import Callable, Sequence
from datetime import UTC, datetime, timedelta
from typing import Final

from flyball_kit.fold import Dispatch, Input
from flyball_proto import streams, subjects
from flyball_proto.events import Action
from flyball_proto.outcomes import (
    Awaited,
    OutcomeError,
    OutcomeReport,
    Told,
    decode_outcome,
    told_key,
)

RECORDS: Final = f"KV_{streams.ACKNOWLEDGED.name}"
REASON: Final = "Flyball-Reason"
"""Header of a quarantined outcome: why it was not taken."""


def subject_of(key: str) -> str:
    """Where a record is stored."""
    return f"$KV.{streams.ACKNOWLEDGED.name}.{key}"


def awaited(
    dispatches: Sequence[Dispatch], message: Input, patience: Callable[[str], int | None]
) -> list[Dispatch]:
    """Records of those actions about which elements owe a word.

    `dispatches` carry the actions of one message of VERDICTS; `patience` is in milliseconds, by action, None = nothing is owed. A
    record passes the same gate as its action.
    """
    found, sent_at = [], _time(message)
    for dispatch in dispatches:
        action = Action.model_validate_json(dispatch.data)
        patience_ms = patience(action.action)
        if patience_ms is None:
            continue
        record = Awaited(
            pipeline=action.pipeline,
            decision=action.decision,
            element=action.element,
            action=action.action,
            sent_at=sent_at,
            due_at=sent_at + timedelta(milliseconds=patience_ms),
        )
        data = record.model_dump_json().encode()
        subject = subject_of(action.decision)
        found.append(
            Dispatch(subject, dispatch.key, data, revision=dispatch.revision, stream=RECORDS)
        )
    return found


def outcome_route(message: Input) -> list[Dispatch]:
    """A record of what an element said; what cannot be one goes to quarantine, untouched."""
    _, pipeline, element = message.subject.split(".", 2)
    try:
        report = _report(message.data, pipeline)
    except OutcomeError as error:
        return [
            Dispatch(
                subjects.refused_outcomes(pipeline),
                (message.sequence, 0),
                message.data,
                {REASON: f"{element}: {error}".encode("ascii", "replace").decode()[:500]},
                stream=streams.QUARANTINE.name,
            )
        ]
    told = Told(
        decision=report.decision,
        element=element,
        result=report.result,
        detail=report.detail,
        effect=report.effect,
        at=_time(message),
    )
    key = told_key(report.decision, element)
    return [_record(key, message, told.model_dump_json())]


def _report(data: bytes, pipeline: str) -> OutcomeReport:
    report = decode_outcome(data)
    if not report.decision.startswith(f"{pipeline}."):
        raise OutcomeError(
            f"decision {report.decision} on the subject of pipeline {pipeline}; publish it on that "
            "of its own pipeline"
        )
    return report


def _record(key: str, message: Input, text: str) -> Dispatch:
    return Dispatch(subject_of(key), (message.sequence, 0), text.encode(), stream=RECORDS)


def _time(message: Input) -> datetime:
    return datetime.fromtimestamp(message.time_ns // 1000 / 1e6, UTC)
