"""From METRICS to SAMPLES with every service that lies between, and ingest killed on the way."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

import pytest
from nats.aio.client import Client
from nats.js.errors import NotFoundError
from tests.broker import chain
from tests.broker.test_inference_chain import BUILDERS
from tests.unit.sample_rows import rows_of

from flyball_proto import streams, subjects
from flyball_proto.columns import Samples, Verdicts, decode_samples, decode_verdicts
from flyball_proto.events import ModelFlipped
from flyball_proto.headers import (
    ORIGINAL_SEQUENCE,
    ORIGINAL_SUBJECT,
    REASONS,
)
from flyball_proto.spec import digest8, feature_digest
from flyball_risk import app as risk
from flyball_risk.settings import Settings as RiskSettings

pytestmark = pytest.mark.broker

T0_MS = 1_767_225_600_000
CELLS = ("cell-1", "cell-2", "cell-3")
TIMEOUT_S = 60.0
TARGET = {"task": "binary", "expression": "max(load) > 0.9", "horizon": "3s"}
FEEDBACK = {"task": "binary", "kind": "feedback", "horizon": "1h"}


def load(cell: str, second: int) -> float:
    return (second * 37 + 11 * int(cell[-1])) % 100 / 100


@asynccontextmanager
async def ingest(common: dict[str, Any]) -> AsyncIterator[None]:
    """The service as a process; killed at the end."""
    bare = {k: v for k, v in os.environ.items() if not k.startswith(("FLYBALL_", "OTEL_"))}
    env = bare | {
        "FLYBALL_NATS_URL": common["nats_url"],
        "FLYBALL_REDIS_URL": common["redis_url"],
        "FLYBALL_REDIS_PREFIX": common["redis_prefix"],
        "FLYBALL_LOG_LEVEL": "ERROR",
    }
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "flyball_ingest", stdout=DEVNULL, env=env
    )
    try:
        yield
        assert process.returncode is None, "ingest ended by itself"
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


@asynccontextmanager
async def others(
    client: Client, common: dict[str, Any], name: str, **spec: Any
) -> AsyncIterator[str]:
    """Every other service, with a pipeline applied and its model in force; gives the digest."""
    builders = {**BUILDERS, "risk": (risk.build, RiskSettings)}
    async with chain.running(*(build(settings(**common)) for build, settings in builders.values())):
        reply = await chain.apply(client, chain.documents(name, **spec))
        assert reply.ok, reply.error
        await chain.event(client, ModelFlipped, name)
        found = chain.catalogue(name, **spec)
        yield feature_digest(found.pipelines[name], found.sources[name])


async def publish(client: Client, name: str, seconds: range) -> None:
    """One report a cell and second."""
    for second in seconds:
        for cell in CELLS:
            values = {"load": load(cell, second), "users": 1}
            body = {"element": cell, "time_ms": T0_MS + 1000 * second, "values": values}
            await client.jetstream().publish(f"metrics.{name}.{cell}", json.dumps(body).encode())


async def publish_label(client: Client, name: str, cell: str, second: int, value: float) -> int:
    body = {"time_ms": T0_MS + 1000 * second, "value": value}
    stored = await client.jetstream().publish(
        subjects.labels(name, cell), json.dumps(body).encode()
    )
    return stored.seq


async def publish_mark(client: Client, name: str) -> None:
    body = json.dumps({"id": "m1", "time_ms": T0_MS + 10**6, "last": True}).encode()
    subject = f"metrics.{name}.{subjects.MARK}"
    await client.jetstream().publish(subject, body)


async def stored(client: Client, stream: str, subject: str) -> list[Any]:
    js, found, after = client.jetstream(), [], 1
    while True:
        try:
            message = await js.get_msg(stream, seq=after, subject=subject, next=True)
        except NotFoundError:
            return found
        found.append(message)
        after = (message.seq or 0) + 1


async def samples(client: Client, name: str, digest: str) -> list[Samples]:
    subject = subjects.samples(name, digest8(digest), 0)
    found = await stored(client, streams.SAMPLES.name, subject)
    return [decode_samples(m.data) for m in found if m.data]


async def verdicts(client: Client, name: str) -> list[Verdicts]:
    found = await stored(client, streams.VERDICTS.name, subjects.verdicts(name, 0))
    return [decode_verdicts(m.data) for m in found if m.data]


async def until(
    client: Client, name: str, digest: str, enough: Callable[[list[Samples]], bool]
) -> list[Samples]:
    """Samples, once there are enough of them: looked up again with every new message."""
    subject = subjects.samples(name, digest8(digest), 0)
    sub = await client.jetstream().subscribe(subject)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            while not enough(found := await samples(client, name, digest)):
                await sub.next_msg(TIMEOUT_S)
    finally:
        await sub.unsubscribe()
    return found


def is_marked(found: list[Samples]) -> bool:
    return any(batch.flow.mark for batch in found)


async def test_samples_are_what_was_decided_with_what_came_after_however_ingest_is_killed(
    provisioned: Client, common: dict[str, Any], unique: str
) -> None:
    seconds = 60
    async with others(provisioned, common, unique, target=TARGET) as digest:
        for turn in range(4):
            first, least = turn * 15, 3 * (15 * turn + 5)
            async with ingest(common):
                await publish(provisioned, unique, range(first, first + 15))
                await until(
                    provisioned, unique, digest, lambda x, n=least: sum(len(b.rows) for b in x) >= n
                )
        async with ingest(common):
            await publish_mark(provisioned, unique)
            found = await until(provisioned, unique, digest, is_marked)
        judged = await verdicts(provisioned, unique)

    warm_up = 3  # a window of four rows: the first three seconds have no features
    rows = [row for batch in found for row in rows_of(batch)]
    labels = {(row[0], (row[2] - T0_MS) // 1000): row[3] for row in rows}
    assert len(labels) == len(rows)
    assert labels == {
        (cell, t): float(max(load(cell, s) for s in range(t + 1, t + 4)) > 0.9)
        for cell in CELLS
        for t in range(warm_up, seconds - 3)
    }
    assert all(row[4] == row[2] + 3000 for row in rows)
    scores = {
        (v.rows.element[v.rows.element_index[i]], int(v.rows.time_ms[i])): v.score[i]
        for v in judged
        for i in range(len(v.rows))
    }
    assert all(scores[row[0], row[2]] == row[8] for row in rows)
    assert sum(t.rows for b in found for t in b.tally) == len(scores) == 3 * (seconds - warm_up)
    covers = [(b.flow.first, b.flow.last) for b in found]
    assert covers == sorted(covers)
    assert found[-1].flow.mark is not None
    assert found[-1].flow.mark.last


async def test_published_truth_makes_samples_and_what_is_refused_lies_in_quarantine(
    provisioned: Client, common: dict[str, Any], unique: str
) -> None:
    subject = subjects.refused_labels(unique, 0)
    async with others(provisioned, common, unique, target=FEEDBACK) as digest:
        async with ingest(common):
            await publish(provisioned, unique, range(10))
            await publish_label(provisioned, unique, "cell-1", 5, 1)
            await until(provisioned, unique, digest, lambda x: any(len(b.rows) for b in x))
        async with ingest(common):
            contradiction = await publish_label(provisioned, unique, "cell-1", 5, 0)
            await publish_label(provisioned, unique, "cell-1", 5, 1)
            unknown = await publish_label(provisioned, unique, "cell-2", 500, 1)
            await publish_label(provisioned, unique, "cell-2", 6, 0)
            await publish(provisioned, unique, range(4000, 4004))  # windows fill anew
            late = await publish_label(provisioned, unique, "cell-3", 7, 0)
            await publish_mark(provisioned, unique)
            found = await until(provisioned, unique, digest, is_marked)
            sub = await provisioned.jetstream().subscribe(subject)
            for _ in range(3):
                await sub.next_msg(TIMEOUT_S)
    rows = [row for batch in found for row in rows_of(batch)]
    assert [(r[0], r[2] - T0_MS, r[3]) for r in rows] == [("cell-1", 5000, 1), ("cell-2", 6000, 0)]
    refused = await stored(provisioned, streams.QUARANTINE.name, subject)
    assert [(int(m.headers[ORIGINAL_SEQUENCE]), m.headers[REASONS]) for m in refused] == [
        (contradiction, "label-contradiction"),
        (unknown, "label-unknown-row"),
        (late, "label-late"),
    ]
    assert refused[0].headers[ORIGINAL_SUBJECT] == subjects.labels(unique, "cell-1")
    assert json.loads(refused[0].data) == {"time_ms": T0_MS + 5000, "value": 0}
    skipped = [s for b in found for s in b.flow.skipped.sequence.tolist()]
    assert skipped == [contradiction, unknown, late]


async def test_a_pipeline_that_is_deleted_is_waited_for_by_nobody(
    provisioned: Client, common: dict[str, Any], unique: str
) -> None:
    async with others(provisioned, common, unique, target=FEEDBACK) as digest, ingest(common):
        await publish(provisioned, unique, range(10))
        await publish_label(provisioned, unique, "cell-1", 5, 1)
        await until(provisioned, unique, digest, lambda x: any(len(b.rows) for b in x))
        readers = f"$KV.positions.*.samples.{unique}.>"
        sub = await provisioned.jetstream().subscribe(readers)
        seen: dict[str, bool] = {}
        while len(seen) < 2:
            message = await sub.next_msg(TIMEOUT_S)
            seen[message.subject] = bool(message.data)
        assert all(seen.values())
        assert {s.split(".")[2] for s in seen} == {streams.VERDICTS.name, streams.FEATURES.name}
        await provisioned.jetstream().publish(
            f"$KV.pipelines.pipeline.{unique}", b"", headers={"KV-Operation": "DEL"}
        )
        while any(seen.values()):
            message = await sub.next_msg(TIMEOUT_S)
            seen[message.subject] = bool(message.data)
