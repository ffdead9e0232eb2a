"""Rows whose features and scores change, for the tests of drift without labels."""

from typing import Any

import numpy as np
from numpy.typing import NDArray

from flyball_registry.evidence.drifting import Drifting, Noticed, Observed, Surface, fold
from flyball_registry.evidence.moving import Season

BLOCK_MS = 1_000
WIDTH = 6

Array = NDArray[Any]


def surface(season: int = 0, width: int = WIDTH, **given: Any) -> Surface:
    """Blocks of a second; `season` in blocks."""
    names = tuple(f"f{i}" for i in range(width))
    return Surface(
        Season(BLOCK_MS, season * BLOCK_MS, 20), names, given.pop("digest", "d"), **given
    )


def still(blocks: int, seed: int = 1, per_block: int = 40, width: int = WIDTH) -> Array:
    """Features (blocks, per_block, width) of a world in which nothing changes."""
    rng = np.random.default_rng(seed)
    common = 0.1 * rng.standard_normal((blocks, 1, width))  # rows of a block move together
    return np.asarray(common + rng.standard_normal((blocks, per_block, width)))


def observed(feature: Array, start: int = 0) -> Observed:
    """Rows of blocks from the `start`-th on; the score follows from the first feature alone."""
    blocks, per_block, width = feature.shape
    within = np.arange(per_block) * (BLOCK_MS // 2) // per_block
    time_ms = ((start + np.arange(blocks))[:, None] * BLOCK_MS + within).ravel()
    rows = feature.reshape(-1, width).astype(np.float32)
    score = 1 / (1 + np.exp(-np.nan_to_num(rows[:, 0].astype(np.float64))))
    return Observed(time_ms, time_ms + 200, score, rows)


def seen(
    feature: Array, under: Surface | None = None, state: Drifting | None = None, start: int = 0
) -> tuple[Drifting, tuple[Noticed, ...]]:
    """All blocks in one call, the last one closed."""
    clock_ms = (start + len(feature)) * BLOCK_MS
    return fold(state or Drifting(), observed(feature, start), clock_ms, under or surface())


def block_of(noticed: Noticed) -> int:
    """How many blocks had ended when it was noticed."""
    return noticed.at_ms // BLOCK_MS
