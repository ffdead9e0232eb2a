"""False successions of streams without an advantage, and how soon one is found."""

import math

import numpy as np
from tests.evidence.section import Claim, Section, Size, Table, at_most, percent, quantile, share
from tests.evidence.streams import DAY, NULLS, WEEK, Array, daily, noise, weekly
from tests.unit.evidence_rows import BLOCK_MS, design

from flyball_registry.evidence.account import Entry, gamma
from flyball_registry.evidence.betting import MIN_BLOCKS, PILOT_BLOCKS, Bets, extend
from flyball_registry.evidence.comparison import Comparison
from flyball_registry.evidence.findings import Superior

ALPHA = 0.05
LEVELS = {"0.05": ALPHA, **{f"comparison {k}": ALPHA * gamma(k) for k in (1, 5, 20)}}
SCALE = 0.05
"""A stream of spread 1 becomes losses of this spread; the test does not depend on it."""

CHUNK = 250
FRESH = Bets(margin=0.0)

Looks = tuple[Array, Array, Array, int]
"""Base blocks, blocks and log E (t,) at every block, and base blocks in one block at last."""


def looks(values: Array, bets: Bets = FRESH) -> Looks:
    """What the production code says of a stream, block by block."""
    base, blocks, log_e = list[int](), list[int](), list[float]()
    for start in range(0, len(values), CHUNK):
        bets, path = extend(bets, (SCALE * values[start : start + CHUNK]).tolist())
        base += path.base_blocks
        blocks += path.blocks
        log_e += path.log_e
    return np.array(base), np.array(blocks), np.array(log_e), bets.factor


