"""How unlike the rows that a model learnt from a row is: statistics, distance, p-value. Pure.

The distance is that of probabilistic PCA (Tipping & Bishop, *Probabilistic principal component
analysis*, JRSS-B 1999): Mahalanobis' along the few strongest components, and what they leave over, as
if it were spread evenly. The p-value is conformal: the share of held-out rows at least as far off.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from flyball_proto.columns import F32, F64, Column

MAX_COMPONENTS: Final = 8
MAX_CALIBRATION: Final = 256
MAX_NOVELTY_BYTES: Final = 256 << 10
"""1 024 features, the most there may be, take 84 kB."""

FARTHEST: Final = 1e4
"""Spreads from the mean; a value farther off, or infinite, counts as being there."""
DECIMALS: Final = 6
"""Distances are rounded before they are compared: their last bits depend on the batch."""

_CALL_ROWS: Final = 1024
_HEAD: Final = 3
_HEAD_BYTES: Final = 4 * _HEAD


class NoveltyError(ValueError):
    """The bytes are no `novelty.bin` for so many features."""


@dataclass(frozen=True, slots=True, eq=False)
class Novelty:
    """Of the rows that a model learnt from; at most `MAX_NOVELTY_BYTES` when encoded.

    A feature that was never there has weight 0: whatever it is later says nothing.
    """

    mean: Column  # f64 (width,)
    weight: Column  # f64 (width,), 1 / spread
    component: Column  # f64 (components, width), rows of length 1 at right angles
    variance: Column  # f64 (components,), of the weighted rows along each
    rest: float
    """Variance in each other direction."""
    calibration: Column  # f64 (n,), n > 0: sorted distances of rows that were held out


def standardised(feature: Column, mean: Column, weight: Column, farthest: float) -> Column:
    """Features (n, width) as f64 in spreads from the mean; what is missing lies at the mean."""
    with np.errstate(invalid="ignore", over="ignore"):
        z = (feature.astype(F64) - mean) * weight
    z[np.isnan(z)] = 0.0
    found: Column = z.clip(-farthest, farthest)
    return found


def distances(novelty: Novelty, feature: Column) -> Column:
    """How far features f32 (n, width) are from the rows that were learnt from, f64 (n,)."""
    parts = [
        _distances(novelty, feature[first : first + _CALL_ROWS])
        for first in range(0, len(feature), _CALL_ROWS)
    ]
    return np.concatenate(parts) if parts else np.empty(0, F64)


def p_values(novelty: Novelty, feature: Column) -> Column:
    """For each row the p-value of being like the rows that were learnt from, f32 (n,) in (0, 1]."""
    n = len(novelty.calibration)
    nearer = np.searchsorted(novelty.calibration, distances(novelty, feature), side="left")
    return ((1 + n - nearer) / (n + 1)).astype(F32)


def calibration_of(distance: Column) -> Column:
    """At most `MAX_CALIBRATION` of the distances f64 (n,), sorted, n > 0.

    Of more they are the order statistics that keep p-values valid: at most a share a of rows like
    these gets a p-value of a or less, for every a that is a multiple of 1 / (MAX_CALIBRATION + 1).
    """
    held = np.sort(distance)
    n = len(held)
    if n <= MAX_CALIBRATION:
        return held
    steps = np.arange(1, MAX_CALIBRATION + 1)
    ranks = -(-steps * (n + 1) // (MAX_CALIBRATION + 1))  # rounded up, in whole numbers
    return held[ranks - 1]


def encode_novelty(novelty: Novelty) -> bytes:
    """Three u32 (width, components, calibration rows), then f64: rest and the arrays, row by row."""
    components, width = novelty.component.shape
    head = np.array([width, components, len(novelty.calibration)], "<u4").tobytes()
    parts = (
        np.array([novelty.rest]),
        novelty.mean,
        novelty.weight,
        novelty.component,
        novelty.variance,
        novelty.calibration,
    )
    return head + b"".join(np.ascontiguousarray(part, F64).tobytes() for part in parts)


def decode_novelty(data: bytes, width: int) -> Novelty:
    """What `encode_novelty` was given, if it can be used for rows of `width` features.

    Raises:
        NoveltyError: sizes, shapes or values are not possible; names what was found.
    """
    if not _HEAD_BYTES <= len(data) <= MAX_NOVELTY_BYTES:
        raise NoveltyError(f"{len(data)} bytes; {_HEAD_BYTES} to {MAX_NOVELTY_BYTES} are possible")
    found, components, rows = (int(n) for n in np.frombuffer(data, "<u4", _HEAD))
    if found != width:
        raise NoveltyError(f"statistics of {found} features; the model has {width}")
    if components > min(MAX_COMPONENTS, width) or not 0 < rows <= MAX_CALIBRATION:
        raise NoveltyError(
            f"{components} components and {rows} distances; at most "
            f"{min(MAX_COMPONENTS, width)} and 1 to {MAX_CALIBRATION} are possible"
        )
    sizes = (1, width, width, components * width, components, rows)
    if (needed := _HEAD_BYTES + F64.itemsize * sum(sizes)) != len(data):
        raise NoveltyError(f"{len(data)} bytes; {needed} are right for what they begin with")
    borders = np.cumsum(sizes)[:-1]
    rest, mean, weight, component, variance, calibration = np.split(
        np.frombuffer(data, F64, offset=_HEAD_BYTES), borders
    )
    read = Novelty(
        mean, weight, component.reshape(components, width), variance, float(rest[0]), calibration
    )
    if (flaw := _flaw(read)) is not None:
        raise NoveltyError(flaw)
    return read


def _flaw(novelty: Novelty) -> str | None:
    """What no training writes."""
    arrays = (novelty.mean, novelty.weight, novelty.component, novelty.variance)
    if not all(np.isfinite(a).all() for a in (*arrays, novelty.rest, novelty.calibration)):
        return "a value that is not finite; all are"
    if (novelty.weight < 0).any():
        return f"a weight of {novelty.weight.min():g}; none is below 0"
    if novelty.rest <= 0 or (novelty.variance <= 0).any():
        return f"a variance of {min(novelty.rest, *novelty.variance):g}; all are above 0"
    if novelty.calibration[0] < 0 or (np.diff(novelty.calibration) < 0).any():
        return "distances that are negative or do not rise; they are sorted"
    return None


def _distances(novelty: Novelty, feature: Column) -> Column:
    z = standardised(feature, novelty.mean, novelty.weight, FARTHEST)
    with np.errstate(invalid="ignore", over="ignore"):
        along = z @ novelty.component.T
        squared = (along**2 / novelty.variance).sum(axis=1)
        if len(novelty.component) < z.shape[1]:
            left = z - along @ novelty.component
            squared += (left**2).sum(axis=1) / novelty.rest
        found: Column = np.sqrt(squared).round(DECIMALS)
    return found
