"""One look at a pipeline: rows that are due are scored and folded, then everything is judged."""

import asyncio
from collections.abc import Collection, Sequence

import numpy as np

from flyball_kit import clock
from flyball_proto.columns import Column, Mark, Model, Tally
from flyball_proto.deployments import ActiveModel
from flyball_proto.events import ModelRecord
from flyball_registry.contract import Contract
from flyball_registry.evidence import drifting, evaluation, gate, guards
from flyball_registry.evidence.design import ACTIVE, Design, Scored
from flyball_registry.evidence.drifting import Observed, Surface
from flyball_registry.evidence.moving import Season
from flyball_registry.evidence.restarting import restarted
from flyball_registry.judging.intake import Intake, first_times
from flyball_registry.judging.judging import Judging, standing_claims
from flyball_registry.judging.serving import served
from flyball_registry.judging.stepping import stepped, with_runtime
from flyball_registry.judging.surroundings import Surroundings
from flyball_registry.records import scoreboard
from flyball_registry.records.scoreboard import Scoreboard
from flyball_registry.records.upstream import seen
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
            contract.block_ms,
            intake.board.drifted_ms,
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
        await self._begin_anew()
        await self._fold(rows, decided, pointer)
        if rows is not None:
            await self._compare_served(rows)
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

    async def _begin_anew(self) -> None:
        """Where a pipeline whose decisions come in here has another model, evidence begins anew."""
        names, board = self._contract.upstream, self._board
        if self._mark is not None:
            await self._around.look_up_others(names)
        now, changed = seen(board.upstream, names, self._around.others)
        self._update(upstream=now)
        since_ms = 1 + (self._mark.time_ms if self._mark else board.newest_ms)
        for name in changed:
            state, closed = restarted(self._board.state, since_ms)
            self._update(state=state, drifting=board.drifting.again(since_ms), claims=())
            self._judging.restarted(name, now[name], closed)

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
            await self._notice(rows, found, seat, design)
        self._update(folded_ms=max(board.folded_ms, self._clock_ms))

    async def _notice(
        self, rows: Sampled | None, found: Scored, seat: seats.Turn, design: Design
    ) -> None:
        names = self._contract.features
        surface = Surface(
            Season(design.block_ms, design.season_ms, design.min_block_rows),
            names,
            seat.digest,
            await self._around.importance(seat.digest, names),
        )
        observed = drifting.nothing(len(names)) if rows is None else _observed(rows, found)
        state, noticed = await asyncio.to_thread(
            drifting.fold, self._board.drifting, observed, self._clock_ms, surface
        )
        self._update(drifting=state)
        self._judging.noticed(noticed)

    async def _compare_served(self, rows: Sampled) -> None:
        board = self._board
        found = await served(rows, self._around, board.skewed, self._judging.at)
        self._update(skews=(*board.skews, *found.skews), skewed=found.said)

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
        step = stepped(step, canary, tallies, max(0, self._clock_ms))
        if self._mark is None and not self._board.lockstep:
            step = with_runtime(step, self._around.latencies.values(), self._around.trips)
        if (told := guards.to_tell(step, self._clock_ms, self._contract.block_ms)) is not None:
            outcome, found = told
            self._judging.looked(step, outcome, found)
            step = step.model_copy(update={"told": (*step.told, outcome)})
        self._update(step=step)

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
            "drifted_ms": made.drifted_ms,
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


def _observed(rows: Sampled, found: Scored) -> Observed:
    return Observed(found.time_ms, found.known_ms, found.score[ACTIVE], rows.feature)


def _nothing() -> Scored:
    """No rows: only the clock moves."""
    none = np.empty(0)
    whole = np.empty(0, np.int64)
    return Scored(
        whole, whole, np.empty(0, np.uint32), none, np.empty(0, bool), none, {ACTIVE: none}
    )
