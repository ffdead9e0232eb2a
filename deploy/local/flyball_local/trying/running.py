"""Reads what VERDICTS holds of a pipeline and judges it again under two policies.

All stored verdicts are read, oldest first: those before the window build up the state that those in
it are judged in. Memory holds one batch and the comparison; `last` at most so many rows.
"""

from collections import deque
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass
from typing import Final

from nats.aio.client import Client

from flyball_kit.kv import Kv
from flyball_kit.newest import newest
from flyball_local.audit.stored import read
from flyball_local.invalid import InvalidInputError
from flyball_local.trying.again import Again, Ruled, recorded_rulings
from flyball_local.trying.comparing import Comparison, Row, keeps_budgets, looser_settings
from flyball_proto import streams
from flyball_proto.calibrations import Calibration
from flyball_proto.columns import Verdicts, decode_verdicts
from flyball_proto.spec import Pipeline

MAX_LAST: Final = 1_000_000
NEWEST: Final = 100
"""Messages among which the newest row of any partition is looked for."""


@dataclass(frozen=True, slots=True)
class Window:
    """Which rows are compared: event time from `since_ms` on, and of these the `last` ones."""

    since_ms: int
    last: int | None = None


async def applied(client: Client, name: str) -> Pipeline:
    """The pipeline as it is in force.

    Raises:
        InvalidInputError: It was never applied.
    """
    records: Kv[Pipeline] = Kv(lambda: client, streams.PIPELINES, Pipeline)
    found, _ = await records.load(f"pipeline.{name}")
    if found is None:
        known = sorted(k.removeprefix("pipeline.") for k in await records.items("pipeline."))
        raise InvalidInputError(
            f"pipeline {name!r} is not applied; valid: {', '.join(known) or 'none yet'}; a policy is "
            "tested against what a running pipeline decided: flyball apply -f FILE"
        )
    return found


async def window_of(client: Client, name: str, ago_ms: int, last: int | None) -> Window:
    """The window that ends with the newest recorded row; event time, so that it fits replays, too."""
    found = await newest(client, streams.VERDICTS, [f"verdicts.{name}.*"], NEWEST)
    times_ms = [
        int(batch.rows.time_ms.max())
        for message in found
        if message.data and len((batch := decode_verdicts(message.data)).rows)
    ]
    return Window(max(times_ms, default=0) - ago_ms, last)


async def compare(client: Client, before: Pipeline, after: Pipeline, window: Window) -> Comparison:
    """Judge what is recorded of a pipeline under both policies; role `operator`."""
    name = before.name
    calibrations: Kv[Calibration] = Kv(lambda: client, streams.CALIBRATION, Calibration)
    calibration, _ = await calibrations.load(name)
    partitions = await _partitions(client, name)
    judges = {
        p: tuple(
            Again(policy, calibration, p, partitions, learns=True) for policy in (before, after)
        )
        for p in range(partitions)
    }
    comparison = Comparison(keeps_budgets(before, after), settings=looser_settings(before, after))
    kept: deque[Row] = deque(maxlen=window.last)
    async for partition, batch in _recorded(client, name):
        old, new = (judge.judge(batch) for judge in judges[partition])
        rows = _rows(batch, window.since_ms, zip(recorded_rulings(batch), old, new, strict=True))
        comparison.rows += int((batch.rows.time_ms >= window.since_ms).sum())
        if window.last is None:
            for row in rows:
                comparison.add(row)
        else:
            kept.extend(rows)
    for row in kept:
        comparison.add(row)
    return comparison


async def _recorded(client: Client, name: str) -> AsyncIterator[tuple[int, Verdicts]]:
    after = 0
    while batch := await read(client, streams.VERDICTS.name, f"verdicts.{name}.*", after):
        for message in batch:
            after = message.sequence
            if message.data:  # claims and renewals have none
                yield int(message.subject.rsplit(".", 1)[1]), decode_verdicts(message.data)


async def _partitions(client: Client, name: str) -> int:
    """How many partitions have verdicts; a budget is shared by all of them."""
    pattern = f"verdicts.{name}.*"
    info = await client.jetstream().stream_info(streams.VERDICTS.name, subjects_filter=pattern)
    found = [int(subject.rsplit(".", 1)[1]) for subject in info.state.subjects or {}]
    return max(found, default=0) + 1


def _rows(
    batch: Verdicts, since_ms: int, ruled: Iterable[tuple[Ruled, Ruled, Ruled]]
) -> Iterator[Row]:
    rows = batch.rows
    for i, (recorded, before, after) in enumerate(ruled):
        time_ms = int(rows.time_ms[i])
        if time_ms < since_ms or (before.verdict is None and after.verdict is None):
            continue
        decision = f"{batch.pipeline}.{rows.sequence[i]}.{rows.sample[i]}"
        element, score = rows.element[rows.element_index[i]], float(batch.score[i])
        yield Row(decision, element, time_ms, score, recorded, before, after)
