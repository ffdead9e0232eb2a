"""From the threshold event to the last runtime that flipped back: `python tests/bench/bench_rollback.py`.

A benchmark, not a test. Deployer and two runtimes are processes; the registry is played here: in
each round another model wins, comes into force in both, and is then found to do harm. The model that
a rollback leads to is hot in both. The clock starts before `degraded` is published and stops when
both runtimes have said in KV `runtimes` that they answer with the epoch after it. The second one
folds nothing, because two would fence each other.
"""

import asyncio
import os
import sys
import tempfile
import time
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from pathlib import Path

import nats
import numpy as np
from nats.aio.client import Client

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.broker import chain
from tests.broker.deploying import NOW, Others
from tests.broker.inference_world import World, inference_world
from tests.unit.inference_models import Made

from flyball_kit.kv import Kv
from flyball_local.embedded.engines import NatsEngine
from flyball_local.embedded.provision import provision_streams
from flyball_proto import streams
from flyball_proto.events import ModelRecord
from flyball_proto.runtimes import RuntimeState
from flyball_proto.spec import Pipeline

ROUNDS = 250
WAIT_S = 60.0
DAY_MS = 86_400_000
DEPLOYER = ("-m", "flyball_deployer")
RUNTIME = ("-m", "flyball_inference")
IDLE_RUNTIME = (
    "-c",
    """
from flyball_inference.app import build
from flyball_inference.desks import Desks
from flyball_kit.run import run

Desks._start = lambda *_: None  # no folds
run("inference", build)
""",
)


class Watch:
    """When each runtime said which epoch it answers with."""

    def __init__(self, client: Client) -> None:
        self._kv: Kv[RuntimeState] = Kv(lambda: client, streams.RUNTIMES, RuntimeState)
        self._epochs: dict[str, int] = {}
        self._moved = asyncio.Event()

    async def run(self) -> None:
        async with aclosing(self._kv.watch()) as changes:
            async for change in changes:
                if change.value is not None:
                    self._epochs[change.key] = change.value.epoch
                    self._moved.set()

    async def both(self, epoch: int) -> float:
        """The moment at which two runtimes have it."""
        async with asyncio.timeout(WAIT_S):
            while list(self._epochs.values()).count(epoch) < 2:
                self._moved.clear()
                await self._moved.wait()
        return time.perf_counter()


@asynccontextmanager
async def process(how: Sequence[str], world: World, log: Path) -> AsyncIterator[None]:
    common = {k: v for k, v in os.environ.items() if not k.startswith(("FLYBALL_", "OTEL_"))}
    own = {
        "FLYBALL_NATS_URL": str(world.common["nats_url"]),
        "FLYBALL_S3_ENDPOINT": world.s3.endpoint,
        "FLYBALL_S3_ACCESS_KEY": world.s3.access_key,
        "FLYBALL_S3_SECRET_KEY": world.s3.secret_key,
        "FLYBALL_S3_BUCKET": str(world.common["s3_bucket"]),
        "FLYBALL_METRICS_PORT": "0",
    }
    with log.open("w") as file:
        made = await asyncio.create_subprocess_exec(
            sys.executable, *how, env=common | own, stderr=file, stdout=file
        )
        try:
            yield
        finally:
            if made.returncode is None:
                made.terminate()
            await made.wait()


async def admit(others: Others, *made: Made, trainer: str) -> None:
    records: Kv[ModelRecord] = Kv(lambda: others.client, streams.MODELS, ModelRecord)
    for one in made:
        record = ModelRecord(
            pipeline=others.pipeline,
            digest=one.digest,
            manifest_digest="m",
            trainer=trainer,
            feature_digest=one.manifest.feature_digest,
            stage="challenger",
            size_bytes=len(one.onnx),
            admitted_at=NOW,
        )
        await records.save(f"{others.pipeline}.{one.digest}", record, revision=0)


async def rollbacks(others: Others, watch: Watch, made: list[Made]) -> list[float]:
    took_ms = []
    await watch.both(1)
    for i, one in enumerate(made):
        won = others.superior("a1", "baseline").model_copy(
            update={"digest": one.digest, "event_ms": (2 * i + 1) * DAY_MS}
        )
        await others.tell(won)
        await watch.both(2 * i + 2)
        await asyncio.sleep(0.02)  # the loop is idle, as it is for days
        bad = others.degraded("a1").model_copy(
            update={"digest": one.digest, "event_ms": (2 * i + 2) * DAY_MS}
        )
        began = time.perf_counter()
        await others.tell(bad)
        took_ms.append((await watch.both(2 * i + 3) - began) * 1000)
    return took_ms


async def main() -> None:
    with tempfile.TemporaryDirectory() as folder:
        engine = NatsEngine(Path(folder) / "nats")
        await asyncio.to_thread(engine.start)
        try:
            client: Client = await nats.connect(engine.url)
            await provision_streams(client)
            common = {"nats_url": engine.url, "s3_bucket": "flyball"}
            async with inference_world(client, Path(folder), "bench", common) as world:
                await measure(world, client, Path(folder))
            await client.close()
        finally:
            await asyncio.to_thread(engine.stop)


async def measure(world: World, client: Client, folder: Path) -> None:
    others, watch = Others(client, "bench"), Watch(client)
    await respecify(others)
    made = [world.another(0.1 + i / 1000) for i in range(ROUNDS)]
    await world.store(world.made, *made)
    await admit(others, world.made, trainer="baseline")
    await admit(others, *made, trainer="recent")
    watching = asyncio.create_task(watch.run())
    async with (
        process(DEPLOYER, world, folder / "deployer.log"),
        process(RUNTIME, world, folder / "one.log"),
        process(IDLE_RUNTIME, world, folder / "two.log"),
    ):
        took_ms = np.array(await rollbacks(others, watch, made))
    watching.cancel()
    found = np.percentile(took_ms, [50, 90, 99])
    print(
        f"{len(took_ms)} rollbacks, event to last of two runtimes: p50 {found[0]:.1f} ms, "
        f"p90 {found[1]:.1f}, p99 {found[2]:.1f}, worst {took_ms.max():.1f}"
    )


async def respecify(others: Others) -> None:
    """A pipeline whose winners take the seat at once."""
    specs: Kv[Pipeline] = Kv(lambda: others.client, streams.PIPELINES, Pipeline)
    key = f"pipeline.{others.pipeline}"
    _, revision = await specs.load(key)
    value = chain.catalogue(others.pipeline, promotion={"canary": [100]})
    await specs.save(key, value.pipelines[others.pipeline], revision=revision)


if __name__ == "__main__":
    asyncio.run(main())
