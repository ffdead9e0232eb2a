"""When `model.<pipeline>.scored` is due: by event time alone, so that replays tell the same. Pure."""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from flyball_proto.progress import ModelsScored
from flyball_registry.contract import Contract
from flyball_registry.records.figures import outlines
from flyball_registry.records.scoreboard import Scoreboard
from flyball_registry.records.standings import comparisons

LEAST_MS: Final = 60_000
SHARE: Final = 256
"""After long evaluation an event comes after a 256th of its event time, so their number grows with
its logarithm: about 2 400 in the 400 days that EVENTS reaches back, beside those of judgements."""


@dataclass(frozen=True, slots=True)
class Pace:
    """What was told last; `at_ms` None = nothing yet."""

    at_ms: int | None = None
    number: int = 0

    def is_due(self, board: Scoreboard, contract: Contract) -> bool:
        """At a judgement, else a minute and a block of event time after the last event at least."""
        if not board.figures:
            return False
        if self.at_ms is None or board.number > self.number:
            return True
        gap_ms = max(LEAST_MS, contract.block_ms, (board.folded_ms - board.first_ms) // SHARE)
        return board.folded_ms - self.at_ms >= gap_ms

    @staticmethod
    def behind(board: Scoreboard) -> "Pace":
        """After telling this scoreboard, or after a start from it."""
        return Pace(board.folded_ms if board.figures else None, board.number)


def scored(board: Scoreboard, contract: Contract, at: datetime) -> ModelsScored:
    """The event; under 5 kB with four trainers, under 40 kB with sixteen."""
    return ModelsScored(
        pipeline=board.pipeline,
        at=at,
        event_ms=max(0, board.folded_ms),
        mark=board.mark,
        figures=outlines(board, contract),
        comparisons=comparisons(board),
    )
