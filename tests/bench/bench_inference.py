"""What a row costs in inference: `python tests/bench/bench_inference.py`. A benchmark, not a test.

The model is free here: what is measured is the fold around it, with and without a canary.
"""

import sys
import time
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.unit.test_inference_fold import SEAT, features, message, scoring

from flyball_inference.seat import Seat, Voice
from flyball_proto.columns import U32, Features, Model

ROUNDS = 15
CANARY = Voice(Model("c" * 64, 3, "canary", "recent"), lambda x: x[:, :1])
SEATS = {"alone": SEAT, "canary 25 %": replace(SEAT, canary=CANARY, percent=25)}


def best_us(work: Callable[[], object], repeat: int) -> float:
    """Fastest of several rounds, microseconds a call."""
    rounds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(repeat):
            work()
        rounds.append((time.perf_counter() - started) / repeat * 1e6)
    return min(rounds)


def of_many_elements(rows: int) -> Features:
    """Each row from an element of its own."""
    batch = features(np.linspace(0, 1, rows).tolist())
    who = replace(
        batch.rows,
        element=[f"cell-{i}" for i in range(rows)],
        element_index=np.arange(rows, dtype=U32),
        label_index=np.zeros(rows, U32),
    )
    return replace(batch, rows=who)


def fold_of(seat: Seat, batch: Features) -> Callable[[], object]:
    fold, sent = scoring(lambda: seat), message(batch)

    def work() -> object:
        fold.step(sent)
        return fold.take()

    return work


def main() -> None:
    for name, seat in SEATS.items():
        for rows in (1, 10, 100, 1000):
            us = best_us(fold_of(seat, of_many_elements(rows)), 4000 // rows + 5)
            print(f"{name:12} {rows:5} rows {us:9.2f} us a batch {us / rows:8.3f} us a row")


if __name__ == "__main__":
    main()
