"""What a deployment needs loaded, and the seat that it becomes when it is."""

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from flyball_inference.bundle import name_of
from flyball_inference.hot import Hot, Loaded, fallback
from flyball_inference.propose import Rules
from flyball_inference.seat import Seat, Voice
from flyball_proto.columns import Model
from flyball_proto.deployments import ActiveModel, Placed


def needed(pointer: ActiveModel) -> set[str]:
    """The names of what a deployment needs loaded."""
    places = (pointer.active, pointer.canary, fallback(pointer))
    return {name_of(placed) for placed in places if placed is not None}


def seat_of(pointer: ActiveModel, loaded: Sequence[Loaded], rules: tuple[Rules, int]) -> Seat:
    """`loaded` are the active model and, if there is one, the canary."""
    active, canary = pointer.active, pointer.canary
    compiled, revision = rules
    return Seat(
        _voice(active, pointer.epoch, "active", loaded[0]),
        active.feature_digest,
        len(loaded[0].manifest.features),
        compiled,
        revision,
        _voice(canary, pointer.epoch, "canary", loaded[1]) if canary else None,
        canary.percent if canary else 0,
    )


def beside(seat: Seat, pointer: ActiveModel, hot: Hot) -> Seat:
    """The seat with what is loaded of where a rollback would lead, if that can be compared with it."""
    spare, active = fallback(pointer), hot.find(pointer.active)
    loaded = hot.find(spare) if spare is not None else None
    if spare is None or loaded is None or active is None or not _compares(loaded, active):
        return replace(seat, fallback=None)
    model = _voice(spare, pointer.epoch, "fallback", loaded).model
    return replace(seat, fallback=Voice(model, loaded.session.attempt))


def _compares(one: Loaded, other: Loaded) -> bool:
    return (one.manifest.feature_digest, one.manifest.task, one.manifest.classes) == (
        other.manifest.feature_digest,
        other.manifest.task,
        other.manifest.classes,
    )


def _voice(
    placed: Placed, epoch: int, stage: Literal["active", "canary", "fallback"], loaded: Loaded
) -> Voice:
    precision = "" if placed.precision == "float32" else placed.precision
    learnt_ms = loaded.manifest.trained_through_ms
    model = Model(placed.digest, epoch, stage, placed.trainer, precision, learnt_ms)
    return Voice(model, loaded.session.run, loaded.novelty)
