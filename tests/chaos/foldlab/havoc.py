"""Producer -> A -> B as processes, and everything that can be killed is killed at random instants."""

import asyncio
import json
import random
import signal
import subprocess
import sys
import time
from collections import Counter
from contextlib import suppress
from dataclasses import asdict, dataclass, field
from pathlib import Path

from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError
from redis.asyncio import Redis
from redis.exceptions import RedisError
from tests.chaos.foldlab.lab import Lab, difference, lab
from tests.chaos.foldlab.proxy import Proxy
from tests.chaos.foldlab.stage import StageSpec
from tests.chaos.foldlab.sums import pack, rolling, source_rows, unpack

from flyball_kit.fold import EXIT_FENCED
from flyball_local.embedded.engines import RedisEngine
from flyball_proto.headers import EXPECT

ROOT = Path(__file__).parents[3]
GROUP_ROWS = 40


@dataclass(frozen=True)
class Plan:
    """How many of what: kills of the stages, of the broker, of Redis, lost acknowledgements."""

    seed: int
    stage_kills: int = 0
    broker_kills: int = 0
    redis_kills: int = 0
    snapshot_deletions: int = 0
    lost_acks: int = 0
    self_kill: float = 0.0
    drop: float = 0.0
    damage: str = ""
    least_rows: int = 1000
    rows_per_s: int = 1500
    settle_s: float = 60.0
    """How long the chain may take to finish after the last fault."""


@dataclass
class Findings:
    rows: int = 0
    deaths: Counter[str] = field(default_factory=Counter)
    done: Counter[str] = field(default_factory=Counter)
    faults: dict[str, list[str]] = field(default_factory=dict)
    """What is wrong with the rows of each stage; empty lists = exact."""

    @property
    def unexpected_deaths(self) -> list[str]:
        """Deaths that nobody caused: neither killed nor fenced."""
        expected = (f":{-signal.SIGKILL}", f":{EXIT_FENCED}")
        return [death for death in self.deaths if not death.endswith(expected)]


class Producer:
    """Writes rows exactly once: by compare-and-set, and in doubt from the last row stored."""

    def __init__(self, bench: Lab, rows_per_s: int) -> None:
        self.bench, self.rows_per_s = bench, rows_per_s
        self.written = 0
        self.enough = asyncio.Event()

    async def run(self) -> None:
        sequence = 0
        while not self.enough.is_set():
            started = time.monotonic()
            try:
                sequence = await self.write_group(sequence)
            except (NatsError, TimeoutError):
                sequence = await self.resume()
            pause_s = GROUP_ROWS / self.rows_per_s - (time.monotonic() - started)
            await asyncio.sleep(max(0.0, pause_s))

    async def write_group(self, sequence: int) -> int:
        acks = []
        for row in source_rows(GROUP_ROWS, start=self.written):
            headers = {EXPECT: str(sequence + len(acks))}
            acks.append(await self.bench.js.publish_async("in.0", pack([row]), headers=headers))
        async with asyncio.timeout(1):
            results = await asyncio.gather(*acks, return_exceptions=True)
        for result in results:
            if isinstance(result, BaseException):
                raise result if isinstance(result, NatsError) else TimeoutError
        self.written += len(acks)
        return sequence + len(acks)

    async def resume(self) -> int:
        while True:
            try:
                last = await self.bench.js.get_last_msg("IN", "in.0")
            except NotFoundError:
                self.written = 0
                return 0
            except (NatsError, TimeoutError):
                await asyncio.sleep(0.02)
                continue
            self.written = unpack(last.data or b"")[0][0] + 1
            return last.seq or 0


