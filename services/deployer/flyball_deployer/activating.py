"""Carries transitions out: the pointer first, then the event."""

import asyncio
import logging

from flyball_deployer.rollout import Activate, Seat, admitted
from flyball_deployer.store import Seats
from flyball_kit import clock
from flyball_kit.announce import Announcer
from flyball_kit.errors import PermanentError, TransientError
from flyball_proto.deployments import ActiveModel, DeploymentActivated
from flyball_proto.events import ModelRecord

log = logging.getLogger("flyball.deployer.activating")


class Activation:
    """Moves active pointers. Each step may be repeated."""

    def __init__(self, seats: Seats, announcer: Announcer) -> None:
        self._seats, self._announcer = seats, announcer
        self._turn = asyncio.Lock()

    async def consider(self, model: ModelRecord) -> None:
        """Let an admitted model take the seat if it should, and tell who is active."""
        async with self._turn:  # the sweep may have come to the same model
            await self._consider(model)

    async def _consider(self, model: ModelRecord) -> None:
        seat, revision = await self._seats.load(model.pipeline)
        transition = admitted(seat, model, now=clock.utc_now())
        if isinstance(transition, Activate):
            await self._seats.move(model.pipeline, transition.pointer, revision=revision)
            await self._announce(model.pipeline, transition.pointer)
            return
        log.debug("%s of %s: %s", model.digest[:12], model.pipeline, transition.reason)
        await self._announce_again(seat, model)

    async def sweep(self) -> None:
        """Consider every record: the event that it was admitted may have missed us."""
        for model in await self._seats.models():
            await self.consider(model)

    async def sweep_for_ever(self, every_s: float) -> None:
        """`sweep` now and then."""
        while True:
            try:
                await self.sweep()
            except (PermanentError, TransientError) as error:
                log.warning("the sweep for empty seats is tried again later: %s", error)
            await clock.sleep(every_s)

    async def _announce_again(self, seat: Seat, model: ModelRecord) -> None:
        """Killed between moving and telling, we tell when the model comes by again."""
        pointer = seat.pointer
        if pointer is None or pointer.digest != model.digest:
            return
        last = await self._announcer.last(DeploymentActivated, model.pipeline)
        if last is None or last.epoch < pointer.epoch:
            await self._announce(model.pipeline, pointer)

    async def _announce(self, pipeline: str, pointer: ActiveModel) -> None:
        event = DeploymentActivated(
            pipeline=pipeline,
            at=pointer.since,
            digest=pointer.digest,
            trainer=pointer.trainer,
            epoch=pointer.epoch,
            reason=pointer.reason,
        )
        await self._announcer.publish(event, f"activated.{pipeline}.{pointer.epoch}")
