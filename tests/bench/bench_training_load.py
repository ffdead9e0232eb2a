"""The data plane's p99 beside four trainings that never stop, on the machine's own cores.

    python tests/bench/bench_training_load.py [pairs] [seconds] [priority ...]

At 10 000 rows a second, in turns without trainings and with four that begin again as soon as they end
(20 000 rows, 66 features, 100 trees, in the trainer's own worker processes). Priorities to compare:
`own` is what the workers give themselves; `nice10`, `nice19`, `batch` and `idle` are set from here.
Each turn waits up to `QUIET_S` for a machine that does little else. Prints p99 of each turn, how much
of the machine others took meanwhile, the medians and their ratio.
"""

import asyncio
import os
import sys
import tempfile
import time
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from statistics import median

import numpy as np
import psutil

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.unit.training_rows import order, training_rows

from flyball_local.bench import plan
from flyball_local.bench.run import RETAIN_MIB, Bench
from flyball_local.embedded.home import Home
from flyball_local.embedded.stack import Options, Stack
from flyball_trainer.training.fitting import Order, Trained
from flyball_trainer.workers.pool import Workers

TRAININGS, ROWS, WIDTH, RATE = 4, 20_000, 66, 10_000.0
QUIET_S, QUIET_PERCENT = 120.0, 30.0
POLICIES = {"idle": os.SCHED_IDLE, "batch": os.SCHED_BATCH}


def an_order() -> Order:
    """Of the size that a pipeline's usual training has."""
    rows = training_rows(ROWS)
    more = np.random.default_rng(0).normal(size=(ROWS, WIDTH - rows.width)).astype(np.float32)
    return order(
        rows=replace(rows, feature=np.hstack([rows.feature, more])),
        features=tuple(f"feature.{i}" for i in range(WIDTH)),
        parameters={},
    )


def demote(pid: int, priority: str) -> None:
    """Give every thread of a worker a priority."""
    policy = POLICIES.get(priority, os.SCHED_OTHER)
    niceness = int(priority[4:]) if priority.startswith("nice") else 19
    for thread in Path(f"/proc/{pid}/task").iterdir():
        with suppress(ProcessLookupError):
            os.sched_setscheduler(int(thread.name), policy, os.sched_param(0))
            os.setpriority(os.PRIO_PROCESS, int(thread.name), niceness)


class Trainings:
    """Four trainings at a time, or none."""

    def __init__(self) -> None:
        self.workers, self.order = Workers(TRAININGS, 600.0), an_order()
        self.done: list[float] = []

    async def warm_up(self) -> None:
        """Start the four processes, and fit once in each."""
        await asyncio.gather(*(self.workers.train(self.order) for _ in range(TRAININGS)))

    async def beside(self, bench: Bench, load: plan.Run, turn: int, priority: str) -> float:
        """The p99 of a turn in which they train; what is under way at its end is waited for."""
        for pid in self.workers.pids if priority != "own" else ():
            demote(pid, priority)
        await quiet()
        self.done, ended = [], asyncio.Event()
        tasks = [asyncio.create_task(self._again(ended)) for _ in range(TRAININGS)]
        try:
            return await one(bench, load, f"{turn} with, {priority}", self, wait=False)
        finally:
            ended.set()
            await asyncio.gather(*tasks)

    async def _again(self, ended: asyncio.Event) -> None:
        while not ended.is_set():
            began = time.perf_counter()
            assert isinstance(await self.workers.train(self.order), Trained)
            self.done.append(time.perf_counter() - began)


async def measured(pairs: int, seconds: float, priorities: list[str]) -> None:
    """Print every turn, and the ratio of the medians."""
    load, trainings = plan.Run("core 10000/s", "core", RATE, seconds), Trainings()
    plain: list[float] = []
    beside: dict[str, list[float]] = {priority: [] for priority in priorities}
    with tempfile.TemporaryDirectory(prefix="flyball-bench-") as folder:
        options = Options(retain_mib=RETAIN_MIB, say=lambda _: None, http=False)
        async with Stack(Home(Path(folder)), options) as stack:
            bench = Bench(stack, lambda _: None)
            await bench.prepare()
            await bench.run(plan.WARM_UP)
            await trainings.warm_up()
            for turn in range(pairs):
                plain.append(await one(bench, load, f"{turn} without", trainings))
                for priority in priorities:
                    beside[priority].append(await trainings.beside(bench, load, turn, priority))
                    took = median(trainings.done)
                    print(f"   {len(trainings.done)} trainings of {took:.1f} s", flush=True)
            await bench.close()
    await trainings.workers.stop()
    for priority, found in beside.items():
        p99, with_ms = median(plain), median(found)
        pair_ratio = median(w / p for p, w in zip(plain, found, strict=True))
        print(
            f"{priority}: p99 without {p99:.2f} ms, with {with_ms:.2f} ms, ratio of medians "
            f"{with_ms / p99:.2f}, median of ratios {pair_ratio:.2f}"
        )


async def one(
    bench: Bench, load: plan.Run, name: str, trainings: Trainings, *, wait: bool = True
) -> float:
    """The p99 of one turn, milliseconds."""
    if wait:
        await quiet()
    own = [psutil.Process(pid) for pid in (os.getpid(), *trainings.workers.pids)]
    before, busy = sum(map(spent, own)), busy_s()
    began = time.perf_counter()
    result = await bench.run(load)
    whole = (time.perf_counter() - began) * (psutil.cpu_count() or 1)
    used = sum(result.cpu_s.values()) + sum(map(spent, own)) - before
    print(
        f"{name}: p50 {result.p50_ms:.2f} p99 {result.p99_ms:.2f} max {result.max_ms:.1f} ms, "
        f"{result.rows_per_s:.0f} rows/s, others took {(busy_s() - busy - used) / whole:.0%}",
        flush=True,
    )
    return result.p99_ms


async def quiet() -> None:
    """Wait for a machine that does little else, but not for ever."""
    began = time.perf_counter()
    while time.perf_counter() - began < QUIET_S:
        if await asyncio.to_thread(psutil.cpu_percent, 2.0) < QUIET_PERCENT:
            return


def spent(process: psutil.Process) -> float:
    """Processor seconds so far."""
    times = process.cpu_times()
    return float(times.user + times.system)


def busy_s() -> float:
    """Processor seconds that the machine has worked."""
    times = psutil.cpu_times()
    return float(sum(times) - times.idle - times.iowait - times.guest - times.guest_nice)


if __name__ == "__main__":
    said = sys.argv[1:]
    asyncio.run(
        measured(
            int(said[0]) if said else 3,
            float(said[1]) if len(said) > 1 else 10.0,
            said[2:] or ["own"],
        )
    )
