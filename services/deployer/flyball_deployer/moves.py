"""What each move makes of a deployment's record, and what has to be announced then. Pure.

A move does not ask whether it may be made; that is `rollout`. The record carries what it owes: the
last announcement of each kind.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
from enum import StrEnum
from typing import Any, Final, Literal

from flyball_proto.deployments import (
    MAX_REMEMBERED,
    ActiveModel,
    Canary,
    CanaryMoved,
    DeploymentActivated,
    PersonAsked,
    Pin,
    Placed,
)
from flyball_proto.events import ModelRecord

Announcement = DeploymentActivated | CanaryMoved | PersonAsked
Change = Literal["seat-zero", "succession", "refresh", "rollback", "promotion"]

_FIELDS: Final[Mapping[type[Announcement], str]] = {
    DeploymentActivated: "activated",
    CanaryMoved: "canary_moved",
    PersonAsked: "person_asked",
}


class Move(StrEnum):
    """Every move there is; `law.LAW` says which may follow what."""

    SEAT_ZERO = "seat-zero"
    NEW_BASELINE = "new-baseline"
    CANARY_STEP = "canary-step"
    CANARY_END = "canary-end"
    SUCCESSION = "succession"
    REFRESH = "refresh"
    ROLLBACK = "rollback"
    PROMOTION = "promotion"
    FREEZE = "freeze"
    PIN = "pin"
    UNPIN = "unpin"
    ANCHOR_LOST = "anchor-lost"
    LAST_FALLBACK = "last-fallback"
    ASK = "ask"
    NOTE = "note"


_CHANGES: Final[Mapping[Move, Change]] = {
    Move.NEW_BASELINE: "seat-zero",
    Move.SUCCESSION: "succession",
    Move.REFRESH: "refresh",
    Move.ROLLBACK: "rollback",
    Move.PROMOTION: "promotion",
}


@dataclass(frozen=True, slots=True)
class Cause:
    """Why something moves, and when.

    `judgement` is the number of the one behind it, 0 = none; `by` the person, empty = nobody.
    """

    pipeline: str
    now: datetime
    reason: str
    judgement: int = 0
    by: str = ""


@dataclass(frozen=True, slots=True)
class Transition:
    """The record becomes this one, and then these are announced, at most one of each kind."""

    record: ActiveModel
    announcements: tuple[Announcement, ...]
    reason: str
    move: Move


@dataclass(frozen=True, slots=True)
class Stay:
    """The record stays as it is, and why."""

    reason: str


def placed(model: ModelRecord) -> Placed:
    """A model as it was trained, as it stands in a deployment."""
    return Placed(digest=model.digest, trainer=model.trainer, feature_digest=model.feature_digest)


def short(digest: str) -> str:
    """A digest as people read it."""
    return digest[:12]


def rest(record: ActiveModel, reason: str, move: Move = Move.NOTE, **fields: Any) -> Transition:
    """Nobody's place changes and nothing is announced; `fields` of the record may."""
    return Transition(record.model_copy(update=fields), (), reason, move)


def seat_zero(model: Placed, cause: Cause) -> Transition:
    """The first model of a pipeline takes the seat: the baseline, epoch 1."""
    empty = ActiveModel(
        **model.model_dump(), epoch=1, since=cause.now, reason=cause.reason, baseline=model
    )
    activated = _activated(empty, cause, "seat-zero", replaces="")
    return _owing(empty, cause, activated, Move.SEAT_ZERO)


def renew_baseline(record: ActiveModel, baseline: Placed, cause: Cause) -> Transition:
    """The baseline holds the seat, and another baseline takes its place."""
    fields = {"anchor": None, "baseline": baseline}
    return _activate(record, baseline, cause, Move.NEW_BASELINE, **fields)


def keep_baseline(record: ActiveModel, baseline: Placed, reason: str) -> Transition:
    """Another model holds the seat; the baseline is its last fallback."""
    return rest(record, reason, Move.LAST_FALLBACK, baseline=baseline)


def _activate(
    record: ActiveModel, model: Placed, cause: Cause, move: Move, **fields: Any
) -> Transition:
    """Another model answers, with a new epoch. The canary stays unless `fields` say otherwise."""
    moved = record.model_copy(
        update={
            "digest": model.digest,
            "trainer": model.trainer,
            "feature_digest": model.feature_digest,
            "precision": model.precision,
            "epoch": record.epoch + 1,
            "since": cause.now,
            "reason": cause.reason,
            "set_by": cause.by,
        }
        | fields
    )
    activated = _activated(moved, cause, _CHANGES[move], replaces=record.digest)
    return _owing(moved, cause, activated, move)


def succeed(record: ActiveModel, model: Placed, cause: Cause) -> Transition:
    """A model that won by evidence takes the seat and is its own anchor from now on."""
    fields = {"anchor": None, "canary": None, "may_refresh": True}
    return _activate(record, model, cause, Move.SUCCESSION, **fields)


def refresh(record: ActiveModel, model: Placed, cause: Cause) -> Transition:
    """A newer model of the seat's own trainer answers; the anchor is who it was."""
    return _activate(record, model, cause, Move.REFRESH, anchor=record.anchored)


def roll_back(record: ActiveModel, to: Placed, cause: Cause, *, event_ms: int) -> Transition:
    """The active model leaves and is remembered, the canary ends, `to` is its own anchor."""
    moved = _activate(
        record,
        to,
        cause,
        Move.ROLLBACK,
        anchor=None,
        canary=None,
        may_refresh=False,
        rolled_back=_remembering(record, record.digest),
        rollback_ms=max(1, event_ms),
    )
    return _with_end_of_canary(moved, record.canary, cause)


