"""One look at a pipeline: rows that are due are scored and folded, then everything is judged."""

import asyncio
from collections.abc import Collection, Sequence

import numpy as np

from flyball_kit import clock
from flyball_proto.columns import Column, Mark, Model, Tally
from flyball_proto.deployments import ActiveModel
from flyball_proto.events import ModelRecord
from flyball_registry.contract import Contract
from flyball_registry.evidence import evaluation, gate, guards
from flyball_registry.evidence.design import ACTIVE, Design, Scored
from flyball_registry.evidence.guards import Latency, Step
from flyball_registry.judging.intake import Intake, first_times
from flyball_registry.judging.judging import Judging, standing_claims
from flyball_registry.judging.surroundings import Surroundings
from flyball_registry.records import scoreboard
from flyball_registry.records.scoreboard import Scoreboard
from flyball_registry.scoring import seats
from flyball_registry.scoring.candidates import candidate, gate_rows, unseen
from flyball_registry.scoring.models import Loaded, scores
from flyball_registry.scoring.rows import Sampled, models
from flyball_registry.scoring.scoring import Score, plan, scored


class Look:
    """Reads what it needs first, then decides; the intake's board is the result."""

    def __init__(
        self,
        contract: Contract,
        intake: Intake,
        around: Surroundings,
        clock_ms: int,
        mark: Mark | None,
    ) -> None:
        self._contract, self._intake, self._around = contract, intake, around
        self._clock_ms, self._mark = clock_ms, mark
        self._timelines = around.timelines(contract)
        self._judging = Judging(
            contract.pipeline,
            intake.board.number,
            clock.utc_now(),
            max(0, clock_ms),
            mark.id if mark else None,
        )

    async def run(self) -> None:
        """Look, and leave the board as it is now; nothing is saved or told."""
        tallies = self._intake.taken_tallies()
        rows = self._intake.due(self._clock_ms)
        decided = models(rows) if rows is not None else []
        pointer = await self._pointer([*decided, *(tally.model for tally in tallies)])
        if pointer is not None:
            self._update(turns=seats.noted(self._board.turns, seats.turn_of(pointer)))
        if rows is not None:
            turn = seats.reached(self._board.seat, self._board.turns, decided, first_times(rows))
            self._update(seat=turn)
        await self._fold(rows, decided, pointer)
        if pointer is not None:
            self._claim_again(pointer)
            self._look_at_canary(pointer, tallies)
            await self._examine_candidate(pointer)
        self._finish()

    async def _pointer(self, named: Collection[Model]) -> ActiveModel | None:
        """Who is active; in lockstep as it is at this mark, live at least as new as what decided."""
        pointer = self._around.pointer
        known = pointer.epoch if pointer else 0
        if self._mark is not None or seats.named(named) > known:
            return await self._around.look_up()
        return pointer

    async def _fold(
        self, rows: Sampled | None, decided: Sequence[Model], pointer: ActiveModel | None
    ) -> None:
        design, seat, board = self._contract.design, self._board.seat, self._board
        block_ms = self._contract.block_ms
        closing = self._clock_ms // block_ms > board.folded_ms // block_ms
        if design is not None and seat is not None and (rows is not None or closing):
            found = _nothing() if rows is None else await self._scored(rows, decided, seat)
            state, findings = await asyncio.to_thread(
                evaluation.fold, board.state, found, self._clock_ms, seat.seat, design
            )
            self._update(state=state)
            self._judging.conclude(findings, pointer, self._timelines)
        self._update(folded_ms=max(board.folded_ms, self._clock_ms))

    async def _scored(self, rows: Sampled, decided: Sequence[Model], seat: seats.Turn) -> Scored:
        anchor = seat.anchor_digest
        active_of = seats.active_of(self._board.turns, decided)
        classes = self._contract.classes
        planned = plan(rows, self._timelines, anchor, active_of, classes)
        score = _score({digest: await self._around.model(digest) for digest in planned.digests})
        return await asyncio.to_thread(
            scored, rows, planned, self._timelines, anchor, self._contract.slices, score, classes
        )

    def _claim_again(self, pointer: ActiveModel) -> None:
        """Winners whose canary ended without the seat get another try with a newer model."""
        design = self._contract.design
        if design is None:
            return
        again = {claim.trainer for claim in standing_claims(self._board, pointer, self._timelines)}
        for outcome in evaluation.standing(self._board.state, design) if again else ():
            if outcome.trainer in again:
                self._judging.superior(outcome, pointer, self._timelines)

    def _look_at_canary(self, pointer: ActiveModel, tallies: Sequence[Tally]) -> None:
        canary, step = pointer.canary, self._board.step
        if canary is None:
            self._update(step=None)
            return
        if step is None or (step.digest, step.epoch) != (canary.digest, canary.epoch):
            step = Step(
                digest=canary.digest,
                epoch=canary.epoch,
                percent=canary.percent,
                since_ms=max(0, self._clock_ms),
            )
        step = step.add(tallies)
        if self._mark is None and not self._board.lockstep:
            step = self._with_runtime(step)
        if (told := guards.to_tell(step, self._clock_ms, self._contract.block_ms)) is not None:
            outcome, found = told
            self._judging.looked(step, outcome, found)
            step = step.model_copy(update={"told": (*step.told, outcome)})
        self._update(step=step)

    def _with_runtime(self, step: Step) -> Step:
        """What runtimes said of the models, live."""
        slowest = [
            Latency(
                canary_ms=event.p99_ms[step.digest],
                active_ms=max((v for k, v in event.p99_ms.items() if k != step.digest), default=0),
            )
            for event in self._around.latencies.values()
            if event.epoch >= step.epoch and step.digest in event.p99_ms and len(event.p99_ms) > 1
        ]
        latency = max(slowest, key=lambda found: found.canary_ms, default=step.latency)
        tripped = self._around.trips.get(step.digest, step.tripped)
        return step.model_copy(update={"latency": latency, "tripped": tripped})

    async def _examine_candidate(self, pointer: ActiveModel) -> None:
        design, board = self._contract.design, self._board
        model = candidate(self._timelines, pointer, board.gated)
        if model is None or design is None:
            return
        wanted = {model.digest, pointer.digest, pointer.anchored.digest}
        loaded = {digest: await self._around.model(digest) for digest in sorted(wanted)}
        newer = loaded[model.digest]
        rows = self._intake.recent()
        if newer is None or rows is None:
            return
        rows = rows.take(unseen(rows, model, newer.manifest)).newest(design.gate_rows)
        if len(rows) < gate.MIN_ROWS:
            return  # more come
        said = await asyncio.to_thread(_examined, rows, model, pointer, _score(loaded), design)
        if said.rows < gate.MIN_ROWS:
            return
        self._judging.gated(model, pointer, said)
        self._update(gated=scoreboard.remember(board.gated, model.digest))

    def _finish(self) -> None:
        made, board = self._judging, self._board
        claims = {claim.trainer: claim for claim in (*board.claims, *made.claims)}
        update: dict[str, object] = {
            "number": made.number,
            "judgements": (*board.judgements, *made.judgements),
            "drifts": (*board.drifts, *made.drifts),
            "claims": tuple(claims[trainer] for trainer in sorted(claims)),
        }
        if self._mark is not None:
            update |= {"mark": self._mark.id, "lockstep": not self._mark.last}
        self._update(**update)

    @property
    def _board(self) -> Scoreboard:
        return self._intake.board

    def _update(self, **changes: object) -> None:
        self._intake.board = self._intake.board.model_copy(update=changes)


def _score(loaded: dict[str, Loaded | None]) -> Score:
    def score(digest: str, features: Column) -> Column:
        return scores(loaded[digest], features)

    return score


def _examined(
    rows: Sampled, model: ModelRecord, pointer: ActiveModel, score: Score, design: Design
) -> gate.Gate:
    return gate.examine(gate_rows(rows, model, pointer, score, design.classes), design)


def _nothing() -> Scored:
    """No rows: only the clock moves."""
    none = np.empty(0)
    whole = np.empty(0, np.int64)
    return Scored(
        whole, whole, np.empty(0, np.uint32), none, np.empty(0, bool), none, {ACTIVE: none}
    )
