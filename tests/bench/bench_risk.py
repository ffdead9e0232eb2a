"""What a row costs in risk: `python tests/bench/bench_risk.py`. A benchmark, not a test."""

import sys
import time
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from tests.unit.risk_rows import Row, batch, message, policy

from flyball_kit.fold import Input
from flyball_risk.fold import RiskFold
from flyball_risk.judging.frame import Frame
from flyball_risk.sending.dispatch import route

ROUNDS = 7


def best_us(work: Callable[[], object], repeat: int) -> float:
    """Fastest of several rounds, microseconds a call."""
    rounds = []
    for _ in range(ROUNDS):
        started = time.perf_counter()
        for _ in range(repeat):
            work()
        rounds.append((time.perf_counter() - started) / repeat * 1e6)
    return min(rounds)


def fold_of(rows: list[Row], budget: int = 30) -> Callable[[], bytes]:
    given = policy(budgets={"actions_per_minute": budget})
    fold, input_message = RiskFold(lambda _: Frame(given)), message(batch(rows))

    def work() -> bytes:
        fold.step(input_message)
        output = fold.take()
        return output.data if output else b""

    return work


def main() -> None:
    quiet = [Row(f"cell-{i}", 1_000 + i, 0.3, None) for i in range(1000)]
    acting = [Row(f"cell-{i}", 1_000 + i, 0.95) for i in range(1000)]
    for name, rows, budget in (
        ("one row without an action", quiet[:1], 30),
        ("one row with an action", acting[:1], 30),
        ("1000 rows without an action", quiet, 30),
        ("1000 rows, all capped", acting, 30),
    ):
        us = best_us(fold_of(rows, budget), 2000 // len(rows) + 5)
        print(f"{name:32} {us:9.1f} us a batch {us / len(rows):8.3f} us a row")
    verdicts = Input(1, 0, "", None, fold_of(acting, 1_000_000)())
    us = best_us(lambda: route(verdicts), 5)
    print(f"{'route of 1000 actions':32} {us:9.1f} us a batch {us / 1000:8.3f} us a row")


if __name__ == "__main__":
    main()