def promote(record: ActiveModel, model: Placed, cause: Cause) -> Transition:
    """A person's choice answers and is its own anchor; nothing of what barred it is left."""
    moved = _activate(
        record,
        model,
        cause,
        Move.PROMOTION,
        anchor=None,
        canary=None,
        may_refresh=True,
        frozen=False,
        rolled_back=tuple(known for known in record.rolled_back if known != model.digest),
    )
    return _with_end_of_canary(moved, record.canary, cause)


def pin(record: ActiveModel, pinned: Pin, cause: Cause) -> Transition:
    """Nothing moves by itself from now on; a canary ends without being remembered."""
    epoch = record.epoch + 1 if record.canary else record.epoch
    fields = {"pinned": pinned, "frozen": False, "canary": None, "epoch": epoch}
    pinning = rest(record, cause.reason, Move.PIN, **fields)
    return _with_end_of_canary(pinning, record.canary, cause)


def unpin(record: ActiveModel, reason: str) -> Transition:
    """Evidence moves the seat again; a frozen one too."""
    return rest(record, reason, Move.UNPIN, pinned=None, frozen=False)


def freeze(record: ActiveModel, cause: Cause) -> Transition:
    """Nothing moves by itself from now on; the canary ends and a person is asked."""
    epoch = record.epoch + 1 if record.canary else record.epoch
    frozen = rest(record, cause.reason, Move.FREEZE, frozen=True, canary=None, epoch=epoch)
    return ask(_with_end_of_canary(frozen, record.canary, cause), record.digest, cause)


def walk(record: ActiveModel, model: Placed, percent: int, step: int, cause: Cause) -> Transition:
    """A canary answers for `percent` of the elements, from a new epoch on."""
    epoch = record.epoch + 1
    canary = Canary(
        digest=model.digest,
        trainer=model.trainer,
        feature_digest=model.feature_digest,
        precision=model.precision,
        step=step,
        percent=percent,
        since=cause.now,
        epoch=epoch,
    )
    moved = record.model_copy(update={"epoch": epoch, "canary": canary})
    return _owing(moved, cause, _canary_moved(moved, canary, cause, percent), Move.CANARY_STEP)


def end_canary(record: ActiveModel, canary: Canary, cause: Cause) -> Transition:
    """The canary answers for nobody any more and is remembered as rolled back."""
    moved = record.model_copy(
        update={
            "epoch": record.epoch + 1,
            "canary": None,
            "rolled_back": _remembering(record, canary.digest),
        }
    )
    return _owing(moved, cause, _canary_moved(moved, canary, cause, 0), Move.CANARY_END)


def lose_anchor(record: ActiveModel, anchor: Placed, cause: Cause) -> Transition:
    """The anchor is no use as one: a rollback would lead to the baseline."""
    lost = {"anchor": record.baseline, "rolled_back": _remembering(record, anchor.digest)}
    return rest(record, cause.reason, Move.ANCHOR_LOST, **lost)


def ask(before: Transition, digest: str, cause: Cause) -> Transition:
    """The same, and a person is asked about `digest`."""
    record = before.record
    asked = PersonAsked(
        pipeline=cause.pipeline,
        at=cause.now,
        digest=digest,
        epoch=record.epoch,
        reason=cause.reason,
    )
    move = Move.ASK if before.move is Move.NOTE else before.move
    return _and(replace(before, move=move), asked)


def ask_once(record: ActiveModel, digest: str, cause: Cause) -> Transition:
    """Nobody moves; a person is asked about `digest` unless that was done in this epoch."""
    asked, quiet = record.person_asked, rest(record, cause.reason)
    if asked is not None and (asked.digest, asked.epoch) == (digest, record.epoch):
        return quiet
    return ask(quiet, digest, cause)


def owed(record: ActiveModel) -> tuple[Announcement, ...]:
    """What a record says that was, or has to be, announced."""
    every = (record.activated, record.canary_moved, record.person_asked)
    return tuple(event for event in every if event is not None)


def _activated(
    record: ActiveModel, cause: Cause, change: Change, *, replaces: str
) -> DeploymentActivated:
    return DeploymentActivated(
        pipeline=cause.pipeline,
        at=cause.now,
        digest=record.digest,
        trainer=record.trainer,
        epoch=record.epoch,
        reason=cause.reason,
        change=change,
        replaces=replaces,
        judgement=cause.judgement,
        by=cause.by,
    )


def _canary_moved(record: ActiveModel, canary: Placed, cause: Cause, percent: int) -> CanaryMoved:
    return CanaryMoved(
        pipeline=cause.pipeline,
        at=cause.now,
        digest=canary.digest,
        trainer=canary.trainer,
        epoch=record.epoch,
        percent=percent,
        reason=cause.reason,
    )


def _with_end_of_canary(moved: Transition, canary: Canary | None, cause: Cause) -> Transition:
    if canary is None:
        return moved
    return _and(moved, _canary_moved(moved.record, canary, cause, 0))


def _owing(record: ActiveModel, cause: Cause, event: Announcement, move: Move) -> Transition:
    return _and(Transition(record, (), cause.reason, move), event)


def _and(before: Transition, event: Announcement) -> Transition:
    record = before.record.model_copy(update={_FIELDS[type(event)]: event})
    return replace(before, record=record, announcements=(*before.announcements, event))


def _remembering(record: ActiveModel, digest: str) -> tuple[str, ...]:
    """At most `MAX_REMEMBERED`, each once, the newest last."""
    others = [known for known in record.rolled_back if known != digest]
    return (*others, digest)[-MAX_REMEMBERED:]