def won(found: Looks, alpha: float, season: int = 0) -> int | None:
    """Base blocks to `superior`, at ends of whole seasons of so many blocks; None = never."""
    base, blocks, log_e, factor = found
    if not len(base):
        return None
    enough = (log_e >= -math.log(alpha)) & (blocks >= MIN_BLOCKS)
    if season:
        enough &= np.diff((base - PILOT_BLOCKS * factor) // season, prepend=0) > 0
    return int(base[enough.argmax()]) if enough.any() else None


def by_comparison(values: Array, season: int) -> int | None:
    """The same from a comparison as the registry keeps it."""
    plan = design(season_ms=season * BLOCK_MS)
    comparison = Comparison.begin("t", "baseline", plan)
    entry = Entry(comparison=1, trainer="t", over="baseline", alpha=ALPHA, opened_ms=0)
    comparison, weight, nothing = comparison.entered(entry), np.ones(20), np.zeros(20)
    for at, value in enumerate((SCALE * values).tolist()):
        comparison = comparison.gather(at * BLOCK_MS, weight, nothing + value, nothing, ())
        comparison, said = comparison.close((at + 1) * BLOCK_MS, plan)
        if isinstance(said, Superior):
            return at + 1
    return None


DESIGNED = {
    "normal": 0.017, "t3": 0.023, "left-skewed": 0.051, "ar 0.3": 0.052, "ar 0.6": 0.019, "ar 0.8": 0.007,
}  # fmt: skip
"""Shares at level 0.05 that were measured when the test was designed, by another program."""


def null(size: Size) -> Section:
    """Streams in which nothing is to be found."""
    streams, blocks = size.of(1_000, 60), size.of(1_500, 500)
    rows, claims = list[list[str]](), list[Claim]()
    for number, (kind, words) in enumerate(NULLS.items()):
        found = [looks(values) for values in noise(kind, 100 + number, streams, blocks)]
        shares = {name: share(won(f, a) for f in found) for name, a in LEVELS.items()}
        rows.append([words, percent(DESIGNED[kind]), *map(percent, shares.values())])
        claims.append(at_most(f"{words}: no more than the level", shares["0.05"], ALPHA, streams))
    same = looks(np.zeros(blocks))
    rows.append(["identical models", "", *[percent(0.0)] * len(LEVELS)])
    claims.append(Claim("identical models: E is exactly 1", "always", bool((same[2] == 0).all())))
    levels = [f"{name}" if name == "0.05" else f"{name} ({a:.4f})" for name, a in LEVELS.items()]
    table = Table(
        "Share of streams with a false succession", ["blocks", "designed, 0.05", *levels], rows
    )
    return Section(
        "Without an advantage",
        f"{streams:,} streams of {blocks:,} blocks of mean 0 each; the test looks after every block. "
        "The levels are 0.05 and what the account gives the first, fifth and twentieth comparison of "
        "a pipeline whose alpha is 0.05 and that has seen no succession.",
        [table],
        claims,
    )


def seasonal(size: Size) -> Section:
    """An advantage that comes and goes, looked at at every block and at ends of whole seasons."""
    streams, blocks = size.of(1_000, 40), size.of(2_000, 1_400)
    rows, claims = list[list[str]](), list[Claim]()
    for words, make, season in (
        (f"daily sine of 0.5 spreads, {DAY} blocks a day", daily, DAY),
        (f"better on workdays, worse at weekends, {WEEK} blocks a week", weekly, WEEK),
    ):
        values = make(200, streams, blocks)
        found = [looks(one) for one in values]
        soon = share(won(f, ALPHA) for f in found)
        after = [
            bool(
                len(f[0])
                and won((f[0][f[0] >= season], *(x[f[0] >= season] for x in f[1:3]), f[3]), ALPHA)
            )
            for f in found
        ]
        guarded = [won(f, ALPHA, season) for f in found]
        rows.append([words, percent(soon), percent(share(after)), percent(share(guarded))])
        claims.append(
            at_most(f"{words}: whole seasons keep the level", share(guarded), ALPHA, streams)
        )
        some = size.of(20, 3)
        same = [by_comparison(one, season) for one in values[:some]] == guarded[:some]
        claims.append(Claim("a comparison of the registry says the same", f"{some} streams", same))
    effect = noise("normal", 210, streams, blocks) + 0.5
    found = [looks(one) for one in effect]
    plain, whole = ([won(f, ALPHA, s) for f in found] for s in (0, DAY))
    late = quantile(whole, 0.5)
    rows.append(
        [
            f"a lasting advantage of 0.5, {DAY} blocks a day",
            *[percent(share(plain))] * 2,
            percent(share(whole)),
        ]
    )
    claims.append(Claim(
        "a lasting advantage is found at the end of the first season",
        f"median {late} blocks, {quantile(plain, 0.5)} without a season",
        share(whole) > 0.95,
    ))  # fmt: skip
    head = ["stream", "every block", "every block after one season", "at ends of whole seasons"]
    return Section(
        "An advantage that comes and goes",
        f"{streams:,} streams of {blocks:,} blocks at level 0.05, the phase drawn. In the second "
        "season's good half the evidence of the first is still there, so that waiting for one season "
        "is not enough. At ends of whole seasons, counted from the pilot's end, the bets on "
        "independent blocks multiply to at most 1 on average, whatever the profile: the product of "
        "1 + l m_b over a season is at most (1 + l mean m_b)^S, by the inequality of the means.",
        [Table("Share of streams with a succession", head, rows)],
        claims,
    )


POWER_KINDS = ("normal", "t3", "left-skewed", "ar 0.3", "ar 0.6")
EFFECTS = (0.1, 0.2, 0.3, 0.5, 1.0, 2.0)
PROMISED = {0.2: 210, 0.5: 83, 1.0: 58, 2.0: 49}


def power(size: Size) -> Section:
    """How many blocks a succession takes."""
    streams, blocks = size.of(300, 40), size.of(1_500, 600)
    rows, claims = list[list[str]](), list[Claim]()
    for kind in POWER_KINDS:
        still = noise(kind, 300, streams, blocks)
        for effect in EFFECTS:
            found = [looks(values + effect) for values in still]
            at = {level: [won(f, a) for f in found] for level, a in LEVELS.items()}
            usual, first = at["0.05"], at["comparison 1"]
            promised = PROMISED.get(effect) if kind == "normal" else None
            rows.append([
                NULLS[kind], f"{effect:g}", quantile(usual, 0.5), str(promised or ""),
                quantile(usual, 0.9), percent(share(usual)), quantile(first, 0.5),
                percent(share(first)),
            ])  # fmt: skip
            if promised:
                found_median = float(np.median([v or blocks for v in usual]))
                claims.append(Claim(
                    f"an advantage of {effect:g} spreads takes about {promised} blocks",
                    f"median {found_median:g}",
                    abs(found_median - promised) <= (0.15 if size.full else 0.35) * promised,
                ))  # fmt: skip
    head = ["noise", "advantage / spread", "median", "designed", "90 %", "decided", "median, first comparison", "decided"]  # fmt: skip
    return Section(
        "With an advantage",
        f"{streams} streams of {blocks:,} blocks each, level 0.05 and that of the first comparison. "
        "`none`: fewer than that share were decided in so many blocks.",
        [Table("Base blocks to a succession", head, rows)],
        claims,
    )
