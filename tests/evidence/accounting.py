"""The account over hundreds of comparisons: the share of false ones among successions."""

import numpy as np
from tests.evidence.section import Claim, Section, Size, Table, percent
from tests.evidence.streams import noise
from tests.evidence.succession import SCALE

from flyball_registry.evidence.account import Account
from flyball_registry.evidence.betting import Bets, extend, verdict

ALPHA = 0.05
BLOCKS = 240
EFFECT = 1.0


def history(seed: int, comparisons: int, with_effect: float) -> tuple[int, int]:
    """True and false successions; each comparison is looked at every 20 blocks."""
    rng, account, won = np.random.default_rng(seed), Account(), [0, 0]
    still = noise("normal", seed + 10_000, comparisons, BLOCKS)
    for at in range(comparisons):
        better = bool(rng.random() < with_effect)
        account, entry = account.open(f"t{at}", "seat", ALPHA, at)
        values = SCALE * (still[at] + EFFECT * better)
        bets = extend(Bets(margin=0.0), values[:40].tolist())[0]
        for start in range(40, BLOCKS + 1, 20):
            if verdict(bets, entry.alpha) == "superior":
                account = account.note(entry.comparison, "superior")
                won[better] += 1
                break
            bets = extend(bets, values[start : start + 20].tolist())[0]
    return won[1], won[0]


def section(size: Size) -> Section:
    """Histories without, with some and with many better trainers."""
    runs, comparisons = size.of(40, 3), size.of(300, 60)
    rows, claims = list[list[str]](), list[Claim]()
    for with_effect in (0.0, 0.1, 0.5):
        found = [history(seed, comparisons, with_effect) for seed in range(runs)]
        share = float(np.mean([false / max(1, true + false) for true, false in found]))
        power = sum(true for true, _ in found) / max(1.0, with_effect * comparisons * runs)
        some = sum(false > 0 for _, false in found)
        rows.append(
            [
                percent(with_effect),
                percent(share),
                f"{some} of {runs}",
                percent(power) if with_effect else "",
            ]
        )
        limit = ALPHA + 3 * np.sqrt(ALPHA * (1 - ALPHA) / runs)
        claims.append(Claim(
            f"{percent(with_effect)} better: false ones among successions", percent(share), share <= limit
        ))  # fmt: skip
    renamed, levels = Account(), list[float]()
    for at in range(10):
        renamed, entry = renamed.open(f"name-{at}", "seat", ALPHA, at)
        levels.append(entry.alpha)
    spent = sum(levels)
    claims.append(Claim("ten names share one alpha", f"{spent:.4f} of {ALPHA}", spent < ALPHA))
    head = [
        "truly better",
        "false among successions",
        "histories with a false one",
        "better ones that won",
    ]
    return Section(
        "The account",
        f"{runs} histories of {comparisons} comparisons of up to {BLOCKS} blocks, one after the other; an "
        f"advantage is {EFFECT:g} spread. e-LOND at alpha {ALPHA}: what a comparison may spend falls with its "
        "number and rises with each succession before it.",
        [Table("False discovery proportion, mean over histories", head, rows)],
        claims,
    )
