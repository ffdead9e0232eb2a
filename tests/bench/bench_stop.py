"""From a person's stop to the reply, under load: `python tests/bench/bench_stop.py`. A benchmark, not a test.

Broker, risk and the feeder are processes. The feeder stores decisions at a steady rate, a part of
which propose actions that are cleared and sent. In each round the pipeline is stopped, the time to
the reply is taken, and a moment later is counted what was stored in ACTIONS behind the reply; then
it is resumed, and the next round begins when actions go out again.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from pathlib import Path

import nats
import numpy as np
from nats.aio.client import Client
from nats.errors import NoRespondersError
from nats.js.errors import NotFoundError

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.unit.risk_rows import Row, batch, pipeline

from flyball_local.embedded.engines import NatsEngine
from flyball_local.embedded.provision import provision_streams
from flyball_proto import streams
from flyball_proto.columns import encode_decisions
from flyball_proto.commands import ResumePipeline, StopPipeline, StopReply
from flyball_proto.spec import Pipeline

ROUNDS = int(os.environ.get("ROUNDS", "120"))
ROWS = 100
"""Of one batch."""
RUN_S = 0.4
"""How long actions go out between two rounds."""
SETTLE_S = 0.15
"""How long after the reply ACTIONS is looked at again."""


@dataclass(frozen=True)
class Case:
    """So many pipelines, which share the rows; every n-th row proposes an action."""

    pipelines: int
    rows_per_s: int = 10_000
    one_in: int = 10

    @property
    def names(self) -> list[str]:
        return [f"p{i}" for i in range(self.pipelines)]

    @property
    def words(self) -> str:
        acting = self.rows_per_s // self.one_in
        return f"{self.pipelines} pipeline(s), {self.rows_per_s} rows/s, {acting} propose an action"


def specification(name: str) -> Pipeline:
    offload = {"action": "offload", "score_at_least": 0.1, "severity": "low", "cooldown": "0s"}
    given = pipeline(offload, budgets={"actions_per_minute": 1_000_000}, breaker={"enabled": False})
    return given.model_copy(update={"metadata": given.metadata.model_copy(update={"name": name})})


async def feed(url: str, case: Case) -> None:
    """Store decisions until killed."""
    client = await nats.connect(url)
    js = client.jetstream(publish_async_max_pending=512)
    rows = [
        Row(f"cell-{i}", 0, 0.99, "offload" if i % case.one_in == 0 else None) for i in range(ROWS)
    ]
    given, sent, started = batch(rows), 0, time.monotonic()
    every = given.rows
    while True:
        due = int((time.monotonic() - started) * case.rows_per_s / ROWS)
        while sent < due:
            now_ms = time.time_ns() // 1_000_000
            at = replace(
                every,
                time_ms=every.time_ms + now_ms,
                sequence=every.sequence + sent * ROWS,
            )
            name = case.names[sent % case.pipelines]
            flow = replace(given.flow, first=1 + sent * ROWS, last=(sent + 1) * ROWS)
            data = encode_decisions(replace(given, pipeline=name, rows=at, flow=flow))
            await js.publish_async(f"decisions.{name}.0", data)
            sent += 1
            if sent % 5000 == 0:
                await js.purge_stream(streams.DECISIONS.name, keep=2000)
        await asyncio.sleep(0.002)


@asynccontextmanager
async def process(*words: str, **variables: str) -> AsyncIterator[None]:
    env = {**os.environ, **variables}
    found = await asyncio.create_subprocess_exec(sys.executable, *words, env=env)
    try:
        yield
    finally:
        found.kill()
        await found.wait()


async def ask(client: Client, kind: type[StopPipeline | ResumePipeline], name: str) -> StopReply:
    verb = "stop" if kind is StopPipeline else "resume"
    data = kind(pipeline=name, by="bench", why="bench").model_dump_json().encode()
    while True:
        try:
            reply = await client.request(f"cmd.risk.{verb}", data, timeout=30)
        except NoRespondersError:
            await asyncio.sleep(0.1)
        else:
            return StopReply.model_validate_json(reply.data)


async def newest(client: Client, name: str) -> tuple[int, datetime]:
    """Place and time of the newest action of a pipeline."""
    try:
        found = await client.jetstream().get_last_msg("ACTIONS", f"actions.{name}.>")
    except NotFoundError:
        return 0, datetime(1970, 1, 1, tzinfo=UTC)
    assert found.time is not None
    return found.seq or 0, found.time


async def until_acting(client: Client, name: str, after: int) -> None:
    async with asyncio.timeout(60):
        while (await newest(client, name))[0] <= after + 10:
            await asyncio.sleep(0.01)


async def one_round(client: Client, name: str) -> tuple[float, int]:
    """Milliseconds to the reply, and how many actions were stored behind it."""
    started = time.perf_counter()
    reply = await ask(client, StopPipeline, name)
    took_ms = (time.perf_counter() - started) * 1000
    replied = datetime.now(UTC)
    assert reply.changed, reply
    before, _ = await newest(client, name)
    await asyncio.sleep(SETTLE_S)
    after, stored = await newest(client, name)
    late = int(after != before) + int(stored > replied)
    await ask(client, ResumePipeline, name)
    await until_acting(client, name, after)
    await asyncio.sleep(RUN_S)
    return took_ms, late


async def measure(case: Case) -> None:
    with tempfile.TemporaryDirectory() as folder:
        engine = NatsEngine(Path(folder) / "nats")
        await asyncio.to_thread(engine.start)
        try:
            client = await nats.connect(engine.url)
            await provision_streams(client, partitions=1)
            for name in case.names:
                data = specification(name).model_dump_json().encode()
                await client.jetstream().publish(f"$KV.pipelines.pipeline.{name}", data)
            variables = {"FLYBALL_NATS_URL": engine.url, "FLYBALL_METRICS_PORT": "0"}
            given = f"{case.pipelines},{case.rows_per_s},{case.one_in}"
            async with (
                process("-m", "flyball_risk", **variables),
                process(__file__, "--feed", engine.url, given),
            ):
                await until_acting(client, case.names[0], 1000)
                began, sent = (
                    time.monotonic(),
                    (await client.jetstream().stream_info("ACTIONS")).state.last_seq,
                )
                found = [await one_round(client, case.names[0]) for _ in range(ROUNDS)]
                sent = (await client.jetstream().stream_info("ACTIONS")).state.last_seq - sent
            report(case, [took for took, _ in found], sum(late for _, late in found))
            print(
                f"  {sent / (time.monotonic() - began):.0f} actions/s stored meanwhile, over stops"
            )
            await client.close()
        finally:
            await asyncio.to_thread(engine.stop)


def report(case: Case, took_ms: list[float], late: int) -> None:
    p50, p99 = np.percentile(took_ms, [50, 99])
    print(
        f"{case.words}: {len(took_ms)} stops, reply p50 {p50:.1f} ms, p99 {p99:.1f} ms, "
        f"max {max(took_ms):.1f} ms; {late} with an action stored behind the reply",
        flush=True,
    )


async def main() -> None:
    if "--feed" in sys.argv:
        url, given = sys.argv[2:4]
        await feed(url, Case(*map(int, given.split(","))))
    for case in (Case(1), Case(5), Case(1, one_in=2)):
        await measure(case)


if __name__ == "__main__":
    asyncio.run(main())
