"""Fits the probability of an error: weights by maximum a posteriori, then a monotone curve. Pure.

Logistic regression by Newton's method with a Gaussian prior; isotonic regression by pooling adjacent
violators (Zadrozny & Elkan, KDD 2002). Oracle in tests: scikit-learn.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from flyball_proto.columns import F64, Column
from flyball_risk.scoring.signals import SIGNALS

RIDGE: Final = 1.0
PRIOR: Final = np.array(
    [{"drift": 0.7, "stale": 0.7, "flawed": 0.2, "canary": 0.2}.get(name, 0.0) for name in SIGNALS]
)
"""Log-odds that a signal is worth until labels say otherwise: drift doubles the odds of an error."""

ITERATIONS: Final = 25
TOLERANCE: Final = 1e-8
BINS: Final = 32
PSEUDO_ROWS: Final = 4.0
"""Each bin of the curve begins with so many rows that err as the weights say."""
SLOPE: Final = 0.05
"""Of the weights' own probability in the curve, so that it rises everywhere and ranks all rows."""


@dataclass(frozen=True, slots=True)
class Fit:
    """Weights of the signals, and the curve: np.interp(sigmoid(signals @ weights + intercept), raw, error)."""

    weights: Column  # f64 (d,)
    intercept: float
    raw: Column  # f64 (k,)
    error: Column  # f64 (k,)

    def probability(self, signals: Column) -> Column:
        """Of an error, f64 (n,)."""
        return np.asarray(
            np.interp(sigmoid(signals @ self.weights + self.intercept), self.raw, self.error), F64
        )


def fit(signals: Column, wrong: Column, weight: Column) -> Fit:
    """Fit rows f64 (n, d) of both kinds; weights are scaled to the number of rows they are worth."""
    worth = weight * (weight.sum() / float(weight @ weight))
    weights, intercept = logistic(signals, wrong, worth, prior=PRIOR)
    raw = sigmoid(signals @ weights + intercept)
    knots, error = curve(raw, wrong, worth)
    return Fit(weights, intercept, knots, error)


def logistic(
    x: Column, y: Column, weight: Column, *, prior: Column, ridge: float = RIDGE
) -> tuple[Column, float]:
    """Weights f64 (d,) and intercept that minimise the weighted log loss + ridge/2 |w - prior|^2.

    The intercept is not penalised. Steps are halved while they make it worse.
    """
    design = np.column_stack([np.ones(len(x)), x])
    penalty = np.concatenate([[1e-6], np.full(x.shape[1], ridge)])
    centre = np.concatenate([[0.0], prior])
    share = np.clip(float(weight @ y) / float(weight.sum()), 1e-3, 1 - 1e-3)
    beta = np.concatenate([[np.log(share / (1 - share))], prior])

    def loss(at: Column) -> float:
        odds = design @ at
        return float(
            weight @ (np.logaddexp(0.0, odds) - y * odds) + 0.5 * penalty @ np.square(at - centre)
        )

    now = loss(beta)
    for _ in range(ITERATIONS):
        p = sigmoid(design @ beta)
        gradient = design.T @ (weight * (p - y)) + penalty * (beta - centre)
        hessian = (design * (weight * p * (1 - p))[:, None]).T @ design + np.diag(penalty)
        step, scale = np.linalg.solve(hessian, gradient), 1.0
        while scale > 1e-4 and (then := loss(beta - scale * step)) > now:
            scale /= 2
        beta, gained, now = beta - scale * step, now - then, min(now, then)
        if gained < TOLERANCE:
            break
    return beta[1:], float(beta[0])


def curve(raw: Column, wrong: Column, weight: Column) -> tuple[Column, Column]:
    """Knots of a rising curve from fitted to observed probability, at most `BINS` of them."""
    order = np.argsort(raw, kind="stable")
    bins = [part for part in np.array_split(order, min(BINS, len(order))) if len(part)]
    rows = np.array([weight[part].sum() for part in bins])
    x = np.array([weight[part] @ raw[part] for part in bins]) / rows
    failed = np.array([weight[part] @ wrong[part] for part in bins])
    y = pooled((failed + PSEUDO_ROWS * x) / (rows + PSEUDO_ROWS), rows + PSEUDO_ROWS)
    y = (1.0 - SLOPE) * y + SLOPE * x
    kept = np.concatenate([[True], np.diff(x) > 0])
    return x[kept], y[kept]


def pooled(y: Column, weight: Column) -> Column:
    """The closest values f64 (n,) that never fall, by weighted squares."""
    means: list[float] = []
    weights: list[float] = []
    sizes: list[int] = []
    for value, one in zip(y.tolist(), weight.tolist(), strict=True):
        mean, total, size = value, one, 1
        while means and means[-1] >= mean:
            before, heavy = means.pop(), weights.pop()
            mean = (mean * total + before * heavy) / (total + heavy)
            total, size = total + heavy, size + sizes.pop()
        means.append(mean)
        weights.append(total)
        sizes.append(size)
    return np.repeat(means, sizes)


def sigmoid(odds: Column) -> Column:
    """1 / (1 + exp(-odds)), f64 (n,)."""
    result: Column = 1.0 / (1.0 + np.exp(-np.clip(odds, -500.0, 500.0)))
    return result
