"""Answers lockstep marks: what was judged up to a mark is in force with this epoch."""

import asyncio
import logging
from contextlib import suppress

from flyball_deployer.activating import Activation
from flyball_deployer.store import Seats
from flyball_kit import clock
from flyball_kit.announce import Announcer
from flyball_kit.errors import TransientError
from flyball_proto.deployments import ActiveModel, DeployerSettled
from flyball_proto.judgements import RegistrySettled
from flyball_proto.streams import MARK_TIMEOUT_S

LOOK_AGAIN_S = 1.0
"""Another instance may have acted on a judgement; the record is looked at this often."""

log = logging.getLogger("flyball.deployer.settling")


class Settling:
    """Waits for judgements, which come by another consumer, and answers. Bound: one mark at a time."""

    def __init__(self, seats: Seats, activation: Activation, announcer: Announcer) -> None:
        self._seats, self._activation, self._announcer = seats, activation, announcer
        self._stopping = asyncio.Event()

    async def settle(self, registry: RegistrySettled) -> None:
        """Answer a mark, in effect once.

        Raises:
            TransientError: a judgement up to it was not acted on in `MARK_TIMEOUT_S`.
        """
        record = await self._settled(registry)
        last = await self._announcer.last(DeployerSettled, registry.pipeline)
        if last is not None and last.mark == registry.mark:
            return
        answer = DeployerSettled(
            pipeline=registry.pipeline,
            at=clock.utc_now(),
            mark=registry.mark,
            epoch=0 if record is None else record.epoch,
        )
        await self._announcer.publish(answer, f"{answer.what}.{answer.pipeline}.{answer.mark}")

    async def run(self) -> None:
        """Nothing to do but to be stopped."""
        self._stopping.clear()
        await self._stopping.wait()

    async def stop(self) -> None:
        """Give waiting up; the mark comes again after the next start."""
        self._stopping.set()
        self._activation.moved.set()

    async def _settled(self, registry: RegistrySettled) -> ActiveModel | None:
        """The deployment once every judgement up to the mark's is acted on."""
        until_s = clock.monotonic_s() + MARK_TIMEOUT_S
        while clock.monotonic_s() < until_s and not self._stopping.is_set():
            self._activation.moved.clear()
            record = await self._record(registry.pipeline)
            if registry.number <= (0 if record is None else record.handled):
                return record
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN_S):
                    await self._activation.moved.wait()
        raise TransientError(
            f"mark {registry.mark} of {registry.pipeline} waits for judgement {registry.number}"
        )

    async def _record(self, pipeline: str) -> ActiveModel | None:
        """The deployment; an empty seat is filled first, because its event may come later."""
        seat, _ = await self._seats.load(pipeline)
        if seat.record is not None:
            return seat.record
        await self._activation.fill(pipeline)
        seat, _ = await self._seats.load(pipeline)
        return seat.record
