"""One pipeline's models in this process: what is wanted, what is in force, and the way between.

What a deployment names is loaded and warmed beside what is in force, which answers until it is
replaced between two messages, active model and canary together. What cannot be loaded changes
nothing and is tried again. Where a rollback would lead is loaded too, afterwards, and compared with.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable, Coroutine
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import Any, Final

from flyball_inference.bundle import name_of
from flyball_inference.hot import Hot, Loaded, fallback
from flyball_inference.propose import Rules, compile_rules
from flyball_inference.seat import Seat
from flyball_inference.seating import beside, needed, seat_of
from flyball_inference.session import UnusableModelError
from flyball_inference.trips import Trip, Trips
from flyball_kit import clock
from flyball_kit.errors import PermanentError, TransientError
from flyball_proto.columns import Model
from flyball_proto.deployments import ActiveModel, Placed
from flyball_proto.events import Precision
from flyball_proto.spec import Pipeline

FALLBACK_S: Final = 5.0
"""How long the first decision of a process waits for the fallback, so that a restart compares too."""

log = logging.getLogger("flyball.inference.desk")


@dataclass(frozen=True, slots=True)
class Standing:
    """What is in force and what is wanted, as `runtimes.RuntimeState` tells it."""

    digest: str
    precision: Precision
    epoch: int
    wanted_epoch: int
    trouble: str


@dataclass(frozen=True, slots=True)
class Flip:
    """Another active model came into force; told to everybody after the fact."""

    pointer: ActiveModel
    load_ms: float


class Desk:
    """Call `specify` and `want` when the records change; `run` does the rest until cancelled.

    `seated` is awaited when another active model came into force, `tripped` once an epoch for a model
    that cannot answer; each again until it succeeds. `noticed` is called when `standing` changed.
    """

    def __init__(
        self,
        pipeline: str,
        *,
        hot: Hot,
        seated: Callable[[Flip], Awaitable[None]],
        tripped: Callable[[Trip], Awaitable[None]],
        retry_s: float,
        noticed: Callable[[], None] = lambda: None,
    ) -> None:
        self.pipeline = pipeline
        self.trouble: str | None = None
        """Why not everything that is wanted is in force and loaded, None when it is."""
        self._hot, self._seated, self._tripped, self._retry_s = hot, seated, tripped, retry_s
        self._noticed = noticed
        self._seat: Seat | None = None
        self._rules: tuple[Rules, int] | None = None
        self._wanted: ActiveModel | None = None
        self._in_force: ActiveModel | None = None
        self._untold: Flip | None = None
        self._trips = Trips()
        self._is_tidy, self._has_failed = True, False
        self._changed, self._moved = asyncio.Event(), asyncio.Event()

    @property
    def seat(self) -> Seat:
        """Who answers now; only after the first flip."""
        if self._seat is None:
            raise PermanentError(f"pipeline {self.pipeline}: no model is in force yet")
        return self._seat

    @property
    def epoch(self) -> int:
        """Of what is in force; 0 = nothing is."""
        return self._seat.epoch if self._seat is not None else 0

    @property
    def standing(self) -> Standing:
        """What runs here, as others may know it."""
        active = self._in_force.active if self._in_force is not None else None
        return Standing(
            digest=active.digest if active is not None else "",
            precision=active.precision if active is not None else "float32",
            epoch=self.epoch,
            wanted_epoch=self._wanted.epoch if self._wanted is not None else 0,
            trouble=self.trouble or "",
        )

    def specify(self, pipeline: Pipeline, revision: int) -> None:
        """The pipeline's record changed; its rules hold from the next output on."""
        is_first = self._rules is None
        self._rules = (
            compile_rules(pipeline.spec.decisions, pipeline.spec.target.classes),
            revision,
        )
        if self._seat is not None:
            self._seat = replace(self._seat, rules=self._rules[0], rules_revision=revision)
        if is_first:
            self._changed.set()

    def want(self, pointer: ActiveModel) -> None:
        """The deployment changed. An older epoch than the one known is ignored.

        In the same epoch only where a rollback would lead can be another.
        """
        known = self._wanted
        if known is None or pointer.epoch > known.epoch:
            self._wanted = pointer
            self._changed.set()
            self._noticed()
        elif pointer.epoch == known.epoch and fallback(pointer) != fallback(known):
            self._wanted, self._is_tidy, self._has_failed = pointer, False, False
            self._changed.set()

    def trip(self, model: Model, detail: str) -> None:
        """A model that is in force gives no usable scores; told once an epoch."""
        if self._trips.note(Trip(model.digest, model.epoch, detail)):
            self._changed.set()

    async def in_force(self, epoch: int) -> None:
        """Wait until this epoch, or a newer one, is in force, and its fallback loaded if that goes."""
        while self.epoch < epoch or self._is_alone:
            await self._moved.wait()

    def waits_for(self) -> str | None:
        """What is missing before this pipeline gets decisions, None when nothing is."""
        if self._seat is not None:
            return None
        if self._rules is None:
            return f"pipeline {self.pipeline}: waits for its specification"
        if self._wanted is None:
            return f"pipeline {self.pipeline}: waits for an active model"
        return self.trouble or f"pipeline {self.pipeline}: loads {self._wanted.digest[:12]}"

    async def run(self) -> None:
        """Bring what is wanted into force, for ever. What is wanted newly drops what is under way."""
        while True:
            self._changed.clear()
            if not self._has_work:
                await self._changed.wait()
                continue
            try:
                await self._unless_changed(self._work())
            except (PermanentError, TransientError) as error:
                self._complain(str(error))
                with suppress(TimeoutError):
                    await asyncio.wait_for(self._changed.wait(), self._retry_s)

    @property
    def _has_work(self) -> bool:
        untold = self._untold is not None or self._trips.untold
        return bool(self._is_behind or untold or not self._is_tidy)

    @property
    def _is_alone(self) -> bool:
        """Whether a fallback that is not loaded yet is still being tried for the first time."""
        if self._is_tidy or self._has_failed or self._seat is None or self._wanted is None:
            return False
        return self._seat.fallback is None and fallback(self._wanted) is not None

    @property
    def _is_behind(self) -> bool:
        if self._wanted is None or self._rules is None:
            return False
        return self.epoch != self._wanted.epoch

    async def _unless_changed(self, work: Coroutine[Any, Any, None]) -> None:
        working = asyncio.ensure_future(work)
        changed = asyncio.ensure_future(self._changed.wait())
        try:
            await asyncio.wait((working, changed), return_when=asyncio.FIRST_COMPLETED)
            if working.done():
                working.result()
        finally:
            working.cancel()
            changed.cancel()
            await asyncio.gather(working, changed, return_exceptions=True)

    async def _work(self) -> None:
        if self._wanted is not None and self._is_behind:
            try:
                await self._flip(self._wanted)
            except UnusableModelError:
                await self._tell_trips()
                raise
        if self._untold is not None:
            await self._seated(self._untold)
            self._untold = None
        await self._tell_trips()
        if self._wanted is not None and not self._is_tidy:
            await self._tidy(self._wanted)
        if self.trouble is not None:
            self.trouble = None
            self._noticed()

    async def _tell_trips(self) -> None:
        for trip in self._trips.untold:
            await self._tripped(trip)
            self._trips.told(trip)

    async def _flip(self, pointer: ActiveModel) -> None:
        began_s = clock.monotonic_s()
        self._check_features(pointer)
        wanted = [pointer.active, *([pointer.canary] if pointer.canary else [])]
        found = await asyncio.gather(*(self._need(placed, pointer.epoch) for placed in wanted))
        if self._seat is None and (spare := fallback(pointer)) is not None:
            await self._hot.attempt(spare, FALLBACK_S)
        before = self._seat.active.model.digest if self._seat is not None else None
        seat = seat_of(pointer, found, self._rules or (Rules(), 0))
        self._seat = beside(seat, pointer, self._hot)
        self._in_force, self._is_tidy, self._has_failed = pointer, False, False
        self._hot.shed(needed(pointer))
        self._noticed()
        if before != pointer.digest:
            self._untold = Flip(pointer, (clock.monotonic_s() - began_s) * 1000)
        self._move()

    def _move(self) -> None:
        moved, self._moved = self._moved, asyncio.Event()
        moved.set()

    async def _need(self, placed: Placed, epoch: int) -> Loaded:
        try:
            return await self._hot.get(placed)
        except UnusableModelError as error:
            self._trips.note(Trip(placed.digest, epoch, str(error)))
            raise

    async def _tidy(self, pointer: ActiveModel) -> None:
        """Load where a rollback would lead, unload what nobody needs, and do the same on disk."""
        spare, used = fallback(pointer), needed(pointer)
        self._compare_with(pointer)
        await self._hot.only(used)
        if spare is not None and name_of(spare) not in self._hot.names:
            try:
                await self._hot.get(spare)
            except (PermanentError, TransientError):
                self._has_failed = True
                self._move()
                raise
            self._compare_with(pointer)
            await self._hot.only(used)
        self._is_tidy = True
        self._move()

    def _compare_with(self, pointer: ActiveModel) -> None:
        if self._seat is not None:
            self._seat = beside(self._seat, pointer, self._hot)

    def _check_features(self, pointer: ActiveModel) -> None:
        read = self._seat.feature_digest if self._seat is not None else pointer.feature_digest
        for placed in (pointer.active, pointer.canary):
            if placed is not None and placed.feature_digest != read:
                raise PermanentError(
                    f"pipeline {self.pipeline}: the deployment (epoch {pointer.epoch}) names a "
                    f"model of features {placed.feature_digest[:8]}, those read here are "
                    f"{read[:8]}; the model in force stays"
                )

    def _complain(self, reason: str) -> None:
        if reason != self.trouble:
            log.warning(
                "pipeline %s: %s; tried again every %g s", self.pipeline, reason, self._retry_s
            )
            self.trouble = reason
            self._noticed()