class Havoc:
    def __init__(self, folder: Path, plan: Plan) -> None:
        self.folder, self.plan, self.rng = folder, plan, random.Random(plan.seed)
        self.findings = Findings()
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    async def run(self) -> Findings:
        self.redis_engine = RedisEngine(self.folder / "redis")
        self.redis_engine.start()
        self.redis = Redis.from_url(self.redis_engine.url)
        try:
            async with lab(self.folder / "nats") as bench, Proxy(bench.engine.port) as proxy:
                self.bench, self.proxy = bench, proxy
                await bench.add_streams()
                self.specs = {
                    "a": self.spec("a", "IN", "in.>"),
                    "b": self.spec("b", "OUT", "out.a"),
                }
                try:
                    await self.cause()
                finally:
                    for process in self.processes.values():
                        process.kill()
                        process.wait()
                await self.judge()
        finally:
            await self.redis.aclose()
            self.redis_engine.stop()
        return self.findings

    def spec(self, name: str, stream: str, subject: str) -> StageSpec:
        return StageSpec(
            name=name,
            url=self.bench.url,
            out_url=self.proxy.url if self.plan.lost_acks else self.bench.url,
            source=(stream, subject),
            target=("OUT", f"out.{name}"),
            redis_url=self.redis_engine.url,
            self_kill=self.plan.self_kill,
            drop=self.plan.drop,
            damage=self.plan.damage,
        )

    def spawn(self, name: str) -> None:
        with (self.folder / f"{name}.log").open("ab") as log:
            self.processes[name] = subprocess.Popen(
                [
                    sys.executable,
                    "-m",
                    "tests.chaos.foldlab.stage",
                    json.dumps(asdict(self.specs[name])),
                ],
                stdout=log,
                stderr=log,
                cwd=ROOT,
            )

    async def supervise(self) -> None:
        """Start whatever is dead again; a fenced one a little later."""
        while True:
            for name in self.specs:
                process = self.processes.get(name)
                code = process.poll() if process else 0
                if code is None:
                    continue
                if process:
                    self.findings.deaths[f"{name}:{code}"] += 1
                if code == EXIT_FENCED:
                    await asyncio.sleep(0.2)
                self.spawn(name)
            await asyncio.sleep(0.02)

    async def cause(self) -> None:
        producer = Producer(self.bench, self.plan.rows_per_s)
        supervising = asyncio.create_task(self.supervise())
        producing = asyncio.create_task(producer.run())
        try:
            await self.do_all_faults()
            await self.bench.until(lambda: producer.written >= self.plan.least_rows, "rows")
            producer.enough.set()
            await producing
            self.findings.rows = producer.written
            with suppress(TimeoutError):
                async with asyncio.timeout(self.plan.settle_s):
                    await self.bench.until_row(producer.written - 1, "out.b")
        finally:
            for task in (supervising, producing):
                task.cancel()
            await asyncio.gather(supervising, producing, return_exceptions=True)

    async def do_all_faults(self) -> None:
        await self.bench.until(lambda: self.bench.js.get_last_msg("OUT", "out.b"), "both stages")
        plan = self.plan
        faults = [
            *[self.kill_stage] * plan.stage_kills,
            *[self.kill_broker] * plan.broker_kills,
            *[self.kill_redis] * plan.redis_kills,
            *[self.delete_snapshots] * plan.snapshot_deletions,
            *[self.lose_ack] * plan.lost_acks,
        ]
        self.rng.shuffle(faults)
        for fault in faults:
            await asyncio.sleep(self.rng.choice((0.02, 0.1, 0.4, 0.8)) * self.rng.random())
            await fault()
            self.findings.done[fault.__name__] += 1

    async def kill_stage(self) -> None:
        """At any instant: half of the time wherever it is, also while it starts, else at work."""
        name = self.rng.choice("ab")
        if self.rng.random() < 0.5:

            async def works() -> bool:
                return bool((await self.bench.js.get_last_msg("OUT", f"out.{name}")).data)

            await self.bench.until(works, f"{name} at work")
        process = self.processes[name]
        process.kill()
        process.wait()

    async def kill_broker(self) -> None:
        self.bench.engine.kill()
        await asyncio.sleep(self.rng.random() * 0.2)
        self.bench.engine.start()

    async def kill_redis(self) -> None:
        self.redis_engine.kill()
        await asyncio.sleep(self.rng.random() * 0.5)
        self.redis_engine.start()

    async def delete_snapshots(self) -> None:
        with suppress(RedisError):
            await self.redis.flushall()

    async def lose_ack(self) -> None:
        """Swallow what the broker says to a stage's output, then cut the line."""
        self.proxy.something_swallowed.clear()
        self.proxy.swallow = True
        with suppress(TimeoutError):
            async with asyncio.timeout(2):
                await self.proxy.something_swallowed.wait()
        await asyncio.sleep(self.rng.random() * 0.02)
        self.proxy.cut()
        self.proxy.swallow = False

    async def judge(self) -> None:
        rows = source_rows(self.findings.rows)
        for name in "ab":
            rows = rolling(rows)
            messages = await self.bench.messages(f"out.{name}")
            found = [row for m in messages for row in unpack(m.data or b"")]
            self.findings.faults[name] = difference(found, rows)
