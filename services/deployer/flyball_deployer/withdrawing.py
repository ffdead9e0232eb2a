"""Who leaves: the model that does harm, and the one that cannot answer. Pure."""

from dataclasses import replace
from datetime import datetime
from typing import Final

from flyball_deployer import moves
from flyball_deployer.moves import Cause, Stay, Transition, short
from flyball_deployer.policy import ATTRIBUTION_MS
from flyball_proto.deployments import ActiveModel, Placed
from flyball_proto.events import ModelTripped
from flyball_proto.judgements import Degraded

TOO_SOON: Final = "a rollback within a day of the last one: frozen until a person decides"


def degraded(record: ActiveModel, judged: Degraded, cause: Cause) -> Transition:
    """The watch sounded: back to the anchor, or only a reason why nothing moves."""
    found = f"harm {judged.harm:.2f}, anchor better {judged.relative:.2f}"
    if (reason := _only_told(record, judged, found)) is not None:
        return moves.rest(record, reason)
    reason = f"the active model does harm and the anchor is better ({found})"
    if (person := _set_by_a_person(record)) is not None:
        return moves.ask_once(record, record.digest, replace(cause, reason=f"{reason}; {person}"))
    if (to := fallback(record)) is None:
        return moves.ask_once(
            record, record.digest, replace(cause, reason=f"{reason}; no fallback")
        )
    if _too_soon(record, judged.event_ms):
        return moves.freeze(record, replace(cause, reason=f"{reason}; {TOO_SOON}"))
    return moves.roll_back(record, to, replace(cause, reason=reason), event_ms=judged.event_ms)


def _only_told(record: ActiveModel, judged: Degraded, found: str) -> str | None:
    """Why a sounding watch moves nothing, or None."""
    if judged.decision == "retrain":
        return f"the world changed, not the model ({found}): train again"
    if judged.decision == "compare":
        return f"the anchor is better, without harm ({found}): compare again"
    if record.frozen:
        return "the seat is frozen until a person decides"
    if judged.digest != record.digest:
        return f"the watch sounded for {short(judged.digest)}, {short(record.digest)} is active"
    return None


def _set_by_a_person(record: ActiveModel) -> str | None:
    """Why automation may not take the active model away, or None."""
    if record.pinned is not None:
        return f"pinned by {record.pinned.by}, so a person decides"
    if record.set_by:
        return f"made active by {record.set_by}, so a person decides"
    return None


def tripped(record: ActiveModel, trip: ModelTripped, now: datetime) -> Transition | Stay:
    """A runtime cannot answer with a model: it leaves its place at once."""
    cause = Cause(trip.pipeline, now, f"{short(trip.digest)} cannot answer: {trip.detail}")
    if trip.digest == record.digest:
        return _replace_tripped(record, cause)
    if record.canary is not None and record.canary.digest == trip.digest:
        return moves.end_canary(record, record.canary, cause)
    if record.anchor is not None and record.anchor.digest == trip.digest:
        if record.baseline is not None and record.baseline.digest != trip.digest:
            return moves.lose_anchor(record, record.anchor, cause)
        return _ask_once_or_stay(record, trip.digest, cause)
    if record.baseline is not None and record.baseline.digest == trip.digest:
        return _ask_once_or_stay(record, trip.digest, cause)
    return Stay(f"{short(trip.digest)} has no place in the deployment")


def _replace_tripped(record: ActiveModel, cause: Cause) -> Transition | Stay:
    """Who cannot answer cannot stay, frozen, pinned or a person's choice; then a person is told.

    The second time in a day it also freezes.
    """
    if (to := fallback(record)) is None:
        return _ask_once_or_stay(record, record.digest, cause)
    moved = moves.roll_back(record, to, cause, event_ms=record.heard_ms)
    if not _too_soon(record, record.heard_ms):
        person = _set_by_a_person(record)
        if person is None:
            return moved
        told = replace(cause, reason=f"{cause.reason}; {person}")
        return moves.ask(moved, moved.record.digest, told)
    frozen = replace(moved, record=moved.record.model_copy(update={"frozen": True}))
    why = f"{cause.reason}; {TOO_SOON}"
    return moves.ask(frozen, moved.record.digest, replace(cause, reason=why))


def fallback(record: ActiveModel) -> Placed | None:
    """Where a rollback leads: the anchor, the baseline if the active model is its own; or None."""
    for place in (record.anchor, record.baseline):
        if place is not None and place.digest != record.digest:
            return place
    return None


def _too_soon(record: ActiveModel, event_ms: int) -> bool:
    return record.rollback_ms > 0 and event_ms - record.rollback_ms < ATTRIBUTION_MS


def _ask_once_or_stay(record: ActiveModel, digest: str, cause: Cause) -> Transition | Stay:
    made = moves.ask_once(record, digest, cause)
    return made if made.announcements else Stay(f"{cause.reason}; a person was asked")
