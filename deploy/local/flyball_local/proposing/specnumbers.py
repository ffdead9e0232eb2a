"""Durations, windows, ranges and cadences that suit a CSV file: the figures of a proposal. Pure."""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

from flyball_local.csvfile.csvfindings import rows_per_interval
from flyball_local.csvfile.csvprofile import Column, Profile
from flyball_local.proposing.proposal import Proposal
from flyball_proto.spec import format_duration, parse_duration_ms
from flyball_proto.spec.durations import MAX_DURATION_MS

DAY_MS: Final = 86_400_000
BLOCK_ROWS: Final = 22
"""Rows with a label that a block of evidence should have; below twenty it does not count."""
PARTS_OF_SEASON: Final = (24, 12, 8, 6, 4, 3, 2, 1)
NEEDED_BLOCKS: Final = 40
"""Blocks that a verdict needs at least."""
MAX_LATENESS_MS: Final = 3_600_000
OUTLIER_WIDTHS: Final = 10
"""Beyond so many times the usual width a value stretches its range and is told."""
SLACK: Final = 0.1
"""Of the whole width found, beyond each end of it."""
STRANGE_WIDTHS: Final = 1_000
LARGEST: Final = 1e300


@dataclass(frozen=True, slots=True)
class Bounds:
    """The range of a metric. `beyond` values lie outside `usual`; None = nothing strange."""

    low: float
    high: float
    usual: tuple[float, float] | None = None
    beyond: int = 0


@dataclass(frozen=True, slots=True)
class Cadence:
    """How a pipeline learns from this file."""

    small: int
    large: int
    look_back_ms: int
    block_ms: int
    blocks: int
    recent: str
    long: str
    often: str
    seldom: str
    gate_rows: int
    canary: tuple[int, ...]


def cadence(p: Proposal) -> Cadence:
    """Windows that elements fill several times, blocks that count, fits that fit in."""
    found, horizon_ms = p.profile, p.goal.horizon_ms
    span_ms = max(found.last_ms - found.first_ms, 8 * found.interval_ms)
    active_ms = _active_ms(found)
    small, large = _windows(found)
    block_ms = _block_ms(found, horizon_ms, p.season.season_ms if p.season else 0)
    least_ms = 10 * horizon_ms  # a shorter window is refused
    return Cadence(
        small,
        large,
        min(4 * large * found.interval_ms, MAX_DURATION_MS),
        parse_duration_ms(_nice(block_ms, at_least=block_ms)),
        int(active_ms // block_ms),
        _nice(span_ms // 4, at_least=least_ms),
        _nice(span_ms, at_least=least_ms),
        _nice(max(active_ms // 60, found.interval_ms)),
        _nice(max(active_ms // 30, found.interval_ms)),
        min(2_000, max(100, found.rows // 50)),
        (100,) if len(found.elements) < 20 else (25, 100),
    )


def _block_ms(found: Profile, horizon_ms: int, season_ms: int) -> int:
    """The shortest block that counts; with a season one that divides it, or a multiple of it.

    Rows whose label comes behind a block's end do not count in it. A block that does not line up with
    the season leaves out another part of it each time, and then neighbours look alike: evidence
    would have to wait for longer ones.
    """
    intervals = max(2, math.ceil(BLOCK_ROWS / rows_per_interval(found)))
    outside_ms = max(0, horizon_ms - found.interval_ms)
    least_ms = max(2 * horizon_ms, intervals * found.interval_ms + outside_ms)
    if season_ms:
        parts = (season_ms // k for k in PARTS_OF_SEASON if season_ms % k == 0)
        whole = -(-least_ms // season_ms) * season_ms
        least_ms = next((part for part in parts if part >= least_ms), whole)
    return min(least_ms, MAX_DURATION_MS)


def bounds(column: Column) -> Bounds | None:
    """Bounds that hold every value found and leave room beyond the usual ones; None = too wide."""
    values = column.numbers
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1:
        return Bounds(0.0, 1.0)
    if max(abs(low), abs(high)) > LARGEST:
        return None
    usual_low, usual_high = _usual(values)
    room = max((usual_high - usual_low) / 2, abs(usual_high) / 2, abs(usual_low) / 2)
    if not room > 1 / LARGEST:
        room = max(abs(high), abs(low)) / 2
    if not room > 1 / LARGEST:
        return None
    inner = _rounded(usual_low - room, usual_high + room, room)
    floor = 0.0 if low >= 0 else -math.inf
    inner = (max(floor, inner[0]), inner[1])
    beyond = int(((values < inner[0]) | (values > inner[1])).sum())
    slack = SLACK * (high - low)
    wide = _rounded(min(low - slack, inner[0]), max(high + slack, inner[1]), room)
    wide = (max(floor, wide[0]), wide[1])
    far = max(inner[0] - low, high - inner[1]) > OUTLIER_WIDTHS * room
    return Bounds(*wide, inner if far else None, beyond)


def _usual(values: NDArray[np.float64]) -> tuple[float, float]:
    """Where all but one of five hundred values lie; narrower if signs such as 2^31-1 do not fit."""
    outer_low, low, high, outer_high = (
        float(q) for q in np.quantile(values, (0.001, 0.05, 0.95, 0.999))
    )
    if high > low and outer_high - outer_low > STRANGE_WIDTHS * (high - low):
        return low, high
    return outer_low, outer_high


def lateness_ms(found: Profile) -> int:
    """How late a row may be: what 99 of 100 late ones need, at most an hour."""
    late = 0 if sorted_by_time(found) else found.places.usual_lateness_ms
    return min(MAX_LATENESS_MS, late)


def sorted_by_time(found: Profile) -> bool:
    """Whether rows should be played by time: the file does not stand in its order at all."""
    return bool(found.time) and found.places.back > 0.02 * found.places.structured


def _windows(found: Profile) -> tuple[int, int]:
    """A small and a large window, in rows."""
    rows = found.rows / max(1, len(found.elements))
    large = next((w for w in (32, 16, 8) if rows >= 10 * w), 4)
    while large > 2 and large * found.interval_ms > MAX_DURATION_MS:
        large //= 2
    return max(1, min(large // 2, large // 4 if large > 4 else 2)), large


def _active_ms(found: Profile) -> int:
    """Event time in which rows came, silences of all elements left out."""
    time_ms = found.places.time_ms
    return len(np.unique(time_ms[time_ms >= 0] // found.interval_ms)) * found.interval_ms


def _rounded(low: float, high: float, room: float) -> tuple[float, float]:
    """Outwards, to two digits of `room`."""
    step = 10.0 ** (math.floor(math.log10(room)) - 1)
    if not step > 0 or max(abs(low), abs(high)) / step > 1e15:
        return low, high
    return math.floor(low / step) * step, math.ceil(high / step) * step


def _nice(ms: int, *, at_least: int = 1) -> str:
    """A round duration of about `ms`, no less than `at_least`, no more than there are."""
    ms = min(max(ms, at_least), MAX_DURATION_MS)
    for unit_ms in (DAY_MS, 3_600_000, 60_000, 1_000):
        if ms >= 2 * unit_ms:
            whole = round(ms / unit_ms) * unit_ms
            if whole >= at_least and whole <= MAX_DURATION_MS:
                return format_duration(whole)
            if ms == at_least:
                up = math.ceil(ms / unit_ms) * unit_ms
                return format_duration(up if up <= MAX_DURATION_MS and up < 1.2 * ms else ms)
    return format_duration(max(1, ms))
