"""What tests of the control plane share: running services, commands, events and feature rows."""

import asyncio
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from typing import Any, TypeVar

import numpy as np
from faststream import FastStream
from nats.aio.client import Client
from pydantic import BaseModel

from flyball_proto import streams, subjects
from flyball_proto.columns import (
    F32,
    F64,
    I64,
    U8,
    U16,
    U32,
    U64,
    Decisions,
    Features,
    Flow,
    Rows,
    decode_decisions,
    encode_features,
)
from flyball_proto.commands import Apply, ApplyReply
from flyball_proto.events import Event
from flyball_proto.spec import Catalogue, digest8, feature_digest, feature_names, parse_documents

WAIT_S = 60.0

E = TypeVar("E", bound=Event)
R = TypeVar("R", bound=BaseModel)


def documents(name: str, **changes: Any) -> list[dict[str, Any]]:
    """A source and a pipeline of that name; `changes` replace parts of the pipeline's spec."""
    spec = {
        "source": name,
        "features": [{"metric": "load", "windows": [4], "aggregates": ["last", "mean"]}],
        "target": {"task": "binary", "expression": "max(load) > 0.9", "horizon": "30s"},
        "decisions": [
            {"action": "offload", "score_at_least": 0.85},
            {"action": "watch", "score_at_least": 0.5},
        ],
    }
    metrics = [{"name": "load", "range": [0, 1]}, {"name": "users"}]
    source = {"interval": "1s", "metrics": metrics}
    return [
        {
            "apiVersion": "flyball/v1",
            "kind": "Source",
            "metadata": {"name": name},
            "spec": source,
        },
        {
            "apiVersion": "flyball/v1",
            "kind": "Pipeline",
            "metadata": {"name": name},
            "spec": spec | changes,
        },
    ]


def catalogue(name: str, **changes: Any) -> Catalogue:
    return parse_documents(documents(name, **changes))


@asynccontextmanager
async def running(*apps: FastStream) -> AsyncIterator[None]:
    """Services that run in this process; stopped from the last to the first."""
    started: list[FastStream] = []
    try:
        for app in apps:
            await app.start()
            started.append(app)
        yield
    finally:
        for app in reversed(started):
            await app.stop()


async def ask(client: Client, service: str, verb: str, body: bytes, kind: type[R]) -> R:
    """Send a command and read its reply."""
    reply = await client.request(subjects.command(service, verb), body, timeout=WAIT_S)
    return kind.model_validate_json(reply.data)


async def apply(client: Client, found: Sequence[dict[str, Any]]) -> ApplyReply:
    body = Apply(objects=tuple(found), by="tests").model_dump_json().encode()
    return await ask(client, "gateway", "apply", body, ApplyReply)


async def event(client: Client, kind: type[E], pipeline: str, nth: int = 1) -> E:
    """Wait for the n-th event of a kind."""
    sub = await client.jetstream().subscribe(kind.pattern().replace("*", pipeline))
    try:
        for _ in range(nth):
            message = await sub.next_msg(WAIT_S)
            await message.ack()  # else it comes again after half a minute, and counts twice
    finally:
        await sub.unsubscribe()
    return kind.model_validate_json(message.data)


async def count(client: Client, kind: type[Event], pipeline: str) -> int:
    """How many events of a kind are stored."""
    subject = kind.pattern().replace("*", pipeline)
    info = await client.jetstream().stream_info(streams.EVENTS.name, subjects_filter=subject)
    return (info.state.subjects or {}).get(subject, 0)


async def settled(client: Client, durable: str) -> None:
    """Wait until a service has done with every event so far."""
    js = client.jetstream()
    async with asyncio.timeout(WAIT_S):
        while True:
            info = await js.consumer_info(streams.EVENTS.name, durable)
            if not info.num_pending and not info.num_ack_pending:
                return


def features(name: str, load: Sequence[float], *, first: int = 1, digest: str = "") -> bytes:
    """A batch of feature rows of the pipeline above, one report a row."""
    found = catalogue(name)
    pipeline, rows = found.pipelines[name], len(load)
    width = len(feature_names(pipeline, found.sources[name]))
    return encode_features(
        Features(
            name,
            digest or feature_digest(pipeline, found.sources[name]),
            Flow("hub.METRICS", first, first + rows - 1, revisions={"pipeline": 1}),
            Rows(
                ("cell-1",),
                np.zeros(rows, U32),
                np.arange(first, first + rows, dtype=U64),
                np.zeros(rows, U16),
                np.arange(rows, dtype=I64) * 1000,
                ("{}",),
                np.zeros(1, U32),
            ),
            np.repeat(np.asarray(load, F32)[:, None], width, axis=1),
            np.zeros(rows, U8),
            ("load",),
            np.asarray(load, F64)[:, None],
        )
    )


async def publish_features(client: Client, name: str, load: Sequence[float], **how: Any) -> None:
    found = catalogue(name)
    digest = feature_digest(found.pipelines[name], found.sources[name])
    subject = subjects.features(name, digest8(digest), 0)
    await client.jetstream().publish(subject, features(name, load, **how))


async def decisions(client: Client, name: str, rows: int) -> list[Decisions]:
    """Wait until so many rows are decided, and give their batches."""
    sub = await client.jetstream().subscribe(subjects.decisions(name, 0))
    found: list[Decisions] = []
    try:
        while sum(len(batch.rows) for batch in found) < rows:
            message = await sub.next_msg(WAIT_S)
            if message.data:
                found.append(decode_decisions(message.data))
    finally:
        await sub.unsubscribe()
    return found
