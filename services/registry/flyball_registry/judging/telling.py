"""Announces what a scoreboard holds, however long the broker takes; each once in effect."""

import logging
from typing import TypeVar

from flyball_kit import clock
from flyball_kit.announce import Announcer
from flyball_kit.errors import TransientError
from flyball_proto.events import Event
from flyball_proto.judgements import RegistrySettled
from flyball_registry.records.scoreboard import Scoreboard

RETRY_S = 0.2

E = TypeVar("E", bound=Event)

log = logging.getLogger("flyball.registry.telling")


class Telling:
    """The announcements of one pipeline. Message ids follow from what is told."""

    def __init__(self, announcer: Announcer, pipeline: str) -> None:
        self._announcer, self._pipeline = announcer, pipeline

    async def tell(self, board: Scoreboard) -> None:
        """Announce its judgements in the order of their numbers, what drifted and what is skewed."""
        for judgement in board.judgements:
            await self._publish(judgement, f"judged.{self._pipeline}.{judgement.number}")
        for drift in board.drifts:
            await self._publish(drift, f"drifted.{self._pipeline}.{drift.on}.{drift.event_ms}")
        for skew in board.skews:
            name = f"{skew.digest}.{skew.epoch}.{skew.decision}"
            await self._publish(skew, f"skewed.{name}")

    async def tell_again(self, board: Scoreboard) -> None:
        """The same after a restart: what the stream holds already is left out."""
        owed = board.model_copy(
            update={
                "judgements": await self._owed(board.judgements),
                "drifts": await self._owed(board.drifts),
                "skews": await self._owed(board.skews),
            }
        )
        await self.tell(owed)
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

    async def _owed(self, events: tuple[E, ...]) -> tuple[E, ...]:
        """Those behind the one of their kind that was stored last; all if it is none of them."""
        last = {kind: await self._last(kind) for kind in {type(event) for event in events}}
        told = {kind: events.index(one) for kind, one in last.items() if one in events}
        return tuple(e for at, e in enumerate(events) if at > told.get(type(e), -1))

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
