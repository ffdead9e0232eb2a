"""Announces what a scoreboard holds, however long the broker takes; each once in effect."""

import logging
from typing import TypeVar

from flyball_kit import clock
from flyball_kit.announce import Announcer
from flyball_kit.errors import TransientError
from flyball_proto.events import Event
from flyball_proto.judgements import Judgement, RegistrySettled
from flyball_registry.records.scoreboard import Scoreboard

RETRY_S = 0.2

E = TypeVar("E", bound=Event)

log = logging.getLogger("flyball.registry.telling")


class Telling:
    """The announcements of one pipeline. Message ids follow from what is told."""

    def __init__(self, announcer: Announcer, pipeline: str) -> None:
        self._announcer, self._pipeline = announcer, pipeline

    async def tell(self, board: Scoreboard) -> None:
        """Announce its judgements, in the order of their numbers, and what drifted."""
        for judgement in board.judgements:
            await self._publish(judgement, f"judged.{self._pipeline}.{judgement.number}")
        for drift in board.drifts:
            await self._publish(drift, f"drifted.{self._pipeline}.{drift.event_ms}")

    async def tell_again(self, board: Scoreboard) -> None:
        """The same after a restart: what the stream holds already is left out."""
        owed: list[Event] = []
        for event in (*board.judgements, *board.drifts):
            last = await self._last(type(event))
            if last is None or _order(last) < _order(event):
                owed.append(event)
        judgements = tuple(event for event in board.judgements if event in owed)
        drifts = tuple(event for event in board.drifts if event in owed)
        await self.tell(board.model_copy(update={"judgements": judgements, "drifts": drifts}))
        if board.mark is not None:
            last_settled = await self._last(RegistrySettled)
            if last_settled is None or last_settled.mark != board.mark:
                await self.settled(board.mark, board.number)

    async def settled(self, mark: str, number: int) -> None:
        """Say that everything up to a mark is judged."""
        event = RegistrySettled(
            pipeline=self._pipeline, at=clock.utc_now(), mark=mark, number=number
        )
        await self._publish(event, f"settled.registry.{self._pipeline}.{mark}")

    async def _last(self, kind: type[E]) -> E | None:
        while True:
            try:
                return await self._announcer.last(kind, self._pipeline)
            except TransientError as error:
                log.warning("%s, trying again", error)
                await clock.sleep(RETRY_S)

    async def _publish(self, event: Event, message_id: str) -> None:
        while True:
            try:
                await self._announcer.publish(event, message_id)
            except TransientError as error:
                log.warning("%s, trying again", error)
                await clock.sleep(RETRY_S)
            else:
                return


def _order(event: Event) -> int:
    """Events of a kind come in this order."""
    return event.number if isinstance(event, Judgement) else getattr(event, "event_ms", 0)
