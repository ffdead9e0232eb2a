"""A runtime alone, fed without a pause while its model is exchanged again and again.

Every model gives a constant of its own to every row, so that each stored row tells which model it
was scored by, whatever it says of itself.
"""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path

import numpy as np
from nats.js.errors import NotFoundError
from tests.broker import chain
from tests.broker.inference_world import World
from tests.unit.inference_models import Made, deployment

from flyball_kit.clock import monotonic_s, wall_ms
from flyball_kit.kv import Kv
from flyball_proto import sticky, streams, subjects
from flyball_proto.columns import (
    I64,
    U16,
    U32,
    U64,
    Decisions,
    Features,
    decode_decisions,
    decode_features,
    encode_features,
)
from flyball_proto.deployments import ActiveModel
from flyball_proto.runtimes import RuntimeState
from flyball_proto.spec import digest8

ELEMENTS = 200
READ_S = 300.0
"""To read everything back; a failure, not a measure."""


class Runtime:
    """One inference process, and which epoch it says it answers with."""

    def __init__(self, pid: int) -> None:
        self.epoch = 0
        self._pid, self._moved = pid, asyncio.Event()

    async def follow(self, world: World) -> None:
        kv: Kv[RuntimeState] = Kv(lambda: world.client, streams.RUNTIMES, RuntimeState)
        async with aclosing(kv.watch()) as changes:
            async for change in changes:
                if change.value is not None and change.value.pipeline == world.name:
                    self.epoch = change.value.epoch
                    self._moved.set()

    async def answers_with(self, epoch: int) -> None:
        async with asyncio.timeout(chain.WAIT_S):
            while self.epoch < epoch:
                self._moved.clear()
                await self._moved.wait()

    def resident_mib(self) -> float:
        """What it holds in memory now."""
        status = Path(f"/proc/{self._pid}/status").read_text()
        (line,) = [line for line in status.splitlines() if line.startswith("VmRSS:")]
        return int(line.split()[1]) / 1024


@asynccontextmanager
async def runtime(world: World, log: Path) -> AsyncIterator[Runtime]:
    """Inference as a process; told to stop it has to drain and end cleanly."""
    bare = {k: v for k, v in os.environ.items() if not k.startswith(("FLYBALL_", "OTEL_"))}
    own = {
        "FLYBALL_NATS_URL": str(world.common["nats_url"]),
        "FLYBALL_S3_ENDPOINT": world.s3.endpoint,
        "FLYBALL_S3_ACCESS_KEY": world.s3.access_key,
        "FLYBALL_S3_SECRET_KEY": world.s3.secret_key,
        "FLYBALL_S3_BUCKET": str(world.common["s3_bucket"]),
        "FLYBALL_METRICS_PORT": "0",
    }
    with log.open("w") as file:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", "flyball_inference", env=bare | own, stderr=file
        )
        found = Runtime(process.pid)
        following = asyncio.create_task(found.follow(world))
        try:
            yield found
            process.terminate()
            assert await asyncio.wait_for(process.wait(), chain.WAIT_S) == 0, log.read_text()
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
            following.cancel()
            await asyncio.gather(following, return_exceptions=True)


class Feed:
    """Publishes batches of one row an element, so many rows a second, until it is told to end."""

    def __init__(self, world: World, rows_s: float) -> None:
        self.rows = 0
        self._world, self._every_s = world, ELEMENTS / rows_s
        self._ended, self._fed = False, asyncio.Event()
        like = decode_features(chain.features(world.name, [0.5] * ELEMENTS))
        names = [f"cell-{i}" for i in range(ELEMENTS)]
        who = replace(
            like.rows,
            element=names,
            element_index=np.arange(ELEMENTS, dtype=U32),
            label_index=np.zeros(ELEMENTS, U32),
            sample=np.zeros(ELEMENTS, U16),
            time_ms=np.zeros(ELEMENTS, I64),
        )
        self._like: Features = replace(like, rows=who)
        digest = digest8(world.made.manifest.feature_digest)
        self._subject = subjects.features(world.name, digest, 0)

    async def run(self) -> None:
        """Behind its time it does not wait; so the rate is what it should be, on average."""
        js, due_s = self._world.client.jetstream(), monotonic_s()
        ended = False
        while not ended:
            ended = self._ended
            await js.publish(self._subject, self._next())
            self._fed.set()
            due_s += self._every_s
            if (wait_s := due_s - monotonic_s()) > 0:
                await asyncio.sleep(wait_s)

    def end(self) -> None:
        """After one more batch, which is decided by whoever is in force now."""
        self._ended = True

    async def reached(self, rows: int) -> float:
        """Wait until so many rows were published; the broker's clock then, as far as we know it."""
        while self.rows < rows:
            self._fed.clear()
            await self._fed.wait()
        return wall_ms()

    def _next(self) -> bytes:
        first = self.rows + 1
        self.rows += ELEMENTS
        like = self._like
        rows = replace(like.rows, sequence=np.arange(first, first + ELEMENTS, dtype=U64))
        flow = replace(like.flow, first=first, last=self.rows)
        return encode_features(replace(like, rows=rows, flow=flow))


