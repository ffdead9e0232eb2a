"""Carries transitions out: the record first, then what it owes; and looks after what was missed."""

import asyncio
import logging
from dataclasses import replace
from typing import Final

from flyball_deployer import moves
from flyball_deployer.law import IllegalMoveError, breach
from flyball_deployer.moves import Announcement, Stay, Transition
from flyball_deployer.policy import Policy
from flyball_deployer.rollout import Event, Seat, decide, take_up
from flyball_deployer.steering import Order, steer
from flyball_deployer.store import Seats
from flyball_kit import clock
from flyball_kit.announce import Announcer
from flyball_kit.errors import PermanentError, TransientError
from flyball_proto.breakers import BreakerRecord
from flyball_proto.commands import Failure, PromoteModel
from flyball_proto.deployments import ActiveModel
from flyball_proto.events import ModelRecord, ModelTripped
from flyball_proto.judgements import AnyJudgement, CanaryJudged, Refreshed, Superior

NAMING: Final = (Superior, Refreshed)
"""Judgements that name a model which may come; its record and the runtimes are looked up."""

COMING: Final = (*NAMING, CanaryJudged)
"""Judgements that the specification's promotion rules decide about."""

log = logging.getLogger("flyball.deployer.activating")


class Activation:
    """Moves deployments, one event at a time. Each step may be repeated.

    Remembers the last announcements of each pipeline that it knows to be stored.
    """

    def __init__(self, seats: Seats, announcer: Announcer) -> None:
        self.moved = asyncio.Event()
        self._seats, self._announcer = seats, announcer
        self._told: dict[str, tuple[Announcement, ...]] = {}
        self._turn = asyncio.Lock()

    async def consider(self, model: ModelRecord) -> None:
        """Let an admitted model take its place if it should."""
        await self._act(model, Policy())

    async def judge(self, judgement: AnyJudgement) -> None:
        """Act on a judgement, once.

        Raises:
            TransientError: nobody holds the seat yet.
            PermanentError: somebody may come, and the pipeline is not applied.
        """
        policy: Policy | None = Policy()
        if isinstance(judgement, COMING):  # a rollback asks nobody
            policy = await self._seats.policy(judgement.pipeline)
        if policy is None:
            raise PermanentError(
                f"pipeline {judgement.pipeline} is not applied; apply its specification"
            )
        if not await self._act(judgement, policy):
            raise TransientError(
                f"judgement {judgement.number} of {judgement.pipeline}: nobody holds the seat yet"
            )

    async def take_up(self, pipeline: str, heard: BreakerRecord | None = None) -> None:
        """Act on what was put off while the pipeline's breaker was not closed, if it is now."""
        policy, now = await self._seats.policy(pipeline), clock.utc_now()
        async with self._turn:
            seat, revision = await self._seats.load(pipeline)
            if policy is None or seat.record is None:
                return
            for put_off in seat.record.put_off:
                seat = await self._seats.with_breaker(pipeline, seat, heard)
                if isinstance(put_off, NAMING):
                    seat = await self._seats.with_candidate(
                        pipeline, seat, put_off.digest, policy, now
                    )
                made = take_up(seat, put_off, policy, now=now)
                if isinstance(made, Stay):
                    log.debug("%s stays: %s", pipeline, made.reason)
                    return
                await self._move(pipeline, seat, made, revision)
                seat, revision = await self._seats.load(pipeline)

    async def trip(self, trip: ModelTripped) -> None:
        """Take a model that cannot answer out of its place."""
        await self._act(trip, Policy())

    async def obey(self, order: Order) -> ActiveModel | Failure:
        """Carry a person's order out; the deployment then, or why nothing was done."""
        pipeline, now = order.pipeline, clock.utc_now()
        async with self._turn:
            seat, revision = await self._seats.load(pipeline)
            if seat.record is not None:
                await self._tell(pipeline, seat.record)
            if isinstance(order, PromoteModel):
                policy = await self._seats.policy(pipeline) or Policy()
                seat = await self._seats.with_candidate(pipeline, seat, order.digest, policy, now)
            made = steer(seat, order, now=now)
            if isinstance(made, Failure):
                return made
            noted = made.record.model_copy(update={"outcome": made.reason})
            await self._move(pipeline, seat, replace(made, record=noted), revision)
            return noted

    async def fill(self, pipeline: str) -> None:
        """Let an admitted baseline take an empty seat: its event may still be under way."""
        for model in await self._seats.baselines(pipeline):
            await self.consider(model)

    async def sweep(self) -> None:
        """Tell what is owed, take up what was put off, fill empty seats: events may have missed us."""
        for pipeline, record in (await self._seats.deployments()).items():
            async with self._turn:
                await self._tell(pipeline, record)
            if record.put_off:
                await self.take_up(pipeline)
        for model in await self._seats.baselines():
            await self.consider(model)

    async def sweep_for_ever(self, every_s: float) -> None:
        """`sweep` now and then."""
        while True:
            try:
                await self.sweep()
            except (PermanentError, TransientError) as error:
                log.warning("the sweep for empty seats is tried again later: %s", error)
            await clock.sleep(every_s)

    async def _act(self, event: Event, policy: Policy) -> bool:
        """Decide, move, tell; whether the pipeline has a deployment now.

        What the last move owes is told before the next one, which puts its own in its place.
        """
        pipeline, now = event.pipeline, clock.utc_now()
        async with self._turn:
            seat, revision = await self._seats.load(pipeline)
            if seat.record is not None:
                await self._tell(pipeline, seat.record)
            if isinstance(event, ModelRecord):
                seat = await self._seats.with_baseline(pipeline, seat)
            elif isinstance(event, COMING):
                seat = await self._seats.with_breaker(pipeline, seat)
            if isinstance(event, NAMING):
                seat = await self._seats.with_candidate(pipeline, seat, event.digest, policy, now)
            made = decide(seat, event, policy, now=now)
            if isinstance(made, Stay):
                log.debug("%s stays: %s", pipeline, made.reason)
                return seat.record is not None
            await self._move(pipeline, seat, made, revision)
            return True

    async def _move(self, pipeline: str, seat: Seat, made: Transition, revision: int) -> None:
        """Write and tell, unless it would break the law of deployments.

        Raises:
            IllegalMoveError: it would; nothing was written.
        """
        if (what := breach(seat.record, made)) is not None:
            raise IllegalMoveError(pipeline, made.move, what)
        await self._seats.move(pipeline, made.record, revision=revision)
        log.info("%s, %s, epoch %d: %s", pipeline, made.move, made.record.epoch, made.reason)
        self.moved.set()
        await self._tell(pipeline, made.record)

    async def _tell(self, pipeline: str, record: ActiveModel) -> None:
        """Announce what the record owes and the stream does not hold."""
        owed = moves.owed(record)
        if self._told.get(pipeline) == owed:
            return
        for event in owed:
            last = await self._announcer.last(type(event), pipeline)
            if last is None or (last != event and last.epoch <= event.epoch):
                await self._announcer.publish(event, message_id(event))
        self._told[pipeline] = owed


def message_id(event: Announcement) -> str:
    """One announcement of a kind an epoch; a person may be asked about several models in one."""
    return f"{event.what}.{event.pipeline}.{event.epoch}.{event.digest[:12]}"
