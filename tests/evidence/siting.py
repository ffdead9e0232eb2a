"""Better on the whole and much worse at one site: whether the slice's veto comes in time."""

import numpy as np
from tests.evidence.section import Claim, Section, Size, Table, percent, quantile, share
from tests.unit.evidence_rows import BLOCK_MS, design, folded, of_kind, scored, times

from flyball_registry.evidence.evaluation import Superior

PER_SITE = 25
NOISE, TOGETHER = 0.1, 0.05


def succession(seed: int, sites: int, gain: float, at_one: float, blocks: int) -> int | None:
    """Blocks to a succession when site 0 differs by `at_one` and the others by `gain` in loss."""
    rng = np.random.default_rng(seed)
    time_ms = times(blocks, PER_SITE * sites)
    site, block = np.arange(len(time_ms)) % sites, time_ms // BLOCK_MS
    active = np.clip(rng.normal(0.3, NOISE, len(time_ms)), 0, 1)
    better = (
        np.where(site == 0, at_one, gain) + rng.normal(0, TOGETHER, (blocks, sites))[block, site]
    )
    other = np.clip(active - better + rng.normal(0, NOISE, len(time_ms)), 0, 1)
    rows = scored(
        time_ms, np.zeros(len(time_ms)),
        {"active": np.sqrt(active), "other": np.sqrt(other)},
        slices={"site": [f"s{k}" for k in site.tolist()]},
    )  # fmt: skip
    won = of_kind(folded(rows, under=design(slices=("site",)))[1], Superior)
    return won[0].blocks if won else None


def section(size: Size) -> Section:
    """Worse, equal and better at one site."""
    runs, blocks, rows, claims = (
        size.of(100, 5),
        size.of(250, 120),
        list[list[str]](),
        list[Claim](),
    )
    for sites in (2, 4, 10) if size.full else (4,):
        for gain, at_one in ((0.05, -0.1), (0.05, -0.05), (0.05, -0.02), (0.05, 0.0), (0.05, 0.05)):
            found = [succession(seed, sites, gain, at_one, blocks) for seed in range(runs)]
            took = share(v is not None for v in found)
            rows.append(
                [str(sites), f"{gain:+g}", f"{at_one:+g}", percent(took), quantile(found, 0.5)]
            )
            words = f"{sites} sites, {at_one:+g} at one"
            if at_one <= -0.05:
                claims.append(Claim(f"{words}: never promoted", percent(took), took <= 0.01))
            if at_one > 0 and sites > 2:
                claims.append(Claim(f"{words}: promoted", percent(took), took >= 0.9))
    head = ["sites", "gain elsewhere", "gain at one", "promoted", "median blocks"]
    return Section(
        "Worse at one site",
        f"{runs} runs of {blocks} blocks, {PER_SITE} rows a site and block, site effects with a spread of "
        f"{TOGETHER} a block. The whole can win before a site has said enough for its veto; a site that "
        "leans to the worse side makes the succession wait until it is known.",
        [Table("Successions with a slice for each site", head, rows)],
        claims,
    )