@dataclass
class Plan:
    """Pointers by epoch: every model is active in turn, beside every third one a canary."""

    made: Sequence[Made]
    swaps: int

    def pointer(self, epoch: int) -> ActiveModel:
        """Who answers in an epoch."""
        active, beside = (self.made[(epoch + i) % len(self.made)] for i in (0, 1))
        canary = (beside, 25) if epoch % 3 == 0 else None
        return deployment(epoch, active, canary)

    def digest(self, epoch: int, element: str) -> str:
        """The model that has to answer for an element."""
        pointer = self.pointer(epoch)
        canary = pointer.canary
        if canary and sticky.answers_canary(element, canary.digest, canary.percent):
            return canary.digest
        return pointer.digest


async def swap(world: World, plan: Plan, found: Runtime, looked_at: dict[int, float]) -> None:
    """Move the pointer through all epochs; every fifth is overtaken before it can be in force.

    `looked_at` gets the memory of the runtime at the epochs that it has as keys.
    """
    for epoch in range(2, plan.swaps + 2):
        await world.point(plan.pointer(epoch))
        if epoch % 5:
            await found.answers_with(epoch)
        if epoch in looked_at:
            looked_at[epoch] = found.resident_mib()
    await found.answers_with(plan.swaps + 1)


@dataclass
class Account:
    """What DECISIONS holds, and what is wrong with it."""

    plan: Plan
    rows: int = 0
    epochs: set[int] = field(default_factory=set)
    faults: list[str] = field(default_factory=list)
    _epoch: int = 0
    _said: dict[tuple[int, str], set[str]] = field(default_factory=dict)

    def add(self, batch: Decisions) -> None:
        """Look at one stored batch."""
        epochs = {model.epoch for model in batch.model}
        expected = np.arange(self.rows + 1, self.rows + 1 + len(batch.rows), dtype=U64)
        if not np.array_equal(batch.rows.sequence, expected):
            self.faults.append(f"rows lost, doubled or out of order behind {self.rows}")
        self.rows = int(batch.rows.sequence[-1])
        if len(epochs) != 1 or batch.flow.revisions["deployment"] not in epochs:
            self.faults.append(f"a batch of epochs {sorted(epochs)}")
        (epoch, *_) = epochs
        if epoch < self._epoch:
            self.faults.append(f"epoch {epoch} behind {self._epoch}")
        self._epoch = epoch
        self.epochs.add(epoch)
        self._of_models(batch, epoch)

    def _of_models(self, batch: Decisions, epoch: int) -> None:
        digests = [model.digest for model in batch.model]
        constants = {one.digest: score for one, score in zip(self.plan.made, SCORES, strict=False)}
        wanted = np.array([constants[digest] for digest in digests])[batch.model_index]
        if not np.array_equal(batch.score, wanted):
            self.faults.append(f"epoch {epoch}: rows scored by another model than they name")
        pairs = set(zip(batch.rows.element_index.tolist(), batch.model_index.tolist(), strict=True))
        for element, model in pairs:
            name = batch.rows.element[element]
            if digests[model] != self.plan.digest(epoch, name):
                self.faults.append(f"epoch {epoch}: {name} had {digests[model][:12]}")


SCORES = [round(0.1 + i / 16, 6) for i in range(12)]


async def stored(world: World, subject: str, rows: int) -> list[tuple[float, int, bytes]]:
    """Every message of a subject as (stored at, ms; last row; data), once the last row is there."""
    js = world.client.jetstream()
    stream = streams.FEATURES if subject.startswith("features.") else streams.DECISIONS
    found: list[tuple[float, int, bytes]] = []
    after = 1
    async with asyncio.timeout(READ_S):
        while not found or found[-1][1] < rows:
            try:
                message = await js.get_msg(stream.name, seq=after, subject=subject, next=True)
            except NotFoundError:
                continue  # not decided yet
            after = (message.seq or 0) + 1
            if message.data and message.time is not None:
                at_ms = message.time.timestamp() * 1000
                found.append((at_ms, _last_row(stream, message.data), message.data))
    return found


def _last_row(stream: streams.Stream, data: bytes) -> int:
    decode = decode_features if stream is streams.FEATURES else decode_decisions
    return decode(data).flow.last


def waits_ms(
    fed: Sequence[tuple[float, int, bytes]], decided: Sequence[tuple[float, int, bytes]]
) -> np.ndarray[tuple[int, int], np.dtype[np.float64]]:
    """For each batch that was fed (when, how long until its last row was decided), (n, 2)."""
    ends = np.array([last for _, last, _ in decided])
    places = np.searchsorted(ends, [last for _, last, _ in fed])
    return np.array(
        [(at, decided[place][0] - at) for (at, _, _), place in zip(fed, places, strict=True)]
    )
