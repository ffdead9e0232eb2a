"""How rarely drift without labels is told of still streams, how soon of changed ones, and what a block
costs. A benchmark, not a test: `python tests/bench/bench_drift.py`, a few minutes.

Six features, 40 rows a block that move together a little; the change is one feature's, of so many of its
standard deviations. The loss is 0.20 with a spread of 0.02 from block to block.
"""

import sys
from pathlib import Path
from statistics import median
from time import process_time

import numpy as np

sys.path.insert(0, str(Path(__file__).parents[2]))
from tests.unit.drifting_rows import Array, block_of, seen, still, surface

from flyball_registry.evidence import drift

STILL_BLOCKS, BEFORE, AFTER, RUNS = 1_000, 135, 200, 15


def wandering(blocks: int, seed: int, rho: float) -> Array:
    """A world whose features wander from block to block, as much as rows of a block differ by a third."""
    rng = np.random.default_rng(seed)
    steps = rng.standard_normal((blocks, 1, 6))
    for at in range(1, blocks):
        steps[at] = rho * steps[at - 1] + np.sqrt(1 - rho * rho) * steps[at]
    return np.asarray(0.3 * steps + rng.standard_normal((blocks, 40, 6)))


def changed(feature: Array, kind: str, size: float, seed: int) -> Array:
    own = feature[BEFORE:, :, 2]
    if kind == "mean":
        own += size
    elif kind == "spread":
        own *= 1 + size
    else:
        own[np.random.default_rng(seed).uniform(size=own.shape) < size] = np.nan
    return feature


def features() -> None:
    for rho in (0.0, 0.5, 0.8):
        told = [len(seen(wandering(STILL_BLOCKS, seed, rho))[1]) for seed in range(RUNS)]
        print(f"still, autocorrelation {rho}: {sum(told) / RUNS:5.2f} drifts in 1 000 blocks")
    for kind, size in (("mean", 0.5), ("mean", 1), ("mean", 2), ("spread", 0.5), ("spread", 1.5),
                       ("missing", 0.1), ("missing", 0.3)):  # fmt: skip
        delays = []
        for seed in range(RUNS):
            found = seen(changed(still(BEFORE + AFTER, seed), kind, size, seed))[1]
            late = [block_of(one) - BEFORE for one in found if block_of(one) > BEFORE]
            delays.append(late[0] if late else AFTER)
        print(f"{kind:7} by {size}: after {median(delays):3} blocks, at most {max(delays)}")


def losses() -> None:
    for size in (1, 2, 4, 8):
        for seasonal in (True, False):
            delays = []
            for seed in range(RUNS):
                values = np.random.default_rng(seed).standard_normal(BEFORE + 400)
                values[BEFORE:] += size
                told = np.clip(0.2 + 0.02 * values, 0, 1).tolist()
                found = drift.changed((), told, seasonal=seasonal)[1]
                late = [one.index + 1 - BEFORE for one in found if one.index >= BEFORE]
                delays.append(late[0] if late else 400)
            how = "as it is     " if seasonal else "by its spread"
            print(f"loss by {size} spreads, told {how}: after {median(delays):3} blocks")


def cost() -> None:
    feature, under = still(200, per_block=500, width=64), surface(width=64)
    state, _ = seen(feature[:100], under)
    started = process_time()
    for at in range(100, 200):
        state, _ = seen(feature[at : at + 1], under, state, at)
    each = (process_time() - started) / 100 * 1e3
    print(
        f"500 rows of 64 features: {each:.1f} ms a block, {len(state.model_dump_json())} bytes kept"
    )


if __name__ == "__main__":
    drift.warm_up()
    features()
    losses()
    cost()
