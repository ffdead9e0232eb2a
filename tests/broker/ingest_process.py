"""Ingest as a process of its own, what it is told, and what it says."""

import asyncio
import json
import os
import sys
from asyncio.subprocess import DEVNULL, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from nats.aio.client import Client

from flyball_ingest.contract import compile_contract
from flyball_ingest.fold import IngestFold
from flyball_kit.fold import Input
from flyball_kit.kv import Kv
from flyball_proto import streams
from flyball_proto.columns import Features, decode_features
from flyball_proto.spec import Pipeline, Source, parse_documents

T0_MS = 1_767_225_600_000
TIMEOUT_S = 30.0


def documents(*, spec: dict[str, Any] | None = None, **source: Any) -> tuple[Source, Pipeline]:
    """A source and a pipeline; `spec` and `source` replace what theirs say."""
    catalogue = parse_documents(
        [
            {
                "apiVersion": "flyball/v1",
                "kind": "Source",
                "metadata": {"name": "ran"},
                "spec": {
                    "interval": "1s",
                    "metrics": [{"name": "load", "range": [0, 1]}, "power"],
                    "labels": ["site"],
                    **source,
                },
            },
            {
                "apiVersion": "flyball/v1",
                "kind": "Pipeline",
                "metadata": {"name": "congestion"},
                "spec": {
                    "source": "ran",
                    "warm_up_rows": 2,
                    "features": [{"metric": "*", "windows": [2, 8]}],
                    "target": {"task": "binary", "expression": "max(load) > 0.9", "horizon": "30s"},
                    **(spec or {}),
                },
            },
        ]
    )
    return catalogue.sources["ran"], catalogue.pipelines["congestion"]


async def apply(client: Client, source: Source, pipeline: Pipeline) -> str:
    """Save both as the gateway does; returns the subject of the features."""
    sources = Kv[Source](lambda: client, streams.PIPELINES, Source)
    pipelines = Kv[Pipeline](lambda: client, streams.PIPELINES, Pipeline)
    _, revision = await sources.load("source.ran")
    await sources.save("source.ran", source, revision=revision)
    _, revision = await pipelines.load("pipeline.congestion")
    await pipelines.save("pipeline.congestion", pipeline, revision=revision)
    contract = compile_contract(pipeline, source, pipeline_revision=1, source_revision=1)
    return contract.target_subject(0)


@asynccontextmanager
async def ingest(
    nats_url: str, redis_url: str | None, unique: str, **variables: str
) -> AsyncIterator[Process]:
    bare = {k: v for k, v in os.environ.items() if not k.startswith(("FLYBALL_", "OTEL_"))}
    env = bare | {
        "FLYBALL_NATS_URL": nats_url,
        "FLYBALL_REDIS_PREFIX": f"{unique}:",
        "FLYBALL_INGEST_SNAPSHOT_EVERY_S": "0.05",
        "FLYBALL_LOG_LEVEL": "ERROR",
        **variables,
    }
    if redis_url:
        env["FLYBALL_REDIS_URL"] = redis_url
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "flyball_ingest", stdout=DEVNULL, env=env
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def send(client: Client, element: str, body: dict[str, Any] | bytes, **headers: str) -> int:
    data = body if isinstance(body, bytes) else json.dumps({"element": element, **body}).encode()
    js = client.jetstream()
    return (await js.publish(f"metrics.ran.{element}", data, headers=headers or None)).seq


async def features(
    client: Client, subject: str, enough: Callable[[list[Features]], bool]
) -> list[Features]:
    """All batches of a subject, once there are enough of them."""
    found: list[Features] = []
    done = asyncio.Event()

    async def on_message(message: Any) -> None:
        if message.data:
            found.append(decode_features(message.data))
        if enough(found):
            done.set()

    sub = await client.jetstream().subscribe(subject, cb=on_message, ordered_consumer=True)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await done.wait()
    finally:
        await sub.unsubscribe()
    return found


def counted(batches: list[Features]) -> int:
    """Rows that have an outcome."""
    return sum(len(b.rows) + int(b.flow.skipped.rows.sum()) for b in batches)


def has(rows: int, batches: list[Features]) -> bool:
    """Whether so many rows have an outcome."""
    return counted(batches) >= rows


def outcomes(batches: list[Features]) -> tuple[list[Any], list[Any]]:
    """Rows to the bit, and what was skipped."""
    rows = [
        (b.rows.element[e], int(b.rows.sequence[i]), b.feature[i].tobytes(), int(b.quality[i]))
        for b in batches
        for i, e in enumerate(b.rows.element_index)
    ]
    skipped = [
        (int(s), int(n), int(r))
        for b in batches
        for s, n, r in zip(
            b.flow.skipped.sequence, b.flow.skipped.rows, b.flow.skipped.reason, strict=True
        )
    ]
    return rows, sorted(skipped)


async def plainly(client: Client, source: Source, pipeline: Pipeline) -> list[Features]:
    """The same input folded here, in one batch."""
    contract = compile_contract(pipeline, source, pipeline_revision=1, source_revision=1)
    stage = IngestFold(
        contract, partition=0, origin="hub.METRICS", max_elements=1_000, memory_bytes=1 << 30
    )
    js = client.jetstream()
    last = (await js.stream_info(streams.METRICS.name)).state.last_seq
    now_ns = (T0_MS + 10**9) * 10**6
    for sequence in range(1, last + 1):
        found = await js.get_msg(streams.METRICS.name, sequence)
        stage.step(Input(sequence, now_ns, found.subject or "", found.headers, found.data or b""))
    output = stage.take()
    assert output is not None
    return [decode_features(output.data)]


async def quarantined(client: Client, count: int) -> list[Any]:
    """The first `count` messages of the quarantine."""
    found: list[Any] = []
    done = asyncio.Event()

    async def on_message(message: Any) -> None:
        found.append(message)
        if len(found) >= count:
            done.set()

    sub = await client.jetstream().subscribe("quarantine.>", cb=on_message, ordered_consumer=True)
    try:
        async with asyncio.timeout(TIMEOUT_S):
            await done.wait()
    finally:
        await sub.unsubscribe()
    return found
