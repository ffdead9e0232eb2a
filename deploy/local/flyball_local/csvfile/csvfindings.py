"""What the numbers of a CSV file show: seasons, how much its target moves, who gives it away. Pure."""

from collections.abc import Iterator
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

from flyball_local.csvfile.csvprofile import Profile

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
SEASONS: Final = ((DAY_MS, HOUR_MS, 3), (7 * DAY_MS, DAY_MS, 8))
"""A season, the part of it whose means are compared, and how many seasons that needs."""
MIN_FILLED: Final = 0.6
"""Share of the parts of all seasons in which there are rows."""
MIN_AGREEMENT: Final = 0.5
"""Correlation between the profiles of odd and even seasons, above which one is believed."""
MAX_AGREEMENT_ROWS: Final = 500_000
SUSPICIOUS: Final = 0.98
"""Correlation with the target, or share of pairs that one column ranks right, that is too good."""
MIN_PAIRED: Final = 30

Floats = NDArray[np.float64]


class Season(NamedTuple):
    """A rhythm of the target. `agreement` is a correlation, `seasons` how many were seen."""

    season_ms: int
    agreement: float
    seasons: int


class Movement(NamedTuple):
    """Mean change of the target within the horizon, beside its mean distance from the usual."""

    change: float
    spread: float


class Suspect(NamedTuple):
    """A column that says the target nearly by itself."""

    column: str
    how: str


def season(found: Profile, values: Floats) -> Season | None:
    """The rhythm of `values` (one a row): the hours of odd and even days, or days of weeks, agree.

    None: too few seasons, too many silent parts, rows too far apart, or they do not agree.
    """
    time_ms = found.places.time_ms
    at = np.flatnonzero((time_ms >= 0) & np.isfinite(values))[-MAX_AGREEMENT_ROWS:]
    if len(at) < MIN_PAIRED or not np.std(values[at]) > 0:
        return None
    return next((s for s in _seasons(found, time_ms[at], values[at])), None)


def _seasons(found: Profile, time_ms: NDArray[np.int64], values: Floats) -> Iterator[Season]:
    for season_ms, part_ms, least in SEASONS:
        number, parts = time_ms // season_ms, season_ms // part_ms
        seen = len(np.unique(number))
        filled = len(np.unique(time_ms // part_ms)) / (parts * max(1, number.max() - number.min()))
        if seen < least or found.interval_ms > part_ms or filled < MIN_FILLED:
            continue
        part = (time_ms % season_ms) // part_ms
        halves = [_means(part[h], values[h], parts) for h in (number % 2 == 0, number % 2 == 1)]
        both = np.isfinite(halves[0]) & np.isfinite(halves[1])
        if both.sum() < max(3, 0.75 * parts):
            continue
        agreement = correlation(halves[0][both], halves[1][both])
        if agreement is not None and agreement >= MIN_AGREEMENT:
            yield Season(season_ms, agreement, seen)


def _means(part: NDArray[np.int64], values: Floats, parts: int) -> Floats:
    counts = np.bincount(part, minlength=parts)
    sums = np.bincount(part, weights=_scaled(values), minlength=parts)
    means: Floats = np.divide(sums, counts, out=np.full(parts, np.nan), where=counts > 0)
    return means


def movement(found: Profile, values: Floats, rows_ahead: int) -> Movement | None:
    """How far `values` move in so many rows of their element; None when too few are known."""
    order = found.places.by_element
    element, ordered = found.places.element_index[order], _scaled(values[order])
    if len(ordered) <= rows_ahead:
        return None
    steps = ordered[rows_ahead:] - ordered[:-rows_ahead]
    steps = steps[(element[rows_ahead:] == element[:-rows_ahead]) & np.isfinite(steps)]
    known = np.isfinite(ordered)
    if len(steps) < MIN_PAIRED:
        return None
    counts = np.bincount(element[known])
    means = np.bincount(element[known], weights=ordered[known]) / np.maximum(counts, 1)
    spread = float(np.abs(ordered[known] - means[element[known]]).mean())
    return Movement(float(np.abs(steps).mean()), spread)


def suspects(found: Profile, target: str, truth: Floats, columns: list[str]) -> list[Suspect]:
    """Columns that say `truth` (one a row) nearly by themselves, the worst first."""
    seen: list[tuple[float, Suspect]] = []
    two = set(np.unique(truth[np.isfinite(truth)]).tolist()) == {0.0, 1.0}
    for name in columns:
        values = found.columns[name].values
        both = np.isfinite(values) & np.isfinite(truth)
        if name == target or both.sum() < MIN_PAIRED:
            continue
        score = abs(correlation(values[both], truth[both]) or 0.0)
        how = f"correlation {score:.3f}"
        if two and (ranked := _ranked(values[both], truth[both])) > score:
            score, how = ranked, f"tells the two apart in {ranked:.1%} of pairs"
        if score >= SUSPICIOUS:
            seen.append((score, Suspect(name, how)))
    return [suspect for _, suspect in sorted(seen, key=lambda s: -s[0])]


def correlation(one: Floats, other: Floats) -> float | None:
    """Pearson's, None where one of them does not vary."""
    one, other = _scaled(one), _scaled(other)
    one, other = one - one.mean(), other - other.mean()
    size = float(np.sqrt((one @ one) * (other @ other)))
    return float(one @ other) / size if size > 0 else None


def rows_per_interval(found: Profile) -> float:
    """Rows that come in one interval, over the time in which any came."""
    time_ms = found.places.time_ms
    time_ms = time_ms[time_ms >= 0]
    return len(time_ms) / max(1, len(np.unique(time_ms // found.interval_ms)))


def _ranked(values: Floats, truth: Floats) -> float:
    """Share of pairs of unlike truth that `values` put in one order; ties count half."""
    ordered, inverse, counts = np.unique(values, return_inverse=True, return_counts=True)
    if len(ordered) < 2:
        return 0.5
    rank = np.cumsum(counts) - (counts - 1) / 2
    ones = truth == 1.0
    n, m = int(ones.sum()), int((~ones).sum())
    share = float((rank[inverse][ones].sum() - n * (n + 1) / 2) / (n * m)) if n and m else 0.5
    return max(share, 1 - share)


def _scaled(values: Floats) -> Floats:
    """Values a size smaller where their squares would be infinite."""
    largest = np.nanmax(np.abs(values), initial=0.0)
    return values / largest if largest > 1e100 else values
