"""How likely so many hits are, where their share is only estimated; without scipy. Pure."""

from math import exp, lgamma
from typing import Final

NEGLIGIBLE: Final = 1e-15


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


def _log_choose(n: int, k: int) -> float:
    return lgamma(n + 1) - lgamma(k + 1) - lgamma(n - k + 1)


def _log_beta(a: float, b: float) -> float:
    return lgamma(a) + lgamma(b) - lgamma(a + b)
