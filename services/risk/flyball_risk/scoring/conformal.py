"""Class-conditional conformal p-values of proposals. Pure.

Vovk, Gammerman, Shafer, *Algorithmic Learning in a Random World*, 2005, section 4.5 (Mondrian): of
each action, right and wrong proposals are ranked apart, so that the rare kind is covered too.
"""

from collections.abc import Mapping, Sequence

import numpy as np

from flyball_proto.calibrations import Conformal
from flyball_proto.columns import F64, Column

NOBODY = Conformal()


def p_values(
    score: Column, right: Sequence[float], wrong: Sequence[float]
) -> tuple[Column, Column]:
    """p-values of "right" and of "wrong" for each score, f64 (p,) each, in (0, 1].

    Both sets are sorted. Without any row of a kind its p-value is 1: nothing speaks against it.
    """
    p_right = (1 + np.searchsorted(right, score, "right")) / (len(right) + 1)
    p_wrong = (1 + len(wrong) - np.searchsorted(wrong, score, "left")) / (len(wrong) + 1)
    return p_right, p_wrong


def by_action(
    score: Column, names: Sequence[str], index: Column, sets: Mapping[str, Conformal]
) -> tuple[Column, Column]:
    """p-values of "right" and of "wrong", f64 (p,); `index` u8 (p,) is 1 + the place in `names`."""
    p_right, p_wrong = np.ones(len(score)), np.ones(len(score))
    for number, name in enumerate(names, 1):
        rows = index == number
        if rows.any():
            found = sets.get(name, NOBODY)
            p_right[rows], p_wrong[rows] = p_values(score[rows], found.right, found.wrong)
    return p_right, p_wrong


def confidence(p_right: Column, p_wrong: Column) -> Column:
    """1 - the smaller p-value: how surely the other answer is ruled out, f64 (p,)."""
    return (1.0 - np.minimum(p_right, p_wrong)).astype(F64)


def credibility(p_right: Column, p_wrong: Column) -> Column:
    """The larger p-value: low = unlike anything that was labelled, f64 (p,)."""
    return np.maximum(p_right, p_wrong).astype(F64)
