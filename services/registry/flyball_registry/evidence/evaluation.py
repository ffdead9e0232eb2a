"""From labelled rows to what is concluded of trainers and of the seat. What the service calls.

`fold` is the composition of everything in this folder that decides by evidence: a comparison for
each trainer beside the seat's, the watch over the seat, drift of the loss, the scoreboard. Rows can
be cut into calls anywhere: with the same order, and a clock that is past every row given, the state
and the findings are the same to the bit.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from flyball_registry.evidence.blocks import UNSET, Stretch, Sums, counted, stretches
from flyball_registry.evidence.board import STRETCH_BLOCKS, STRETCHES, Score, Taken
from flyball_registry.evidence.comparison import Comparison
from flyball_registry.evidence.design import (
    ACTIVE,
    ANCHOR,
    Design,
    DesignError,
    Flags,
    Floats,
    Integers,
    Scored,
    Seat,
)
from flyball_registry.evidence.findings import (
    Degraded,
    Drifted,
    Equivalent,
    Finding,
    Inferior,
    Outcome,
    Standing,
    Superior,
    Undecided,
)
from flyball_registry.evidence.losses import absent, errors, saturate
from flyball_registry.evidence.rising import Rising
from flyball_registry.evidence.slices import Labelled
from flyball_registry.evidence.state import State, designed, seated
from flyball_registry.evidence.watch import Watch

__all__ = [
    "Degraded", "Design", "DesignError", "Drifted", "Equivalent", "Finding", "Inferior", "Scored",
    "Seat", "Standing", "State", "Superior", "Undecided", "fold", "standing",
]  # fmt: skip

MAX_COLUMNS: Final = 64
"""Of the scoreboard; a trainer that is gone keeps its line until then."""

WORDS: Final[dict[type[Outcome], str]] = {
    Superior: "superior",
    Inferior: "inferior",
    Equivalent: "equivalent",
    Undecided: "undecided",
}


def fold(
    state: State, rows: Scored, clock_ms: int, seat: Seat, design: Design
) -> tuple[State, tuple[Finding, ...]]:
    """Take rows, close the blocks that end by `clock_ms`, and say what is new, oldest first.

    `clock_ms`: event time that every partition has passed; no row may lie after it. Raises
    DesignError and takes nothing when rows or trainers are not as they must be.
    """
    known = [name for name in rows.trainers if name != seat.trainer]
    if len(known) > design.max_comparisons:
        raise DesignError(
            f"{len(known)} trainers beside {seat.trainer!r}; at most {design.max_comparisons} are "
            "compared at once: take some out of the specification"
        )
    run = _Run(state, seat, design)
    columns = _Columns.of(rows, design)
    run.score(rows, columns, clock_ms)
    usable = counted(rows, run.since_ms)
    for stretch in stretches(rows, usable, run.open_ms, clock_ms, design.block_ms):
        run.close_until(stretch.start_ms)
        run.gather(rows, columns, stretch)
    run.close_until(clock_ms // design.block_ms * design.block_ms)
    return run.finish()


def standing(state: State, design: Design) -> tuple[Standing, ...]:
    """How every comparison stands after the blocks closed so far, by trainer."""
    compared = sorted(state.comparisons.items())
    return tuple(comparison.standing(state.open_ms, design) for _, comparison in compared)


@dataclass(frozen=True, slots=True)
class _Columns:
    """Errors and presence of each column of scores, (n,) each, and the declared slices."""

    error: Mapping[str, Floats]
    present: Mapping[str, Flags]
    slices: tuple[Labelled, ...]

    @classmethod
    def of(cls, rows: Scored, design: Design) -> "_Columns":
        return cls(
            {name: errors(design.task, rows.label, score) for name, score in rows.score.items()},
            {name: ~absent(score) for name, score in rows.score.items()},
            tuple(Labelled.of(n, rows.slices[n]) for n in design.slices if n in rows.slices),
        )


class _Run:
    """One call of `fold`: the state while it changes."""

    def __init__(self, state: State, seat: Seat, design: Design) -> None:
        self.design, self.seat = design, seat
        state = seated(designed(state, design), seat, design)
        self.open_ms = state.open_ms
        self.since_ms = state.seat.since_ms if state.seat else seat.since_ms
        self._state = state
        self._account = state.account
        self._comparisons = dict(state.comparisons)
        self._watch = state.watch or Watch.begin(design)
        self._board = dict(state.board)
        self._rising = Rising(state, design.season_ms)
        self._findings: list[Finding] = []

    def score(self, rows: Scored, columns: _Columns, clock_ms: int) -> None:
        """Every labelled row counts on the scoreboard, also late ones."""
        labelled, taken = counted(rows, from_ms=-(1 << 62)), self._taken(rows, columns, clock_ms)
        for name, present in columns.present.items():
            at = np.flatnonzero(labelled & present)
            if not len(at) or (name not in self._board and len(self._board) >= MAX_COLUMNS):
                continue
            added = taken.column(at, rows.score[name], columns.error[name])
            self._board[name] = self._board.get(name, Score()).add(added)
        self._board = {name: one.kept(taken.oldest_ms) for name, one in self._board.items()}

    def _taken(self, rows: Scored, columns: _Columns, clock_ms: int) -> Taken:
        stretch_ms = STRETCH_BLOCKS * self.design.block_ms
        reached = np.maximum.accumulate(np.concatenate(([self.open_ms], rows.time_ms)))[1:]
        newest_ms = max(self.open_ms, clock_ms)
        return Taken(
            self.design.task,
            self.design.classes,
            rows.weight,
            rows.label,
            stretch_ms=reached // stretch_ms * stretch_ms,
            is_since=rows.time_ms >= self.since_ms,
            slices=columns.slices,
            oldest_ms=newest_ms // stretch_ms * stretch_ms - (STRETCHES - 1) * stretch_ms,
        )

    def gather(self, rows: Scored, columns: _Columns, stretch: Stretch) -> None:
        """Take the rows of one block."""
        held = stretch.rows[columns.present[ACTIVE][stretch.rows]]
        if not len(held):
            return
        self._gather_watch(rows, columns, held)
        for name in rows.trainers:
            if name == self.seat.trainer:
                continue
            at = held[columns.present[name][held]]
            if not len(at):
                continue
            comparison = self._comparisons.get(name)
            if comparison is None:
                comparison = Comparison.begin(name, self.seat.trainer, self.design)
            labels = [labelled.at(at) for labelled in columns.slices]
            self._comparisons[name] = comparison.gather(
                int(rows.time_ms[at[0]]), rows.weight[at], columns.error[ACTIVE][at],
                columns.error[name][at], labels,
            )  # fmt: skip

    def _gather_watch(self, rows: Scored, columns: _Columns, held: Integers) -> None:
        watch, update = self._watch, dict[str, object]()
        error = columns.error[ACTIVE]
        if watch.first_ms < 0:
            update["first_ms"] = int(rows.time_ms[held[0]])
        if watch.scale.reference is None:
            update["scale"] = watch.scale.gather(error[held])
            update["own"] = watch.own.add(rows.weight[held], rows.weight[held] * 0.0)
        else:
            scale = watch.scale.reference
            update["own"] = watch.own.add(rows.weight[held], saturate(error[held], scale))
            if ANCHOR in columns.present and self.seat.digest != self.seat.anchor_digest:
                at = held[columns.present[ANCHOR][held]]
                ours, theirs = error[at], columns.error[ANCHOR][at]
                update["paired"] = watch.paired.add(
                    rows.weight[at], saturate(ours, scale) - saturate(theirs, scale)
                )
        self._watch = watch.model_copy(update=update)

    def close_until(self, boundary_ms: int) -> None:
        """Close the open block if it ends by then; what has too few rows goes on."""
        if self.open_ms == UNSET:
            self.open_ms = boundary_ms
        if boundary_ms <= self.open_ms:
            return
        end_ms = self.open_ms + self.design.block_ms
        self.open_ms = boundary_ms
        for name, comparison in sorted(self._comparisons.items()):
            self._comparisons[name] = self._closed(comparison, end_ms)
        self._close_watch(end_ms)

    def _closed(self, comparison: Comparison, end_ms: int) -> Comparison:
        if not comparison.number:
            self._account, entry = self._account.open(
                comparison.trainer, comparison.over, self.design.alpha, comparison.first_ms
            )
            comparison = comparison.entered(entry)
        if comparison.sums.rows < self.design.min_block_rows:
            return comparison
        comparison, outcome = comparison.close(end_ms, self.design)
        if outcome is not None:
            self._findings.append(outcome)
            self._account = self._account.note(outcome.comparison, WORDS[type(outcome)])
        if comparison.is_outgrown:
            self._account = self._account.note(comparison.number, "outgrown")
            return Comparison.begin(comparison.trainer, comparison.over, self.design)
        return comparison

    def _close_watch(self, end_ms: int) -> None:
        watch = self._watch
        if watch.scale.reference is None:
            if watch.own.rows >= self.design.min_block_rows:
                self._watch = watch.model_copy(
                    update={"scale": watch.scale.close(), "own": Sums(), "paired": Sums()}
                )
            return
        if watch.own.rows >= self.design.min_block_rows:
            part, known = watch.usual.part(end_ms, self.design.season_ms), watch.tolerated
            watch, loss = watch.close_own(end_ms, self.design)
            self._rising.take(end_ms, loss, known[part] if known else None)
        if watch.paired.rows >= self.design.min_block_rows:
            watch = watch.close_paired(self.design)
        decision = watch.decision(self.design)
        if decision not in (watch.said, "keep"):
            self._findings.append(self._degraded(watch, end_ms))
        self._watch = watch.model_copy(update={"said": decision})

    def _degraded(self, watch: Watch, end_ms: int) -> Degraded:
        return Degraded(
            at_ms=end_ms,
            digest=self.seat.digest,
            anchor_digest=self.seat.anchor_digest,
            decision=watch.decision(self.design),
            harm=watch.harm_evidence,
            relative=watch.relative_evidence,
            threshold=self.design.alarm_blocks,
            blocks=watch.blocks,
        )

    def finish(self) -> tuple[State, tuple[Finding, ...]]:
        """The state after the call, and its findings by time."""
        losses, rises = self._rising.finish()
        state = self._state.model_copy(
            update={
                "open_ms": self.open_ms,
                "account": self._account,
                "comparisons": self._comparisons,
                "watch": self._watch,
                "board": self._board,
                **losses,
            }
        )
        found = [*self._findings, *rises]
        return state, tuple(sorted(found, key=lambda finding: finding.at_ms))
