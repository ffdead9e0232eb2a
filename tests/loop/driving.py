"""What the loop and chaos tests share: a small history, and ways to disturb a stack."""

import asyncio
import csv
import math
import os
import random
import shutil
import signal
from pathlib import Path

from flyball_local.embedded.service import Service
from flyball_local.embedded.stack import Stack
from flyball_local.embedded.supervisor import State
from flyball_local.session import Session

SPEC = """\
apiVersion: flyball/v1
kind: Source
metadata: {name: NAME}
spec:
  interval: 1s
  metrics:
    - {name: load, unit: "%", range: [0, 100]}
    - {name: users, unit: "1", range: [0, 10000]}
  labels: [site]
---
apiVersion: flyball/v1
kind: Pipeline
metadata: {name: NAME}
spec:
  source: NAME
  features:
    - {metric: "*", windows: [4, 8], aggregates: [last, mean, max, slope]}
  warm_up_rows: 4
  target: {task: binary, expression: "max(load) > 90", horizon: 5s}
  decisions:
    - {action: offload, score_at_least: 0.6, cooldown: 5s}
  risk: {baseline_acts: true, budgets: {actions_per_minute: 1000}}
"""
"""Source and pipeline have the same name, so that several can live on one stack."""
HEADER = ("timestamp", "element", "load", "users", "site")


LEARNING = """\
apiVersion: flyball/v1
kind: Source
metadata: {name: plant}
spec:
  interval: 1s
  max_lateness: 0s
  season: 0s
  metrics:
    - {name: load, unit: "%", range: [0, 100]}
    - {name: users, unit: "1", range: [0, 10000]}
---
apiVersion: flyball/v1
kind: Pipeline
metadata: {name: plant}
spec:
  source: plant
  features:
    - {metric: load, windows: [8], aggregates: [last, mean, slope]}
    - {metric: users, windows: [4], aggregates: [last]}
  warm_up_rows: 4
  target: {task: binary, expression: "last(load) > 70", horizon: 3s}
  trainers:
    - {name: trees, kind: lightgbm, window: 30min, retrain_every: 2min, parameters: {n_estimators: 20}}
    - {name: linear, kind: logistic, window: 30min, retrain_every: 5min}
  promotion: {block: 10s, canary: [100], refresh: {gate_rows: 400, not_worse_by: 0.02}}
"""
"""A pipeline that learns within a quarter of an hour of event time."""


def write_learnable(path: Path, *, seconds: int, change_s: int | None = None, seed: int = 3) -> int:
    """A CSV of six machines whose load follows their users three seconds later; returns its rows.

    From `change_s` on, a user weighs a third more.
    """
    rng, rows = random.Random(seed), []
    users = [[500.0] * 4 for _ in range(6)]
    for second in range(seconds):
        at = f"2026-01-01T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
        for machine, past in enumerate(users):
            jumps = rng.random() < 0.08
            past.append(rng.uniform(0, 1000) if jumps else past[-1])
            weight = 1.0 if change_s is None or second < change_s else 4 / 3
            load = min(100.0, max(0.0, weight * past[-4] / 10 + rng.gauss(0, 2)))
            rows.append([at, f"machine-{machine}", f"{load:.2f}", f"{past[-1]:.0f}"])
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([("timestamp", "element", "load", "users"), *rows])
    return len(rows)


def write_spec(folder: Path, name: str) -> Path:
    """A specification of one source and one pipeline, both called `name`."""
    path = folder / f"{name}.yaml"
    path.write_text(SPEC.replace("NAME", name))
    return path


def write_history(path: Path, *, elements: int, seconds: int, seed: int = 1) -> int:
    """A CSV of cells over time, with doubles, late rows and rows to refuse; returns its rows."""
    rng, rows = random.Random(seed), []
    for second in range(seconds):
        for element in range(elements):
            load = 60 + 45 * math.sin(second / 20 + element) + rng.uniform(-3, 3)
            at = f"2026-01-01T{second // 3600:02d}:{second // 60 % 60:02d}:{second % 60:02d}"
            rows.append([at, f"cell-{element}", f"{min(load, 100):.2f}", 10 * element, "s1"])
            if load < 0 or rng.random() < 0.01:
                rows.append([at, f"cell-{element}", "-1", 0, "s1"])  # out of range
            if second > 3 and rng.random() < 0.02:
                rows.append(rows[-1 - rng.randrange(2 * elements)])  # a double, or late
    with path.open("w", newline="") as file:
        csv.writer(file).writerows([HEADER, *rows])
    return len(rows)


def own(session: Session) -> Stack:
    """The stack that the test itself runs."""
    assert session.own is not None
    return session.own


class Havoc:
    """Kills parts of a stack at random instants until `enough` were killed."""

    def __init__(self, stack: Stack, parts: tuple[str, ...], enough: int, seed: int) -> None:
        self._stack, self._parts, self._enough = stack, parts, enough
        self._rng = random.Random(seed)
        self.kills: list[str] = []

    async def run(self, pause_s: tuple[float, float] = (0.3, 1.5)) -> None:
        """Each part in turn, so that every one is hit; a part that is down is left in peace."""
        while len(self.kills) < self._enough:
            await asyncio.sleep(self._rng.uniform(*pause_s))
            part = self._parts[len(self.kills) % len(self._parts)]
            async with asyncio.timeout(60):
                await self._stack.wait_for(part, State.READY)
            self._stack.kill(part)
            self.kills.append(part)


async def lose_snapshots(stack: Stack) -> None:
    """Redis dies and comes back with nothing."""
    await stack.stop_part("redis")
    shutil.rmtree(stack.home.data("redis") / "appendonlydir", ignore_errors=True)
    await stack.start_part("redis")


class Zombie:
    """A stage that is frozen while a second instance takes its place, then wakes up."""

    def __init__(self, stack: Stack, service: str, metrics_port: int) -> None:
        self._pid = stack.pids[service]
        os.kill(self._pid, signal.SIGSTOP)
        self._log = stack.home.folder / "logs" / f"{service}-successor.log"
        self._successor = Service(
            service,
            self._log,
            metrics_port,
            lambda: {**stack.variables(service), "FLYBALL_METRICS_PORT": str(metrics_port)},
        )
        self._successor.spawn()

    async def replaced(self) -> None:
        """Wait until the second instance is ready."""
        await self._successor.ready()

    def wake(self) -> None:
        """The frozen instance goes on where it was, unaware."""
        os.kill(self._pid, signal.SIGCONT)

    def end(self) -> None:
        """End the second instance; the stack's own takes over again."""
        self._successor.stop()
