"""Keeps KV `standings` up to date and tells `model.<pipeline>.scored`. Nothing waits for it.

What cannot be written is written later. An event is told once in effect, but a process that is
killed takes those with it that it had not told: they are for people, no service acts on them.
"""

import asyncio
import logging
from collections import deque
from contextlib import suppress
from typing import Final

from flyball_kit import clock
from flyball_kit.announce import Announcer
from flyball_kit.errors import TransientError
from flyball_kit.kv import Kv
from flyball_registry.contract import Contract
from flyball_registry.records.pacing import Pace, scored
from flyball_registry.records.scoreboard import Scoreboard
from flyball_registry.records.standings import standings

log = logging.getLogger("flyball.registry.showing")

EVERY_S: Final = 1.0
"""Least time between two writes when nothing was judged."""

MAX_UNTOLD: Final = 64
"""Events that wait for a broker; beyond, the oldest is never told."""


class Showing:
    """The standings of one pipeline; this process alone writes them.

    Of what is shown faster than it can be written only the newest is written. The record is
    written as bytes, so that one of another version is replaced and not read.
    """

    def __init__(self, records: Kv[bytes], announcer: Announcer, pipeline: str) -> None:
        self._records, self._announcer, self._pipeline = records, announcer, pipeline
        self._pace: Pace | None = None
        self._untold: deque[tuple[Scoreboard, Contract]] = deque(maxlen=MAX_UNTOLD)
        self._revision: int | None = None
        self._newest: tuple[Scoreboard, Contract] | None = None
        self._judged = -1
        self._moved, self._turned = asyncio.Event(), asyncio.Event()
        self._is_away = False

    def show(self, board: Scoreboard, contract: Contract) -> None:
        """A scoreboard with its figures was saved; does not wait."""
        self._newest = (board, contract)
        if self._pace is None:
            self._pace = Pace.behind(board)
        elif self._pace.is_due(board, contract):
            self._pace = Pace.behind(board)
            self._untold.append(self._newest)
        self._moved.set()
        if board.number != self._judged:
            self._judged = board.number
            self._turned.set()

    async def keep_for_ever(self) -> None:
        """Write what was shown: once a second, and at once when something was judged."""
        while True:
            await self._moved.wait()
            self._moved.clear()
            self._turned.clear()
            if not (await self._is_written() and await self._are_told()):
                self._moved.set()
            with suppress(TimeoutError):
                async with asyncio.timeout(EVERY_S):
                    await self._turned.wait()

    async def _is_written(self) -> bool:
        """Whether the newest is stored; False = try again later."""
        if self._newest is None:
            return True
        data = standings(*self._newest, clock.utc_now()).model_dump_json().encode()
        try:
            if self._revision is None:
                _, self._revision = await self._records.load(self._pipeline)
            self._revision = await self._records.save(self._pipeline, data, revision=self._revision)
        except TransientError as error:
            if not self._is_away:
                log.info("standings of %s are written later: %s", self._pipeline, error)
            self._is_away, self._revision = True, None
            return False
        self._is_away = False
        return True

    async def _are_told(self) -> bool:
        """Whether every event is stored; False = try again later."""
        while self._untold:
            board, contract = self._untold[0]
            event = scored(board, contract, clock.utc_now())
            name = f"scored.{self._pipeline}.{event.event_ms}.{board.number}"
            try:
                await self._announcer.publish(event, name)
            except TransientError as error:
                log.info("scores of %s are told later: %s", self._pipeline, error)
                return False
            if self._untold and self._untold[0][0] is board:
                self._untold.popleft()
        return True
