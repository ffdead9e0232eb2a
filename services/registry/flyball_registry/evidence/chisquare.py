"""The chi-square distribution to three digits, without a library that takes a second to import.

Wilson & Hilferty, *The distribution of chi-square*, PNAS 1931: the cube root of a chi-square number
over its degrees of freedom is nearly normal.
"""

from math import erfc, sqrt
from statistics import NormalDist


def quantile(level: float, freedom: int) -> float:
    """What a chi-square number with so many degrees of freedom stays below with this probability."""
    spread = 2 / (9 * freedom)
    return float(freedom * (1 - spread + NormalDist().inv_cdf(level) * sqrt(spread)) ** 3)


def beyond(value: float, freedom: int) -> float:
    """The probability that a chi-square number is larger than `value`, which is 0 or more."""
    spread = 2 / (9 * freedom)
    apart = ((value / freedom) ** (1 / 3) - (1 - spread)) / sqrt(spread)
    return erfc(apart / sqrt(2)) / 2
