"""How far features moved: population stability index on bins of a reference, with a test that knows n.

A feature has at most `BINS` bins: up to ten between quantiles of a pilot, one below the pilot's lowest
value where many rows share it, and one for rows without a value. For shares r of the reference and s
of what is new

    PSI = sum (s - r) ln(s / r)        over bins that hold a row of either

and without a change PSI / (1/n + 1/m) is chi-square with one degree of freedom less than bins
(Yurdakul, *Statistical properties of the population stability index*, 2018). Rows of one element
overlap, so n and m are what is left of the rows after the design effect, the mean of the feature's
chi-square statistic over calm blocks by its degrees of freedom (Rao & Scott 1981). A feature has
drifted when its PSI is `FLOOR` or more and the test says so with false discoveries among the features
held to `LEVEL` (Benjamini & Hochberg 1995).
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flyball_registry.evidence.chisquare import beyond
from flyball_registry.evidence.design import Flags, Floats, Integers

CUTS: Final = 10
BINS: Final = CUTS + 2
FLOOR: Final = 0.1
LEVEL: Final = 0.05
RARE: Final = 0.01
"""A bin expected to hold a smaller share is treated as if it were this one, in `strangeness` alone:
else one row in a bin that was empty would outweigh everything."""


def cuts(pilot: Floats) -> NDArray[np.float32]:
    """Upper ends f32 (features, CUTS) of bins, from rows (n, features); infinity where there are fewer.

    NaN in the pilot is no value. The ends are values of the pilot, but for the first one where the
    lowest value is frequent.
    """
    found = np.full((pilot.shape[1], CUTS), np.inf, np.float32)
    levels = np.arange(1, CUTS) / CUTS
    for feature, column in enumerate(pilot.T.astype(np.float32)):
        values = np.sort(column[~np.isnan(column)])
        if not len(values):
            continue
        ends = np.unique(np.quantile(values, levels, method="higher"))
        if ends[0] == values[0]:
            ends = np.concatenate(([np.nextafter(ends[0], np.float32(-np.inf))], ends))
        found[feature, : len(ends)] = ends
    return found


def counts(ends: Floats, rows: Floats) -> Integers:
    """Rows f32 (n, features) by bin, (features, BINS); the last bin has those without a value."""
    below = np.stack([(rows <= ends[:, cut]).sum(axis=0) for cut in range(CUTS)], axis=1)
    missing = np.isnan(rows).sum(axis=0)
    upper = len(rows) - missing
    inner = np.diff(below, axis=1, prepend=0, append=upper[:, None])
    return np.concatenate([inner, missing[:, None]], axis=1).astype(np.int64)


def shares(held: Integers) -> Floats:
    """Shares by bin of counts (..., BINS), half a row being added to each bin."""
    smoothed = held + 0.5
    return np.asarray(smoothed / smoothed.sum(axis=-1, keepdims=True), np.float64)


def strangeness(usual: Floats, block: Integers, in_use: Flags) -> Floats:
    """Chi-square by its degrees of freedom, (features,), of a block's counts against usual shares."""
    rows = block.sum(axis=1, keepdims=True)
    apart = (block - rows * usual) ** 2 / (rows * np.maximum(usual, RARE))
    return np.asarray((apart * in_use).sum(axis=1) / _freedom(in_use), np.float64)


@dataclass(frozen=True, slots=True)
class Shift:
    """How far one feature moved, and how likely that is when nothing changed."""

    feature: int
    psi: float
    chance: float


def shifted(
    usual: Floats, usual_rows: float, now: Integers, effect: Floats, in_use: Flags
) -> tuple[Shift, ...]:
    """The features that drifted, the most changed first.

    `usual` shares (features, BINS) from so many rows, `now` counts, `effect` (features,) the design
    effects, `in_use` the bins that ever held a row.
    """
    share = shares(now)
    psi = ((share - usual) * np.log(share / usual) * in_use).sum(axis=1)
    noise = np.maximum(1.0, effect) * (1 / now.sum(axis=1) + 1 / usual_rows)
    freedom = _freedom(in_use)
    found = [
        Shift(i, float(psi[i]), beyond(float(psi[i] / noise[i]), int(freedom[i])))
        for i in range(len(psi))
    ]
    true = discoveries([shift.chance for shift in found])
    kept = [shift for shift in found if shift.feature in true and shift.psi >= FLOOR]
    return tuple(sorted(kept, key=lambda shift: (-shift.psi, shift.feature)))


def discoveries(chances: list[float]) -> frozenset[int]:
    """Which of these p-values are discoveries at `LEVEL`."""
    order = sorted(range(len(chances)), key=lambda i: (chances[i], i))
    passed = [rank for rank, i in enumerate(order, 1) if chances[i] <= LEVEL * rank / len(chances)]
    return frozenset(order[: max(passed, default=0)])


def _freedom(in_use: Flags) -> Integers:
    return np.asarray(np.maximum(1, in_use.sum(axis=1) - 1), np.int64)
