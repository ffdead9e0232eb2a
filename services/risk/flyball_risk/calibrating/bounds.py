"""How often may be wrong what was found wrong k of n times: exact bounds, and the cut-off. Pure.

Clopper & Pearson, Biometrika 1934; Geifman & El-Yaniv, *Selective classification for deep neural
networks*, NeurIPS 2017 (algorithm 1, with a fixed number of candidates).
"""

import math
from typing import Final

import numpy as np

from flyball_proto.calibrations import CutOff
from flyball_proto.columns import Column

CANDIDATES: Final = 20
"""Cut-offs that are looked at; they share the chance of being wrong."""

MOST_NEEDED: Final = 1_000_000
STEPS: Final = 60
"""Of a bisection: far below 1e-12."""


def at_most(errors: int, rows: int, share: float) -> float:
    """Probability of so many errors or fewer among `rows` that are wrong with probability `share`."""
    if share <= 0 or errors >= rows:
        return 1.0
    if share >= 1:
        return 0.0
    i = np.arange(1, errors + 1)
    steps = np.log((rows - i + 1) / i) + math.log(share) - math.log1p(-share)
    logs = np.concatenate([[0.0], np.cumsum(steps)]) + rows * math.log1p(-share)
    top = float(logs.max())
    return min(1.0, math.exp(top) * float(np.exp(logs - top).sum()))


def upper_bound(errors: int, rows: int, alpha: float) -> float:
    """Clopper-Pearson: the true share is above with probability `alpha` at most.

    Equals BetaInv(1 - alpha; errors + 1, rows - errors).
    """
    if errors >= rows:
        return 1.0
    low, high = errors / rows, 1.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        if at_most(errors, rows, middle) > alpha:
            low = middle
        else:
            high = middle
    return high


def lower_bound(errors: int, rows: int, alpha: float) -> float:
    """Clopper-Pearson: the true share is below with probability `alpha` at most."""
    return 1.0 - upper_bound(rows - errors, rows, alpha) if errors else 0.0


def needed(errors: int, max_error: float, alpha: float) -> int:
    """Rows with which so many errors prove `max_error`; a million = more than can be waited for."""
    low, high = errors, MOST_NEEDED
    while high - low > 1:
        middle = (low + high) // 2
        if at_most(errors, middle, max_error) <= alpha:
            high = middle
        else:
            low = middle
    return high


def cut_off(error: Column, wrong: Column, *, max_error: float, confidence: float) -> CutOff:
    """The cut-off that lets the most through and keeps `max_error` with this confidence.

    `error` f64 (n,) are assessed probabilities, `wrong` bool (n,) what became of the rows. When no
    candidate keeps it, either the rows are too few, or enough of them to say that none does.
    """
    rows, alpha = len(error), (1.0 - confidence) / CANDIDATES
    rounded = np.round(error, 6)
    order = np.argsort(rounded, kind="stable")
    ranked, errors = rounded[order], np.concatenate([[0], np.cumsum(wrong[order])])
    found = CutOff(
        rows=rows,
        max_error=max_error,
        confidence=confidence,
        needed=needed(0, max_error, alpha),
    )
    if not rows:
        return found
    takes, refuted = MOST_NEEDED, rows >= 2 * found.needed
    for part in range(CANDIDATES, 0, -1):
        at = float(ranked[math.ceil(rows * part / CANDIDATES) - 1])
        below = int(np.searchsorted(ranked, at, "right"))
        failed = int(errors[below])
        if at_most(failed, below, max_error) <= alpha:
            reached = {"at": at, "proven": True, "below": below, "errors": failed}
            bound = upper_bound(failed, below, alpha)
            return found.model_copy(update={**reached, "bound": bound})
        takes = min(takes, math.ceil(needed(failed, max_error, alpha) * rows / below))
        if below >= found.needed and lower_bound(failed, below, alpha) <= max_error:
            refuted = False
    whole = {
        "below": rows,
        "errors": int(errors[rows]),
        "bound": upper_bound(int(errors[rows]), rows, alpha),
    }
    return found.model_copy(
        update={
            **whole,
            "proven": refuted,
            "needed": max(takes, rows + 1) if not refuted else found.needed,
        }
    )
