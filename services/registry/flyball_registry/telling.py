"""Announces what a scoreboard holds, however long the broker takes; each once in effect."""

import logging

from flyball_kit import clock
from flyball_kit.announce import Announcer
from flyball_kit.errors import TransientError
from flyball_proto.events import Event
from flyball_proto.judgements import RegistrySettled
from flyball_registry.scoreboard import Scoreboard

RETRY_S = 0.2

log = logging.getLogger("flyball.registry.telling")


class Telling:
    """The announcements of one pipeline. Message ids follow from what is told."""

    def __init__(self, announcer: Announcer, pipeline: str) -> None:
        self._announcer, self._pipeline = announcer, pipeline

    async def tell(self, board: Scoreboard) -> None:
        """Announce its judgements, in the order of their numbers, and what drifted."""
        for judgement in board.judgements:
            await self._publish(judgement, f"judged.{self._pipeline}.{judgement.number}")
        for place, drift in enumerate(board.drifts):
            await self._publish(drift, f"drifted.{self._pipeline}.{drift.event_ms}.{place}")

    async def settled(self, mark: str, number: int) -> None:
        """Say that everything up to a mark is judged."""
        event = RegistrySettled(
            pipeline=self._pipeline, at=clock.utc_now(), mark=mark, number=number
        )
        await self._publish(event, f"settled.registry.{self._pipeline}.{mark}")

    async def _publish(self, event: Event, message_id: str) -> None:
        while True:
            try:
                await self._announcer.publish(event, message_id)
            except TransientError as error:
                log.warning("%s, trying again", error)
                await clock.sleep(RETRY_S)
            else:
                return
