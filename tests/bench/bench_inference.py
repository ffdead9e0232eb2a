"""What a row costs in inference: `python tests/bench/bench_inference.py`. A benchmark, not a test.

The models are free here: what is measured is the fold around them, with and without a canary, and
what proposals cost whose novelty and fallback are known.
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
from flyball_proto.columns import F32, U32, Features, Model
from flyball_trainer.training.novelty import novelty

ROUNDS = 15
CANARY = Voice(Model("c" * 64, 3, "canary", "recent"), lambda x: x[:, :1])
SEATS = {"alone": SEAT, "canary 25 %": replace(SEAT, canary=CANARY, percent=25)}
WIDTH = 72
SHARES = (0.0, 0.01, 0.1, 1.0)


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


def knowing() -> Seat:
    """A seat that knows what its model learnt from, and has a fallback."""
    rows = np.random.default_rng(0).uniform(size=(2_000, WIDTH)).astype(F32)
    known = replace(SEAT.active, novelty=novelty(rows, rows[:200]))
    fallback = Voice(Model("f" * 64, 3, "fallback", "baseline"), SEAT.active.run)
    return replace(SEAT, active=known, width=WIDTH, fallback=fallback)


def of_share(rows: int, share: float) -> Features:
    """Rows of which this share propose something."""
    batch = of_many_elements(rows)
    found = np.random.default_rng(1).uniform(size=(rows, WIDTH)).astype(F32)
    found[:, 0] = np.where(np.arange(rows) < share * rows, 0.9, 0.1)
    return replace(batch, feature=found)


def main() -> None:
    for name, seat in SEATS.items():
        for rows in (1, 10, 100, 1000):
            us = best_us(fold_of(seat, of_many_elements(rows)), 4000 // rows + 5)
            print(f"{name:12} {rows:5} rows {us:9.2f} us a batch {us / rows:8.3f} us a row")
    for name, seat in {"knows nothing": replace(SEAT, width=WIDTH), "knows all": knowing()}.items():
        for rows in (1, 100, 1000):
            for share in SHARES:
                us = best_us(fold_of(seat, of_share(rows, share)), 1000 // rows + 5)
                what = f"{name:14} {WIDTH} features {rows:5} rows, {100 * share:3.0f} % propose"
                print(f"{what} {us:9.2f} us a batch")


if __name__ == "__main__":
    main()
