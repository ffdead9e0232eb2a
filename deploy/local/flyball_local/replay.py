"""History through the real loop: a CSV file, published as its elements would have.

At `--speed max` in lockstep: event time is cut into stretches, each ends with a mark in band, and
the next one waits until the mark has come out at the end. So what is decided does not depend on how
fast the machine is, and two runs give the same digest.
"""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from nats.aio.client import Client

from flyball_kit.errors import TransientError
from flyball_local import specfile
from flyball_local.audit import Account, Auditor, Beginning
from flyball_local.control import apply
from flyball_local.csvrows import read_rows
from flyball_local.invalid import InvalidInputError
from flyball_local.marks import Marks, MarkTimeoutError, late_stages
from flyball_local.player import Player, stretches
from flyball_local.session import Session, open_session, partitions_of
from flyball_local.supervisor import Say
from flyball_proto.spec import Catalogue, Pipeline, Source, digest8, feature_digest

STRETCH_ROWS: Final = 1_000
SETTLE_S: Final = 15.0
LOCKSTEP: Final = {"ingest": {"FLYBALL_INGEST_TICKS": "false"}}


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """What to play and how. `speed` None = as fast as the loop settles, else times real time.

    In lockstep a stretch ends at the first new event time behind `stretch_rows` rows.
    """

    spec: Path
    csv: Path
    pipeline: str | None = None
    speed: float | None = None
    home: Path | None = None
    say: Say = print
    stretch_rows: int = STRETCH_ROWS


@dataclass(frozen=True, slots=True)
class Summary:
    """How a replay ended."""

    pipeline: str
    account: Account
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
            "decisions_digest": account.decisions_digest,
            "latency_ms": dict(account.latency_ms),
            "wall_s": round(self.wall_s, 3),
        }


def parse_speed(text: str) -> float | None:
    """`max` as None, else how many times real time.

    Raises:
        InvalidInputError: It is neither.
    """
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise InvalidInputError(f"--speed {text}: valid: max, or a number above 0, e.g. 60")
    return speed


def require_spec(spec: Path | None, csv: Path) -> Path:
    """The specification's path.

    Raises:
        InvalidInputError: There is none; says how to make one.
    """
    if spec is None:
        raise InvalidInputError(
            "found no --spec; a replay needs a specification of the file: write one with "
            f"`flyball new spec --csv {csv} --target COLUMN > my.yaml`, then add --spec my.yaml"
        )
    return spec


def choose(catalogue: Catalogue, wanted: str | None) -> tuple[Pipeline, Source]:
    """The pipeline to play and its source.

    Raises:
        InvalidInputError: The file does not say which, or has none of that name.
    """
    names = list(catalogue.pipelines)
    if wanted is None and len(names) == 1:
        wanted = names[0]
    if wanted is None or wanted not in catalogue.pipelines:
        found = f"no pipeline {wanted!r}" if wanted else f"{len(names)} pipelines"
        raise InvalidInputError(
            f"the specification: found {found}; valid: one of {', '.join(names) or 'none'}; "
            "name it with --pipeline"
        )
    pipeline = catalogue.pipelines[wanted]
    return pipeline, catalogue.source_of(pipeline)


async def replay(options: ReplayOptions) -> Summary:
    """Play a file through a stack and close its account.

    Raises:
        SpecError, CsvError: The specification or the file cannot be used; nothing was started.
        MarkTimeoutError: A stage did not settle; the message names it.
    """
    catalogue = specfile.load(options.spec)
    _, source = choose(catalogue, options.pipeline)
    next(read_rows(options.csv, source), None)  # its mistakes should not wait for a stack
    variables = LOCKSTEP if options.speed is None else None
    async with open_session(options.home, options.say, variables) as session:
        return await replay_on(session, catalogue, options)


async def replay_on(session: Session, catalogue: Catalogue, options: ReplayOptions) -> Summary:
    """As `replay`, on a stack that runs."""
    pipeline, source = choose(catalogue, options.pipeline)
    async with _connected(session, "operator") as operator:
        await apply(operator, catalogue.objects, by="replay")
    try:
        return await _play(session, options, pipeline, source)
    except ExceptionGroup as group:
        raise await _cause(session, pipeline, source, group.exceptions[0]) from group


async def _play(
    session: Session, options: ReplayOptions, pipeline: Pipeline, source: Source
) -> Summary:
    began_s = time.monotonic()
    async with (
        _connected(session, "adapter") as adapter,
        _connected(session, "auditor") as reader,
        asyncio.TaskGroup() as tasks,
    ):
        beginning = await Beginning.now(reader)
        auditor = Auditor(reader, pipeline.name, source.name, beginning)
        stop = asyncio.Event()
        following = tasks.create_task(auditor.follow(stop))
        player = Player(adapter, source, await partitions_of(adapter), options.say)
        rows = read_rows(options.csv, source)
        if options.speed is None:
            marks = Marks(adapter, pipeline.name, player.partitions, beginning.verdicts)
            watching = tasks.create_task(marks.watch())
            await player.in_lockstep(stretches(rows, options.stretch_rows), marks)
            watching.cancel()
        else:
            await player.at_speed(rows, options.speed)
        stop.set()
        await following
        account = await auditor.settle(SETTLE_S)
    return Summary(pipeline.name, account, time.monotonic() - began_s)


async def _cause(
    session: Session, pipeline: Pipeline, source: Source, error: Exception
) -> Exception:
    """The error itself; a mark that timed out also says who is late."""
    if not isinstance(error, MarkTimeoutError):
        return error
    async with _connected(session, "operator") as operator:
        digest = digest8(feature_digest(pipeline, source))
        stages = await late_stages(operator, pipeline.name, digest, error)
    logs = session.home.folder / "logs"
    return TransientError(f"{error}: {stages}; see its log in {logs}, then replay again")


@asynccontextmanager
async def _connected(session: Session, role: str) -> AsyncIterator[Client]:
    client = await session.connect(role)
    try:
        yield client
    finally:
        with suppress(TimeoutError):
            await client.close()
