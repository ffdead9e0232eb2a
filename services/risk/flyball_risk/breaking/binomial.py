"""Tails and bounds of shares, without scipy. Pure."""

from math import exp, lgamma, log
from typing import Final

NEGLIGIBLE: Final = 1e-15
STEPS: Final = 60
"""Halvings of a bound's interval: to 1e-18 of it."""


def chance_of_more(hits: int, rows: int, a: float, b: float) -> float:
    """P(X >= hits) in `rows` draws whose share is Beta(a, b): the beta-binomial's upper tail.

    The share is not known, only estimated from about a hits and b misses, so the tail is wider than
    that of a binomial with the share a / (a + b).
    """
    if not 0 < hits <= rows:
        return float(hits <= 0)
    first = _log_choose(rows, hits) + _log_beta(hits + a, rows - hits + b) - _log_beta(a, b)
    term = total = exp(first)
    for x in range(hits, rows):
        ratio = (rows - x) / (x + 1) * (x + a) / (rows - x - 1 + b)
        term *= ratio
        total += term
        if ratio < 1.0 and term < NEGLIGIBLE:
            break
    return min(1.0, total)


def least_share(hits: int, rows: int, confidence: float) -> float:
    """Lower bound of the share behind `hits` of `rows` (Clopper & Pearson 1934, one-sided)."""
    low, high = 0.0, hits / rows if rows else 0.0
    for _ in range(STEPS):
        middle = (low + high) / 2
        if _tail(hits, rows, middle) > 1.0 - confidence:
            high = middle
        else:
            low = middle
    return low


def _tail(hits: int, rows: int, share: float) -> float:
    """P(X >= hits) of a binomial; `share` at most hits / rows, so that the terms fall."""
    if not hits or not 0.0 < share < 1.0:
        return float(not hits or share >= 1.0)
    first = _log_choose(rows, hits) + hits * log(share) + (rows - hits) * log(1.0 - share)
    term = total = exp(first)
    for x in range(hits, rows):
        term *= (rows - x) / (x + 1) * share / (1.0 - share)
        total += term
        if term < NEGLIGIBLE:
            break
    return total


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)
