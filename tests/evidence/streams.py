"""Block numbers without and with an advantage: seeded streams (streams, blocks), of spread about 1."""

import math
from typing import Any

import numpy as np
from numpy.typing import NDArray

Array = NDArray[Any]

DAY = 288
"""Blocks of five minutes."""

WEEK = 672
"""Blocks of a quarter of an hour."""

NULLS = {
    "normal": "independent, normal",
    "t3": "independent, heavy tails (t with 3 degrees of freedom)",
    "left-skewed": "independent, left-skewed (1 - exponential)",
    "ar 0.3": "AR(1), 0.3",
    "ar 0.6": "AR(1), 0.6",
    "ar 0.8": "AR(1), 0.8",
}


def noise(kind: str, seed: int, streams: int, blocks: int) -> Array:
    """Of mean 0."""
    rng, shape = np.random.default_rng(seed), (streams, blocks)
    if kind == "t3":
        return rng.standard_t(3, shape) / math.sqrt(3)
    if kind == "left-skewed":
        return 1 - rng.standard_exponential(shape)
    phi = float(kind.removeprefix("ar ")) if kind.startswith("ar ") else 0.0
    fresh = rng.standard_normal(shape)
    series = fresh.copy()
    for at in range(1, blocks):
        series[:, at] = phi * series[:, at - 1] + math.sqrt(1 - phi * phi) * fresh[:, at]
    return series


def daily(seed: int, streams: int, blocks: int) -> Array:
    """An advantage of half a spread that comes and goes with the hour; over a day it is 0."""
    phase = np.random.default_rng(seed + 1).integers(0, DAY, (streams, 1)) + np.arange(blocks)
    return noise("normal", seed, streams, blocks) + 0.5 * np.sin(2 * np.pi * phase / DAY)


def weekly(seed: int, streams: int, blocks: int) -> Array:
    """Better by 0.4 spreads on five days, worse by 1 on two; over a week it is 0."""
    phase = np.random.default_rng(seed + 1).integers(0, WEEK, (streams, 1)) + np.arange(blocks)
    usual = np.where(phase % WEEK < WEEK * 5 // 7, 0.4, -1.0)
    return noise("normal", seed, streams, blocks) + usual
