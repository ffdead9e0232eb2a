"""Whether a mean is above a margin, looked at after every block, with a stated doubt: by betting.

    X_b = D_b - m                D_b: mean loss of the active less that of the challenger, margin m
    s   = max(sqrt(mean X_b^2), 1e-6) over a pilot of 20 blocks that count for nothing else
    Y_b = clip(X_b / 4s, -1, 1)
    log E = log mean over l of prod over b of (1 + l * Y_b)

E is at most 1 on average when the (clipped) mean is not above m, at any time at which one looks
(Waudby-Smith & Ramdas, JRSS-B 2024; Choe & Ramdas, Operations Research 2023). The same bets against
other values than m, upwards and downwards, give a confidence sequence by inversion: a value whose
bet won lies outside.

Neighbouring blocks must not be correlated: after 40, 50, 60, 70 and 80 base blocks their lag-1
autocorrelation is looked at; while it is 0.2 or more the block doubles (at most four times) and all
kept blocks are folded again, each the mean of its base blocks. No verdict before 40 blocks of the
size in force. Measured: docs/evidence.md.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Final, Literal

import numpy as np

from flyball_proto.events import Wire
from flyball_registry.evidence.design import Floats

PILOT_BLOCKS: Final = 20
MIN_BLOCKS: Final = 40
KEPT_BLOCKS: Final = 80
CHECKS: Final = (40, 50, 60, 70, 80)
MAX_FACTOR: Final = 16
MAX_AUTOCORRELATION: Final = 0.2
MIN_SPREAD: Final = 1e-6
LAMBDAS: Final = np.array([0.02, 0.05, 0.1, 0.2, 0.4, 0.8])
OFFSETS: Final = tuple(
    sign * size for size in (0.05, 0.1, 0.2, 0.3, 0.45, 0.6, 0.8, 1.0, 1.25) for sign in (-1, 1)
)
"""Further values of the confidence sequence, in units of s from the margin."""

AT_MARGIN, AT_MINUS_MARGIN = 0, 1
WIDTH: Final = (2 + len(OFFSETS)) * len(LAMBDAS)
FRESH: Final = (0.0,) * WIDTH

Verdict = Literal["superior", "inferior", "equivalent", "continue"]


class Bets(Wire):
    """A test in progress: 240 log wealths, at most 80 kept blocks; under 8 kB as JSON."""

    margin: float
    kept: tuple[float, ...] = ()  # the first base blocks
    factor: int = 1  # base blocks in one block
    carry: float = 0.0  # sum of the base blocks of an unfinished block
    carried: int = 0
    base_blocks: int = 0
    blocks: int = 0  # finished ones of the size in force, pilot included
    pilot: tuple[float, ...] = ()  # until s is known
    spread: float = 0.0  # s; 0 = the pilot runs
    above: tuple[float, ...] = FRESH  # log wealth of "the mean is above", by value and lambda
    below: tuple[float, ...] = FRESH


@dataclass(frozen=True, slots=True)
class Path:
    """How the evidence went: after so many base blocks, log E at the margin, both (t,)."""

    base_blocks: tuple[int, ...]
    blocks: tuple[int, ...]
    log_e: tuple[float, ...]


def extend(bets: Bets, values: Sequence[float]) -> tuple[Bets, Path]:
    """Take base blocks; in one call or one by one gives the same."""
    points: list[tuple[int, int, float]] = []
    rest = list(values)
    while rest:
        part, rest = _until_check(bets.base_blocks, rest)
        kept = (*bets.kept, *part)[:KEPT_BLOCKS]
        reached = bets.base_blocks + len(part)
        bets = bets.model_copy(update={"kept": kept, "base_blocks": reached})
        if reached in CHECKS and (factor := factor_of(kept)) > bets.factor:
            bets = _again(bets, factor)
            if bets.spread:
                points.append((reached, bets.blocks, evidence(bets)[0]))
            continue
        bets, fresh = _push(bets, part)
        last = reached - bets.carried
        for back, log_e in zip(range(len(fresh) - 1, -1, -1), fresh, strict=True):
            points.append((last - back * bets.factor, bets.blocks - back, log_e))
    base, blocks, log_e_path = zip(*points, strict=True) if points else ((), (), ())
    return bets, Path(base, blocks, log_e_path)


def _until_check(base_blocks: int, values: list[float]) -> tuple[list[float], list[float]]:
    """Values before the next look at the autocorrelation, or the one at it; and the rest."""
    check = next((c for c in CHECKS if c > base_blocks), None)
    room = len(values) if check is None else max(1, check - 1 - base_blocks)
    return values[:room], values[room:]


def evidence(bets: Bets) -> tuple[float, float, float, float]:
    """Return log E that the mean is above m, below -m, above -m, below m."""
    above, below = _mixed(bets.above), _mixed(bets.below)
    return (
        float(above[AT_MARGIN]),
        float(below[AT_MINUS_MARGIN]),
        float(above[AT_MINUS_MARGIN]),
        float(below[AT_MARGIN]),
    )


def verdict(bets: Bets, alpha: float) -> Verdict:
    """What the evidence says at level `alpha`; `superior` may yet wait for the season."""
    if bets.blocks < MIN_BLOCKS:
        return "continue"
    needed = -math.log(alpha)
    superior, inferior, not_worse, not_better = evidence(bets)
    if superior >= needed:
        return "superior"
    if inferior >= needed:
        return "inferior"
    if min(not_worse, not_better) >= needed:
        return "equivalent"
    return "continue"


def bounds(bets: Bets, alpha: float) -> tuple[float, float]:
    """The confidence sequence: the mean lies between, -1 and 1 when nothing is known yet."""
    if not bets.spread:
        return -1.0, 1.0
    needed, at = -math.log(alpha), _values(bets.margin, bets.spread)
    low, high = at[_mixed(bets.above) >= needed], at[_mixed(bets.below) >= needed]
    return max(-1.0, float(low.max(initial=-1.0))), min(1.0, float(high.min(initial=1.0)))


def expected_blocks(bets: Bets, alpha: float) -> int | None:
    """Base blocks until `superior` if the evidence grows as it did; None = it does not grow."""
    bet = bets.blocks - PILOT_BLOCKS
    if bet <= 0 or (log_e := evidence(bets)[0]) <= 0:
        return None
    more = max(0.0, (-math.log(alpha) - log_e) * bet / log_e)
    return math.ceil(max(more, MIN_BLOCKS - bets.blocks)) * bets.factor


def factor_of(base: Sequence[float]) -> int:
    """Base blocks that make one block whose neighbours are hardly correlated: 1, 2, 4, 8 or 16."""
    values, factor = np.array(base), 1
    while factor < MAX_FACTOR:
        merged = values[: len(values) // factor * factor].reshape(-1, factor).mean(1)
        if autocorrelation(merged) < MAX_AUTOCORRELATION:
            break
        factor *= 2
    return factor


def autocorrelation(values: Floats) -> float:
    """At lag 1; 0 where values are constant or fewer than three."""
    if len(values) < 3:
        return 0.0
    centred = values - values.mean()
    power = float(centred @ centred)
    return float(centred[1:] @ centred[:-1]) / power if power > 0 else 0.0


def log_mean_exp(log_wealths: Floats) -> Floats:
    """Over the last axis; wealth that never moved gives exactly 0."""
    most = log_wealths.max(-1)
    mean: Floats = most + np.log(np.exp(log_wealths - most[..., None]).mean(-1))
    return mean


def _again(bets: Bets, factor: int) -> Bets:
    empty = Bets(margin=bets.margin, factor=factor, kept=bets.kept, base_blocks=bets.base_blocks)
    return _push(empty, bets.kept)[0]


def _push(bets: Bets, base: Sequence[float]) -> tuple[Bets, list[float]]:
    """Fold base blocks at the size in force; log E after each finished block behind the pilot."""
    finished, carry, carried = [], bets.carry, bets.carried
    for value in base:
        carry, carried = carry + value, carried + 1
        if carried == bets.factor:
            finished.append(carry / bets.factor)
            carry, carried = 0.0, 0
    bets = bets.model_copy(
        update={"carry": carry, "carried": carried, "blocks": bets.blocks + len(finished)}
    )
    if not bets.spread:
        room = PILOT_BLOCKS - len(bets.pilot)
        pilot, finished = (*bets.pilot, *finished[:room]), finished[room:]
        if len(pilot) < PILOT_BLOCKS:
            return bets.model_copy(update={"pilot": pilot}), []
        bets = bets.model_copy(update={"pilot": (), "spread": spread_of(pilot, bets.margin)})
    return _bet(bets, np.array(finished)) if finished else (bets, [])


def spread_of(pilot: Sequence[float], margin: float) -> float:
    """s: the size of a usual X_b."""
    return max(math.sqrt(sum((v - margin) ** 2 for v in pilot) / len(pilot)), MIN_SPREAD)


def _bet(bets: Bets, values: Floats) -> tuple[Bets, list[float]]:
    at = _values(bets.margin, bets.spread)
    stakes = np.clip((values[:, None] - at) / (4 * bets.spread), -1.0, 1.0)[..., None] * LAMBDAS
    shape = (len(values), WIDTH)
    above = _onward(bets.above, np.log1p(stakes).reshape(shape))
    below = _onward(bets.below, np.log1p(-stakes).reshape(shape))
    path = log_mean_exp(above[:, : len(LAMBDAS)])  # the margin stands first
    ends = {"above": tuple(above[-1].tolist()), "below": tuple(below[-1].tolist())}
    return bets.model_copy(update=ends), path.tolist()


def _onward(carried: tuple[float, ...], steps: Floats) -> Floats:
    """Running sums (t, WIDTH), each added in order."""
    return np.cumsum(np.concatenate((np.array(carried)[None], steps)), 0)[1:]


@lru_cache(maxsize=64)
def _values(margin: float, spread: float) -> Floats:
    """What the mean is compared with (20,): m, -m, and steps of s around m."""
    return np.array([margin, -margin, *(margin + spread * o for o in OFFSETS)])


def _mixed(log_wealths: tuple[float, ...]) -> Floats:
    return log_mean_exp(np.array(log_wealths).reshape(-1, len(LAMBDAS)))
