"""What each move makes of a deployment's record, and what has to be announced then. Pure.

A move does not ask whether it may be made; that is `rollout`. The record carries what it owes: the
last announcement of each kind.
"""

from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import datetime
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


@dataclass(frozen=True, slots=True)
class Stay:
    """The record stays as it is, and why."""

    reason: str


def placed(model: ModelRecord) -> Placed:
    """A model as it stands in a deployment."""
    return Placed(digest=model.digest, trainer=model.trainer, feature_digest=model.feature_digest)


def short(digest: str) -> str:
    """A digest as people read it."""
    return digest[:12]


def rest(record: ActiveModel, reason: str, **fields: Any) -> Transition:
    """Nobody's place changes and nothing is announced; `fields` of the record may."""
    return Transition(record.model_copy(update=fields), (), reason)


def seat_zero(model: Placed, cause: Cause) -> Transition:
    """The first model of a pipeline takes the seat: the baseline, epoch 1."""
    empty = ActiveModel(
        **model.model_dump(), epoch=1, since=cause.now, reason=cause.reason, baseline=model
    )
    return _owing(empty, cause, _activated(empty, cause, "seat-zero", replaces=""))


def activate(
    record: ActiveModel, model: Placed, cause: Cause, change: Change, **fields: Any
) -> Transition:
    """Another model answers, with a new epoch. The canary stays unless `fields` say otherwise."""
    moved = record.model_copy(
        update={
            "digest": model.digest,
            "trainer": model.trainer,
            "feature_digest": model.feature_digest,
            "epoch": record.epoch + 1,
            "since": cause.now,
            "reason": cause.reason,
            "set_by": cause.by,
        }
        | fields
    )
    return _owing(moved, cause, _activated(moved, cause, change, replaces=record.digest))


def succeed(record: ActiveModel, model: Placed, cause: Cause) -> Transition:
    """A model that won by evidence takes the seat and is its own anchor from now on."""
    return activate(record, model, cause, "succession", anchor=None, canary=None, may_refresh=True)


def refresh(record: ActiveModel, model: Placed, cause: Cause) -> Transition:
    """A newer model of the seat's own trainer answers; the anchor is who it was."""
    return activate(record, model, cause, "refresh", anchor=record.anchored)


def roll_back(record: ActiveModel, to: Placed, cause: Cause, *, event_ms: int) -> Transition:
    """The active model leaves and is remembered, the canary ends, `to` is its own anchor."""
    moved = activate(
        record,
        to,
        cause,
        "rollback",
        anchor=None,
        canary=None,
        may_refresh=False,
        rolled_back=_remembering(record, record.digest),
        rollback_ms=max(1, event_ms),
    )
    return _with_end_of_canary(moved, record.canary, cause)


def promote(record: ActiveModel, model: Placed, cause: Cause) -> Transition:
    """A person's choice answers and is its own anchor; nothing of what barred it is left."""
    moved = activate(
        record,
        model,
        cause,
        "promotion",
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
    return _with_end_of_canary(rest(record, cause.reason, **fields), record.canary, cause)


def freeze(record: ActiveModel, cause: Cause) -> Transition:
    """Nothing moves by itself from now on; the canary ends and a person is asked."""
    epoch = record.epoch + 1 if record.canary else record.epoch
    frozen = rest(record, cause.reason, frozen=True, canary=None, epoch=epoch)
    return ask(_with_end_of_canary(frozen, record.canary, cause), record.digest, cause)


def walk(record: ActiveModel, model: Placed, percent: int, step: int, cause: Cause) -> Transition:
    """A canary answers for `percent` of the elements, from a new epoch on."""
    epoch = record.epoch + 1
    canary = Canary(
        digest=model.digest,
        trainer=model.trainer,
        feature_digest=model.feature_digest,
        step=step,
        percent=percent,
        since=cause.now,
        epoch=epoch,
    )
    moved = record.model_copy(update={"epoch": epoch, "canary": canary})
    return _owing(moved, cause, _canary_moved(moved, canary, cause, percent))


def end_canary(record: ActiveModel, canary: Canary, cause: Cause) -> Transition:
    """The canary answers for nobody any more and is remembered as rolled back."""
    moved = record.model_copy(
        update={
            "epoch": record.epoch + 1,
            "canary": None,
            "rolled_back": _remembering(record, canary.digest),
        }
    )
    return _owing(moved, cause, _canary_moved(moved, canary, cause, 0))


def lose_anchor(record: ActiveModel, anchor: Placed, cause: Cause) -> Transition:
    """The anchor is no use as one: a rollback would lead to the baseline."""
    lost = {"anchor": record.baseline, "rolled_back": _remembering(record, anchor.digest)}
    return rest(record, cause.reason, **lost)


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
    return _and(before, asked)


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


def _owing(record: ActiveModel, cause: Cause, event: Announcement) -> Transition:
    return _and(Transition(record, (), cause.reason), event)


def _and(before: Transition, event: Announcement) -> Transition:
    record = before.record.model_copy(update={_FIELDS[type(event)]: event})
    return replace(before, record=record, announcements=(*before.announcements, event))


def _remembering(record: ActiveModel, digest: str) -> tuple[str, ...]:
    """At most `MAX_REMEMBERED`, each once, the newest last."""
    others = [known for known in record.rolled_back if known != digest]
    return (*others, digest)[-MAX_REMEMBERED:]
