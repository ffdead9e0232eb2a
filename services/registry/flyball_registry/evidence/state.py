"""All that the evaluation of one pipeline remembers, and what another design or seat does to it."""

from pydantic import Field

from flyball_proto.events import Wire
from flyball_registry.evidence.account import Account
from flyball_registry.evidence.blocks import UNSET
from flyball_registry.evidence.board import Score
from flyball_registry.evidence.comparison import Comparison
from flyball_registry.evidence.design import Design, Seat
from flyball_registry.evidence.watch import Watch


class Seated(Wire):
    """The seat as the last call knew it; rows decided before `since_ms` are no evidence."""

    epoch: int
    trainer: str
    digest: str
    anchor_digest: str
    since_ms: int


class State(Wire):
    """Everything that is needed to go on, for a record of at most 1 MiB.

    It does not grow with the rows. Under 400 kB as JSON with 16 trainers, under 800 kB when each
    also has as many slices as are told apart.
    """

    design: str = ""  # digest
    task: str = ""  # what the scoreboard's sums are of; not known in records of earlier versions
    seat: Seated | None = None
    open_ms: int = UNSET  # start of the open block
    account: Account = Account()
    comparisons: dict[str, Comparison] = Field(default_factory=dict)
    watch: Watch | None = None
    losses: tuple[float, ...] = ()  # block losses since the last drift
    relative: tuple[float, ...] = ()  # the same less what is tolerated, where there is a season
    board: dict[str, Score] = Field(default_factory=dict)


def designed(state: State, design: Design) -> State:
    """Under this design. Another one starts everything anew but the account and the scoreboard.

    Sums of the scoreboard that do not fit the task begin anew.
    """
    digest = design.digest()
    if state.design == digest:
        return state if state.task else state.model_copy(update={"task": design.task})
    block = design.block_ms
    open_ms = UNSET if state.open_ms == UNSET else -(-state.open_ms // block) * block
    return State(
        design=digest,
        task=design.task,
        seat=state.seat,
        open_ms=open_ms,
        account=_closed(state),
        board=_fitting(state, design),
    )


def seated(state: State, seat: Seat, design: Design) -> State:
    """With this seat. Another trainer in it ends all comparisons and starts another watch.

    A rollback or another anchor starts the evidence of the watch anew; a refresh changes nothing.
    """
    before = state.seat
    if before is None:
        return state.model_copy(update={"seat": _now(seat, seat.since_ms)})
    if before.trainer == seat.trainer:
        rolled_back = seat.digest == seat.anchor_digest != before.digest
        since_ms = max(seat.since_ms, before.since_ms) if rolled_back else before.since_ms
        held = state.model_copy(update={"seat": _now(seat, since_ms)})
        if state.watch and (rolled_back or before.anchor_digest != seat.anchor_digest):
            return held.model_copy(update={"watch": state.watch.again()})
        return held
    won = state.comparisons.get(seat.trainer)
    return state.model_copy(
        update={
            "seat": _now(seat, seat.since_ms),
            "account": _closed(state),
            "comparisons": {},
            "watch": Watch.begin(design, won.scale, won.usual) if won else Watch.begin(design),
            "losses": (),
            "relative": (),
            "board": {
                name: one.model_copy(update={"since": ()}) for name, one in state.board.items()
            },
        }
    )


def _now(seat: Seat, since_ms: int) -> Seated:
    return Seated(
        epoch=seat.epoch,
        trainer=seat.trainer,
        digest=seat.digest,
        anchor_digest=seat.anchor_digest,
        since_ms=since_ms,
    )


def _fitting(state: State, design: Design) -> dict[str, Score]:
    if state.task not in {"", design.task}:
        return {}
    return {name: one.under(design.task, design.classes) for name, one in state.board.items()}


def _closed(state: State) -> Account:
    """The account after the comparisons that run were closed unfinished."""
    account = state.account
    for comparison in state.comparisons.values():
        if comparison.number and not comparison.said:
            account = account.note(comparison.number, "closed")
    return account
