"""Lets something play through the loop, and says what came of it.

That is: the account, the lives of the models, and the figures of the decisions taken.
"""

import asyncio
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Mapping
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from typing import Any, Final

from nats.aio.client import Client

from flyball_kit.errors import TransientError
from flyball_local.audit import Account, Auditor, Beginning
from flyball_local.playing.cputime import cpu_seconds, split
from flyball_local.playing.marks import Marks, MarkTimeoutError, late_stages, settled
from flyball_local.playing.outcome import Outcome, last_event, outcome
from flyball_local.prequential import Bundles, Comparison, Gathering, compare
from flyball_local.session import Session, partitions_of
from flyball_proto.columns import Verdicts
from flyball_proto.spec import Pipeline, Source, digest8, feature_digest

SETTLE_S: Final = 15.0


@dataclass(frozen=True, slots=True)
class Summary:
    """How a replay ended."""

    pipeline: str
    account: Account
    outcome: Outcome
    comparison: Comparison
    evidence_share: float
    cpu_s: Mapping[str, float]
    wall_s: float

    def as_json(self) -> dict[str, Any]:
        """The one object of `--json`."""
        account = self.account
        return {
            "rows_in": account.rows_in,
            "quarantined": account.quarantined,
            "doubles": account.doubles,
            "late": account.late,
            "warming_up": account.warming_up,
            "decisions": account.decisions,
            "verdicts": dict(account.verdicts),
            "actions": account.actions,
            "lost": account.lost,
            "duplicated": account.duplicated,
            **self.outcome.as_json(),
            "prequential": self.comparison.as_json() | {"share": self.evidence_share},
            "decisions_digest": account.decisions_digest,
            "latency_ms": dict(account.latency_ms),
            "cpu_s": dict(self.cpu_s),
            "wall_s": round(self.wall_s, 3),
            "closes": account.closes,
        }


@dataclass(frozen=True, slots=True)
class Stage:
    """What a player needs: a connection of role `adapter`, and marks to wait for."""

    adapter: Client
    partitions: int
    marks: Marks


Play = Callable[[Stage], Awaitable[str | None]]
"""Publishes; returns the last lockstep mark, None without lockstep."""


async def observe(
    session: Session,
    pipeline: Pipeline,
    source: Source,
    play: Play,
    seen: Callable[[Verdicts], None] | None = None,
) -> Summary:
    """Let `play` publish, and close the account behind it.

    Args:
        session: A running stack.
        pipeline: What is observed; applied already.
        source: What it reads.
        play: What publishes.
        seen: Gets the verdicts of every batch as they are stored.

    Raises:
        TransientError: A mark was not settled in time; names who is late.
    """
    try:
        return await _observe(session, pipeline, source, play, seen)
    except ExceptionGroup as group:
        raise await _cause(session, pipeline, source, group.exceptions[0]) from group


async def _observe(
    session: Session,
    pipeline: Pipeline,
    source: Source,
    play: Play,
    seen: Callable[[Verdicts], None] | None,
) -> Summary:
    began_s, cpu_before = time.monotonic(), cpu_seconds(session.pids)
    async with (
        connected(session, "adapter") as adapter,
        connected(session, "auditor") as reader,
        connected(session, "operator") as operator,
        asyncio.TaskGroup() as tasks,
    ):
        beginning = await Beginning.now(reader)
        events = await last_event(operator)
        gathering = await Gathering.from_now(operator, pipeline)
        partitions = await partitions_of(adapter)
        marks = Marks(adapter, pipeline.name, partitions, beginning.verdicts, seen)
        auditor = Auditor(reader, pipeline.name, source.name, beginning)
        stop = asyncio.Event()
        following = tasks.create_task(auditor.follow(stop))
        beside = [tasks.create_task(gathering.follow()), tasks.create_task(marks.watch())]
        last = await play(Stage(adapter, partitions, marks))
        if last is not None:
            await settled(operator, pipeline.name, last, partitions)
            await gathering.wait(last, partitions)
        stop.set()
        await following
        account = await auditor.settle(SETTLE_S)
        wall_s, spent = time.monotonic() - began_s, split(cpu_before, cpu_seconds(session.pids))
        for task in beside:
            task.cancel()
        found = await outcome(operator, pipeline.name, events)
    compared = await compare(
        gathering.evidence(), found.candidates, Bundles(session.objects()), found.seat
    )
    return Summary(pipeline.name, account, found, compared, gathering.share, spent, wall_s)


async def _cause(
    session: Session, pipeline: Pipeline, source: Source, error: Exception
) -> Exception:
    """The error itself; a mark that timed out also says who is late."""
    if not isinstance(error, MarkTimeoutError):
        return error
    async with connected(session, "operator") as operator:
        digest = digest8(feature_digest(pipeline, source))
        stages = await late_stages(operator, pipeline.name, digest, error)
    logs = session.home.folder / "logs"
    return TransientError(f"{error}: {stages}; see its log in {logs}, then replay again")


@asynccontextmanager
async def connected(session: Session, role: str) -> AsyncIterator[Client]:
    """A connection under a role, closed at the end."""
    client = await session.connect(role)
    try:
        yield client
    finally:
        with suppress(TimeoutError):
            await client.close()
