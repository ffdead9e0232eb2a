"""Who held the seat when a row was decided: the deployment's moves, as far as samples name them. Pure."""

from collections.abc import Iterable, Mapping
from typing import Final

from flyball_proto.columns import Model
from flyball_proto.deployments import ActiveModel
from flyball_proto.events import Wire
from flyball_registry.evidence.design import Seat

MAX_TURNS: Final = 32
"""Newest moves that are told apart; rows wait for their label far less long."""


class Turn(Wire):
    """Who answered from an epoch on."""

    epoch: int
    trainer: str
    digest: str
    anchor_trainer: str
    anchor_digest: str
    since_ms: int = 0
    """Event time of the first labelled row decided in it; 0 = from the first there is."""

    @property
    def seat(self) -> Seat:
        """The same for the evaluation."""
        return Seat(**self.model_dump())


def turn_of(pointer: ActiveModel) -> Turn:
    """The turn that a deployment's record stands for."""
    anchor = pointer.anchored
    return Turn(
        epoch=pointer.epoch,
        trainer=pointer.trainer,
        digest=pointer.digest,
        anchor_trainer=anchor.trainer,
        anchor_digest=anchor.digest,
    )


def noted(turns: tuple[Turn, ...], turn: Turn) -> tuple[Turn, ...]:
    """With one more turn, by epoch; what was known of an epoch is replaced."""
    others = [known for known in turns if known.epoch != turn.epoch]
    return tuple(sorted([*others, turn], key=lambda known: known.epoch))[-MAX_TURNS:]


def named(models: Iterable[Model]) -> int:
    """The newest epoch that decisions name; 0 = none."""
    return max((model.epoch for model in models), default=0)


def reached(
    seat: Turn | None, turns: tuple[Turn, ...], models: Iterable[Model], first_ms: Mapping[int, int]
) -> Turn | None:
    """The seat once rows by these models were seen; None = nobody is known to hold it.

    `first_ms` gives the first event time of rows by epoch. The seat moves when a row that was
    decided in a later turn is seen, and only forward.
    """
    if not (newest := named(models)):
        return seat
    passed = [turn for turn in turns if turn.epoch <= newest]
    if not passed:
        active = [m for m in models if m.epoch == newest and m.stage != "canary"]
        if seat is not None or not active:
            return seat
        return _forgotten(active[0])
    now = passed[-1]
    if seat is not None and now.epoch <= seat.epoch:
        return seat
    if seat is None:
        return now
    since = min((ms for epoch, ms in first_ms.items() if epoch >= now.epoch), default=0)
    return now.model_copy(update={"since_ms": since})


def active_of(turns: Iterable[Turn], models: Iterable[Model]) -> dict[int, str]:
    """The digest of the active model by epoch, from all that is known."""
    found = {turn.epoch: turn.digest for turn in turns}
    return found | {model.epoch: model.digest for model in models if model.stage != "canary"}


def _forgotten(model: Model) -> Turn:
    """A turn of which only its decisions are left: its anchor is not known, so itself."""
    return Turn(
        epoch=model.epoch,
        trainer=model.trainer,
        digest=model.digest,
        anchor_trainer=model.trainer,
        anchor_digest=model.digest,
    )
