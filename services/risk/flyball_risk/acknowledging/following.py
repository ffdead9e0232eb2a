"""Follows what elements owe and say, and tells of what is overdue or was not done."""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from datetime import datetime, timedelta
from typing import Final

from nats.aio.client import Client

from flyball_kit import clock
from flyball_kit.announce import Announcer
from flyball_kit.errors import TransientError
from flyball_kit.kv import Change, Kv, LostRaceError
from flyball_proto import streams
from flyball_proto.outcomes import (
    MAX_NAMED,
    ActionRejected,
    ActionsUnacknowledged,
    AnyRecord,
    Overdue,
    overdue_key,
)
from flyball_risk.acknowledging.ledger import Ledger

EVERY_S: Final = 1.0
SURELY_TOLD: Final = timedelta(seconds=100)
"""The broker forgets an event's id after two minutes; what is older was told before a restart."""

MAX_REJECTED: Final = 1_000
"""Events that wait for the broker; further ones are dropped, their records in KV stay."""

log = logging.getLogger("flyball.risk.acknowledging")


class Acknowledging:
    """Start `follow` and `watch` as tasks. Memory: `ledger.MAX_ACTIONS` a pipeline, `MAX_REJECTED`."""

    def __init__(self, client: Callable[[], Client], announcer: Announcer) -> None:
        self._records: Kv[AnyRecord] = Kv(client, streams.ACKNOWLEDGED, AnyRecord)
        self._announcer = announcer
        self._ledgers: dict[str, Ledger] = {}
        self._rejected: deque[tuple[ActionRejected, str]] = deque()
        self._dropped = 0
        self._synced = asyncio.Event()

    def not_applied(self, pipeline: str, decision: str) -> bool:
        """Whether an element says that it did not carry out the action of a decision."""
        ledger = self._ledgers.get(pipeline)
        return ledger is not None and ledger.not_applied(decision)

    async def follow(self) -> None:
        """Take in every record, for ever."""
        async for change in self._records.watch(synced=self._synced.set):
            self._take(change)

    async def watch(self) -> None:
        """Tell what is overdue and what was not done, for ever; while the broker is away, later."""
        await self._synced.wait()
        while True:
            try:
                await self._tell(clock.utc_now())
            except TransientError as error:
                log.info("outcomes of actions are told later: %s", error)
            await clock.sleep(EVERY_S)

    def _take(self, change: Change[AnyRecord]) -> None:
        pipeline, *place = change.key.split(".")[:3]
        decision = ".".join((pipeline, *place))
        ledger = self._ledgers.setdefault(pipeline, Ledger())
        if change.value is None:
            ledger.forget(decision)
            return
        ledger.note(decision, change.value)
        if not isinstance(change.value, Overdue):
            self._reject(pipeline, decision, ledger)

    def _reject(self, pipeline: str, decision: str, ledger: Ledger) -> None:
        """Whichever of both records came last, the action or the word about it."""
        entry = ledger.get(decision)
        awaited, told = (entry.awaited, entry.said) if entry else (None, None)
        if awaited is None or told is None or told.result == "applied":
            return
        if clock.utc_now() - told.at > SURELY_TOLD:
            return
        event = ActionRejected(
            pipeline=pipeline,
            at=told.at,
            decision=decision,
            element=told.element,
            action=awaited.action,
            result=told.result,
            detail=told.detail,
        )
        if len(self._rejected) >= MAX_REJECTED:
            self._dropped += 1
            return
        self._rejected.append((event, f"action-{told.result}.{decision}"))

    async def _tell(self, now: datetime) -> None:
        if self._dropped:
            log.warning(
                "%d action-rejected events were dropped: %d waited already",
                self._dropped,
                MAX_REJECTED,
            )
            self._dropped = 0
        while self._rejected:
            await self._announcer.publish(*self._rejected[0])
            self._rejected.popleft()
        for pipeline, ledger in tuple(self._ledgers.items()):
            due = ledger.due(now)
            for first in range(0, len(due), MAX_NAMED):
                await self._overdue(pipeline, due[first : first + MAX_NAMED], now)

    async def _overdue(self, pipeline: str, decisions: list[str], now: datetime) -> None:
        event = ActionsUnacknowledged(pipeline=pipeline, at=now, decisions=tuple(decisions))
        await self._announcer.publish(event, f"unacknowledged.{decisions[0]}.{len(decisions)}")
        for decision in decisions:
            record = Overdue(decision=decision, at=now)
            try:
                await self._records.save(overdue_key(decision), record, revision=0)
            except LostRaceError:  # it is there already
                log.debug("%s is known to be overdue", decision)
            self._ledgers[pipeline].note(decision, record)
