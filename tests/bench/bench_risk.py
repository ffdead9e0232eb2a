"""What the risk stage alone takes in: `python tests/bench/bench_risk.py`. A benchmark, not a test.

Decoding a batch, judging it, encoding the verdicts; no broker, CPU time. A round goes on in event time, as
the network does, so that cool-downs end and budgets fill.
"""

import gc
import sys
import time
from collections.abc import Callable
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from functools import partial
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parents[2]))

import numpy as np
from tests.unit.risk_bounds import full
from tests.unit.risk_rows import Row, batch, message, policy

from flyball_kit.fold import Input
from flyball_proto.calibrations import Calibration, Conformal, CutOff
from flyball_proto.columns import F32, Doubts
from flyball_risk.capacity.claims import Claims
from flyball_risk.fold import RiskFold
from flyball_risk.judging.frame import Frame
from flyball_risk.judging.partition import Partition
from flyball_risk.judging.policy import Policy
from flyball_risk.scoring.signals import SIGNALS
from flyball_risk.sending.dispatch import route

ROUNDS = 7
ROWS = 1000
STEP_MS = 10_000
"""Event time between two batches: of one element one proposal in ten seconds."""
PLENTY = {"actions_per_minute": 1_000_000}

CALIBRATION = Calibration(
    pipeline="congestion",
    feature_digest="f" * 64,
    at=datetime(2026, 1, 1, tzinfo=UTC),
    event_ms=0,
    rows=400,
    wrong=20,
    conformal={
        "offload": Conformal(
            right=tuple(np.linspace(0.5, 1, 256).tolist()),
            wrong=tuple(np.linspace(0.4, 0.8, 64).tolist()),
        )
    },
    weights=dict.fromkeys(SIGNALS, 0.3),
    intercept=-4.0,
    raw=(0.0, 0.5, 1.0),
    error=(0.0, 0.4, 1.0),
    cut_off=CutOff(
        at=0.2,
        proven=True,
        rows=400,
        below=300,
        errors=3,
        bound=0.04,
        max_error=0.05,
        confidence=0.95,
        needed=117,
    ),
)


@dataclass(frozen=True)
class Case:
    """What is measured: rows and under what they are judged."""

    name: str
    rows: list[Row]
    policy: Policy
    calibration: Calibration | None = None


def fold_of(case: Case) -> Callable[[], bytes]:
    """Feeds the same rows again and again, each time `STEP_MS` later."""
    claims = Claims()
    fold = RiskFold(lambda _: Frame(case.policy, case.calibration, claims=claims))
    given = batch(case.rows)
    p = int(np.count_nonzero(given.action_index))
    rng = np.random.default_rng(7)
    doubts = Doubts(
        rng.uniform(0, 1, p).astype(F32), rng.uniform(0, 0.4, p).astype(F32), np.empty((p, 0), F32)
    )
    given = replace(given, doubts=doubts)
    inputs = [
        message(replace(given, rows=replace(given.rows, time_ms=given.rows.time_ms + n * STEP_MS)))
        for n in range(12)
    ]
    place = 0

    def work() -> bytes:
        nonlocal place, claims
        if place == len(inputs):
            place, claims = 0, Claims()
            fold.load(RiskFold(lambda _: Frame(case.policy)).dump())
        fold.step(inputs[place])
        place += 1
        output = fold.take()
        return output.data if output else b""

    return work


def best_us(work: Callable[[], object], repeat: int) -> float:
    """Fastest of several rounds, microseconds a call."""
    rounds = []
    for _ in range(ROUNDS):
        started = time.process_time()
        for _ in range(repeat):
            work()
        rounds.append((time.process_time() - started) / repeat * 1e6)
    return min(rounds)


def cases() -> list[Case]:
    sites = 50
    quiet = [Row(f"cell-{i}", i, 0.3, None, site=f"s{i % sites}") for i in range(ROWS)]
    acting = [Row(f"cell-{i}", i, 0.9 + i % 97 / 1000, site=f"s{i % sites}") for i in range(ROWS)]
    few = [r if i % 100 else acting[i] for i, r in enumerate(quiet)]
    mixed = [replace(r, score=0.4 + i % 600 / 1000) for i, r in enumerate(acting)]
    offload: dict[str, Any] = {"action": "offload", "score_at_least": 0.1, "cooldown": "60s"}
    plain = policy(offload, budgets=PLENTY)
    groups = policy(offload, budgets=PLENTY | {"elements_per_label": {"site": 0.9}})
    limit = {"name": "nights", "when": "element.labels.site == 's7'", "verdict": "hold"}
    limited = policy(offload, budgets=PLENTY, boundaries=[limit])
    grave = policy(offload | {"severity": "high", "reversible": False}, budgets=PLENTY)
    found = []
    for words, calibration in (("", None), (", calibrated", CALIBRATION)):
        found += [
            Case(f"1000 rows, none proposes{words}", quiet, plain, calibration),
            Case(f"1000 rows, 1 % propose{words}", few, plain, calibration),
            Case(f"1000 proposals, one in six sent{words}", acting, plain, calibration),
            Case(f"1000 proposals, site budgets{words}", acting, groups, calibration),
            Case(f"1000 proposals, a boundary{words}", acting, limited, calibration),
            Case(f"1000 proposals, grave, mixed{words}", mixed, grave, calibration),
        ]
    return [Case("one row without an action", quiet[:1], plain), *found]


def state() -> None:
    """What it takes to write and read the state of a partition, as it is every second under load."""
    for words, partition in (("at all bounds", full()), ("without holds", full(holds=0))):
        saved = partition.dump()
        for what, work in (("write", partition.dump), ("read", partial(Partition.load, saved))):
            ms = best_us(work, 1) / 1000
            print(f"{what} the state {words:30} {ms:8.1f} ms {len(saved) / 2**20:8.2f} MiB")


def main() -> None:
    gc.freeze()  # as every service does
    for case in cases():
        us = best_us(fold_of(case), 2000 // len(case.rows) + 22)
        each = us / len(case.rows)
        print(
            f"{case.name:48} {us:9.1f} us a batch {each:8.3f} us a row {1e6 / each:11,.0f} rows/s"
        )
    acting = next(c for c in cases() if c.name.startswith("1000 proposals, one"))
    verdicts = Input(1, 0, "", None, fold_of(acting)())
    us = best_us(lambda: route(verdicts), 5)
    print(f"{'route of 1000 actions':48} {us:9.1f} us a batch {us / 1000:8.3f} us a row")
    state()


if __name__ == "__main__":
    main()
