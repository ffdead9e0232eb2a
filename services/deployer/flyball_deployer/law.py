"""Which moves a deployment may make at all, whatever asked for them. Pure.

`rollout` and `steering` decide; this is the independent check before anything is written, so that a
mistake there is a dead letter and not a seat that moved. `LAW` is the table in the README.
"""

from collections.abc import Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from flyball_deployer.moves import Move, Transition
from flyball_deployer.policy import ATTRIBUTION_MS
from flyball_kit.errors import PermanentError
from flyball_proto.deployments import ActiveModel


class State(StrEnum):
    """What a deployment is in; of several that apply the first, from below."""

    EMPTY = "empty"
    STEADY = "steady"
    CANARY = "canary"
    FROZEN = "frozen"
    PINNED = "pinned"


class Law(NamedTuple):
    """From which states a move may start and where it may lead; `same` = where it started.

    `back` says that the model which answers then may be one that was rolled back.
    """

    begins: frozenset[State]
    ends: frozenset[State]
    same: bool = False
    back: bool = False


class IllegalMoveError(PermanentError):
    """A decision would break the law of deployments: a mistake in this program."""

    kind = "illegal-move"

    def __init__(self, pipeline: str, move: Move, what: str) -> None:
        super().__init__(
            f"deployment of {pipeline}: {move} would be made, but {what}; nothing was moved. "
            "This is a mistake in the deployer: report it with the deployment's record"
        )


_EMPTY, _STEADY, _CANARY = State.EMPTY, State.STEADY, State.CANARY
_FROZEN, _PINNED = State.FROZEN, State.PINNED
_SEATED: Final = frozenset(State) - {_EMPTY}
_FREE: Final = frozenset({_STEADY, _CANARY})


def _law(begins: frozenset[State], *ends: State, back: bool = False) -> Law:
    return Law(begins, frozenset(ends), back=back)


_WHEREVER: Final = Law(_SEATED, _SEATED, same=True)

LAW: Final[Mapping[Move, Law]] = {
    Move.SEAT_ZERO: _law(frozenset({_EMPTY}), _STEADY),
    Move.NEW_BASELINE: Law(_SEATED, _SEATED, same=True, back=True),
    Move.CANARY_STEP: _law(_FREE, _CANARY),
    Move.CANARY_END: _law(frozenset({_CANARY}), _STEADY),
    Move.SUCCESSION: _law(_FREE, _STEADY),
    Move.REFRESH: Law(_FREE, _FREE, same=True),
    Move.ROLLBACK: _law(_SEATED, _STEADY, _FROZEN, _PINNED, back=True),
    Move.PROMOTION: _law(_SEATED, _STEADY, _PINNED, back=True),
    Move.FREEZE: _law(_FREE, _FROZEN),
    Move.PIN: _law(_FREE | {_FROZEN}, _PINNED),
    Move.UNPIN: _law(frozenset({_FROZEN, _PINNED}), _STEADY),
    Move.ANCHOR_LOST: _WHEREVER,
    Move.LAST_FALLBACK: _WHEREVER,
    Move.ASK: _WHEREVER,
    Move.NOTE: _WHEREVER,
}


def state_of(record: ActiveModel | None) -> State:
    """What a deployment is in."""
    if record is None:
        return State.EMPTY
    if record.pinned is not None:
        return State.PINNED
    if record.frozen:
        return State.FROZEN
    return State.CANARY if record.canary is not None else State.STEADY


def breach(before: ActiveModel | None, made: Transition) -> str | None:
    """Which law a transition would break, in words, or None."""
    begin, end, law = state_of(before), state_of(made.record), LAW[made.move]
    if begin not in law.begins or end not in law.ends or (law.same and begin != end):
        return f"it cannot lead from {begin} to {end}"
    if end in (State.FROZEN, State.PINNED) and made.record.canary is not None:
        return f"a canary cannot stand beside a seat that is {end}"
    if (reason := _of_epoch(before, made.record)) is not None or before is None:
        return reason
    return _of_memory(before, made)


def _of_epoch(before: ActiveModel | None, record: ActiveModel) -> str | None:
    """The epoch rises by one exactly when somebody else answers for somebody."""
    known = before.epoch if before is not None else 0
    moved = before is None or _answering(before) != _answering(record)
    if record.epoch != known + moved:
        return f"its epoch would go from {known} to {record.epoch}"
    return None


def _answering(record: ActiveModel) -> object:
    return record.active, record.canary


def _of_memory(before: ActiveModel, made: Transition) -> str | None:
    """What was judged stays judged, and who was rolled back does not come back by itself."""
    record = made.record
    if record.handled < before.handled:
        return f"judgement {before.handled} was acted on, and {record.handled} would stand there"
    new = {p.digest for p in (record.active, record.canary) if p is not None}
    new -= {p.digest for p in (before.active, before.canary) if p is not None}
    if not LAW[made.move].back and (known := new & set(before.rolled_back)):
        return f"{', '.join(sorted(known))} was rolled back"
    if record.rollback_ms != before.rollback_ms and not record.frozen:
        since_ms = record.rollback_ms - before.rollback_ms
        if before.rollback_ms and since_ms < ATTRIBUTION_MS:
            return f"the last rollback was {since_ms} ms before and the seat would not be frozen"
    return None
