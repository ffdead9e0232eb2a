"""Reads METRICS, VERDICTS and ACTIONS of one pipeline and keeps its ledger.

What a person's stop kept from being sent is read from EVENTS.

Reads only what is stored, in stream order: VERDICTS lead, and of METRICS no more is read than they
cover, so that memory holds what is open and not what is queued.
"""

import asyncio
import hashlib
from dataclasses import dataclass, replace
from typing import Final

from nats.aio.client import Client

from flyball_local.audit.account import Account
from flyball_local.audit.ledger import Ledger, key_of
from flyball_local.audit.stored import Stored, first_sequence, read
from flyball_proto import streams, subjects
from flyball_proto.columns import Verdicts, decode_verdicts
from flyball_proto.digest import DecisionsDigest
from flyball_proto.events import Action
from flyball_proto.headers import CONTENT_TYPE, EXPECT
from flyball_proto.holds import ActionsStopped
from flyball_proto.report import row_count

POLL_S: Final = 0.1


@dataclass(frozen=True, slots=True)
class Beginning:
    """Stream sequences behind which the view begins; 0 = everything stored."""

    metrics: int = 0
    verdicts: int = 0
    actions: int = 0
    events: int = 0

    @staticmethod
    async def now(client: Client) -> "Beginning":
        """A view of what comes from now on."""
        js = client.jetstream()
        found = [
            (await js.stream_info(stream.name)).state.last_seq
            for stream in (streams.METRICS, streams.VERDICTS, streams.ACTIONS, streams.EVENTS)
        ]
        return Beginning(*found)


class Auditor:
    """Audits one pipeline of one source. The connection stays the caller's; role `auditor`."""

    def __init__(
        self,
        client: Client,
        pipeline: str,
        source: str,
        beginning: Beginning = Beginning(),
    ) -> None:
        self._client, self._pipeline, self._source = client, pipeline, source
        self._ledger = Ledger(pipeline)
        self._beginning = beginning
        self._metrics, self._verdicts = beginning.metrics, beginning.verdicts
        self._actions, self._events = beginning.actions, beginning.events
        self._digests: dict[int, DecisionsDigest] = {}
        self._purged: dict[int, bool] = {}
        self.progress = 0
        """Grows with every message read."""

    @property
    def account(self) -> Account:
        """The books as they stand; rows on their way count as lost."""
        return self._ledger.account(decisions_digest=self._digest())

    async def catch_up(self) -> None:
        """Read what VERDICTS and ACTIONS hold by now, and of METRICS what they cover."""
        # An action is stored after its verdict, so read the actions first and judge them last. So
        # is the word that it was stopped, and never both: what was sent is not told as stopped.
        actions = await self._read_actions()
        stopped = await self._read_stopped()
        subject = f"verdicts.{self._pipeline}.*"
        while batch := await read(self._client, "VERDICTS", subject, self._verdicts):
            for message in batch:
                await self._judge(message)
                self._verdicts = message.sequence
            self.progress += len(batch)
        for message in actions:
            self._act(message)
        for message in stopped:
            for decision in ActionsStopped.model_validate_json(message.data).decisions:
                self._ledger.stopped(key_of(decision))

    async def follow(self, stop: asyncio.Event) -> None:
        """Keep up with the streams until `stop` is set."""
        while not stop.is_set():
            before = self.progress
            await self.catch_up()
            if self.progress == before:
                await asyncio.sleep(POLL_S)

    async def settle(self, patience_s: float = 10.0) -> Account:
        """The account once every row of METRICS is settled, or nothing moves for `patience_s`."""
        loop = asyncio.get_running_loop()
        moved_s, before = loop.time(), -1
        while loop.time() - moved_s < patience_s:
            await self.catch_up()
            while await self._read_metrics():
                pass
            if self.progress != before:
                moved_s, before = loop.time(), self.progress
            elif not self._ledger.open_reports and not self._ledger.awaited_actions:
                break
            await asyncio.sleep(POLL_S)
        return self.account

    async def _read_metrics(self) -> bool:
        batch = await read(self._client, "METRICS", f"metrics.{self._source}.>", self._metrics)
        for message in batch:
            self._metrics = message.sequence
            stored = subjects.parse_stored(message.subject)
            if stored is not None and stored.element == subjects.MARK:
                continue
            rows = row_count(message.data, message.headers.get(CONTENT_TYPE))
            partition = stored.partition if stored else 0
            self._ledger.received(partition, message.sequence, rows, message.time_ns)
        self.progress += len(batch)
        return bool(batch)

    async def _judge(self, message: Stored) -> None:
        partition = int(message.subject.rsplit(".", 1)[1])
        if partition not in self._purged:
            # The first commit of a subject expects none before it; later ones name the one before.
            self._purged[partition] = int(message.headers.get(EXPECT, 0)) > 0
        if not message.data:  # claims, renewals: a position and no rows
            return
        batch = self._in_view(decode_verdicts(message.data))
        if len(batch.rows) == 0 and not batch.flow.last:  # people's answers, ticks
            self._ledger.judged(partition, batch, message.time_ns)
            return
        if partition not in self._digests:
            self._digests[partition] = DecisionsDigest()
            self._ledger.begin(partition, await self._view_begins(partition, batch))
        while batch.flow.last > self._metrics and await self._read_metrics():
            pass
        self._digests[partition].add(batch)
        self._ledger.judged(partition, batch, message.time_ns)

    def _in_view(self, batch: Verdicts) -> Verdicts:
        """Without approvals of rows from before the view, whose actions are not looked at either."""
        since = self._beginning.metrics
        kept = [end for end in batch.released if key_of(end.hold.decision)[0] > since]
        return batch if len(kept) == len(batch.released) else replace(batch, released=kept)

    async def _view_begins(self, partition: int, batch: Verdicts) -> int:
        """The first METRICS sequence of which both what came in and what became of it is stored."""
        if self._beginning.metrics:
            return self._beginning.metrics + 1
        oldest = await first_sequence(self._client, streams.METRICS.name)
        return max(oldest, batch.flow.first if self._purged[partition] else 0)

    async def _read_actions(self) -> list[Stored]:
        batch = await read(
            self._client, "ACTIONS", subjects.actions(self._pipeline, "*"), self._actions
        )
        self.progress += len(batch)
        if batch:
            self._actions = batch[-1].sequence
        return batch

    async def _read_stopped(self) -> list[Stored]:
        subject = ActionsStopped.pattern().replace("*", self._pipeline)
        batch = await read(self._client, streams.EVENTS.name, subject, self._events)
        self.progress += len(batch)
        if batch:
            self._events = batch[-1].sequence
        return batch

    def _act(self, message: Stored) -> None:
        action = Action.model_validate_json(message.data)
        key = key_of(action.decision)
        if key[0] > self._beginning.metrics:
            self._ledger.acted(key, action.element, action.action)

    def _digest(self) -> str:
        """One partition's digest as it is; several joined in their order."""
        found = [self._digests[p].hexdigest() for p in sorted(self._digests)]
        return found[0] if len(found) == 1 else hashlib.sha256("".join(found).encode()).hexdigest()
