"""From labelled proposals to what a calibration says of them: conformal sets, weights, the cut-off. Pure.

Each drawn row is assessed by a fit to the other folds of event time, as a new row is by a fit that
has not seen it; else the cut-off would be chosen on what the weights were fitted to.
"""

from collections.abc import Mapping
from typing import Any, Final

import numpy as np

from flyball_proto.calibrations import MAX_SCORES, Conformal
from flyball_proto.columns import F64, Column
from flyball_risk.calibrating.fitting import Fit, fit
from flyball_risk.calibrating.labelled import Names, proposed
from flyball_risk.scoring.conformal import credibility
from flyball_risk.scoring.signals import SIGNALS, signals

LEAST: Final = 20
"""Rows that were right, and that were wrong, without which weights are not fitted."""

FOLDS: Final = 3


def conformal_sets(rows: Column, names: Names) -> dict[str, Conformal]:
    """Of each action the scores of right and of wrong rows, thinned to `MAX_SCORES` quantiles."""
    return {
        name: Conformal(
            right=_thinned(rows[mine & ~rows["wrong"]]), wrong=_thinned(rows[mine & rows["wrong"]])
        )
        for place, name in enumerate(names.actions)
        if (mine := rows["action"] == place).any()
    }


def signals_of(
    rows: Column, names: Names, sets: Mapping[str, Conformal], *, is_probability: bool
) -> Column:
    """Signals of rows that are in the sets, f64 (n, 10): each row's p-values leave itself out."""
    p_right, p_wrong = np.ones(len(rows)), np.ones(len(rows))
    for place, name in enumerate(names.actions):
        mine = rows["action"] == place
        if name in sets and mine.any():
            score, wrong = rows["score"][mine].astype(F64), rows["wrong"][mine]
            p_right[mine] = _left_out(-score, -np.array(sets[name].right[::-1]), ~wrong)
            p_wrong[mine] = _left_out(score, np.array(sets[name].wrong), wrong)
    return signals(
        proposed(rows, names),
        p_wrong,
        credibility(p_right, p_wrong),
        drifted=rows["drifted"],
        is_probability=is_probability,
    )


def fitted(found: Column, rows: Column) -> Fit | None:
    """Weights for signals f64 (n, 10) of these rows; None = too few of a kind."""
    wrong = int(rows["wrong"].sum())
    if min(wrong, len(rows) - wrong) < LEAST:
        return None
    return fit(found, rows["wrong"].astype(F64), rows["weight"].astype(F64))


def crossed(found: Column, rows: Column, *, stretch_ms: int) -> Column | None:
    """Probability of an error of each row by a fit to the other folds, f64 (n,).

    A fold is every third stretch of event time. None = some fold's others are too few.
    """
    error = np.empty(len(rows))
    folds = rows["time_ms"] // stretch_ms % FOLDS
    for number in range(FOLDS):
        mine = folds == number
        if not mine.any():
            continue
        others = fitted(found[~mine], rows[~mine])
        if others is None:
            return None
        error[mine] = others.probability(found[mine])
    return error


def told(fit: Fit) -> dict[str, Any]:
    """Fields of a `Calibration`."""
    return {
        "weights": dict(zip(SIGNALS, (round(float(w), 6) for w in fit.weights), strict=True)),
        "intercept": round(fit.intercept, 6),
        "raw": tuple(round(float(value), 9) for value in fit.raw),
        "error": tuple(round(float(value), 9) for value in fit.error),
    }


def _thinned(rows: Column) -> tuple[float, ...]:
    """Sorted scores; quantiles of them when there are many, or when they weigh unequally.

    As many as the weighted rows are worth (Kish): (sum w)^2 / sum w^2.
    """
    order = np.argsort(rows["score"], kind="stable")
    score, weight = rows["score"][order].astype(F64), rows["weight"][order].astype(F64)
    score, weight = score[np.isfinite(score)], weight[np.isfinite(score)]
    if not len(score):
        return ()
    worth = int(weight.sum() ** 2 / float(weight @ weight) + 1e-6)
    size = max(1, min(MAX_SCORES, worth))
    if size < len(score):
        reached = (np.cumsum(weight) - weight / 2) / weight.sum()
        score = np.interp((np.arange(size) + 0.5) / size, reached, score)
    return tuple(round(float(value), 6) for value in score)


def _left_out(score: Column, among: Column, member: Column) -> Column:
    """p-values (1 + #{among >= score}) / (n + 1); of members, which are in it, without themselves."""
    above, n = len(among) - np.searchsorted(among, np.round(score, 6), "left"), len(among)
    own: Column = np.where(member, np.maximum(above, 1) / max(1, n), (1 + above) / (n + 1))
    return own
