"""Seat zero: the guess that needs no learning, as an ONNX model like any other.

    regression, agg(metric)       the metric's last value
    regression, agg(metric) - own 0: nothing changes
    binary, agg(metric) OP c      logistic((last - c) / scale), sign by OP; scale = 5 % of the metric's
                                  range, without a range 5 % of |c|, at least 0.05
    binary, agg(metric) - own OP c  the same of a change of 0, a constant
    feedback, regression          the newest truth that had arrived, the feature `@truth.lag.1`
    feedback, binary              0.5 + 0.35 * (2 * truth - 1) of the same: 0.15 or 0.85
    feedback, multiclass          0.85 for the class that was true last, the rest shared by the others
    feedback without that feature, or a target that is known at once: a constant

The last value is the feature `<metric>.last`; without it the mean over the smallest window; without
that the prior. The prior also stands in for a missing value: 0.5 for binary, the middle of the range
(0 without one) for regression, 1 / classes for multiclass.
"""

import math
from dataclasses import dataclass
from typing import Final

from flyball_proto.spec import (
    BASELINE,
    TRUTH,
    Comparison,
    Feature,
    Pipeline,
    Source,
    feature_digest,
    feature_plan,
)

SCALE_RATIO: Final = 0.05
MIN_SCALE: Final = 0.05
CONFIDENCE: Final = 0.35
"""How far from 0.5 the baseline of a binary feedback target trusts the newest truth."""
TRAINER: Final = BASELINE


@dataclass(frozen=True, slots=True)
class Logistic:
    """`1 / (1 + exp(-slope * (x - centre)))`."""

    centre: float
    slope: float

    def __call__(self, value: float) -> float:
        """The same by hand, for constants and tests."""
        return 0.5 * (1 + math.tanh(0.5 * self.slope * (value - self.centre)))


@dataclass(frozen=True, slots=True)
class Repeated:
    """`0.5 + confidence * (2 * truth - 1)`; a truth beyond 0 and 1 counts as the nearer of them.

    Of k classes the true one gets `0.5 + confidence`, the others share what is left.
    """

    confidence: float

    def __call__(self, truth: float) -> float:
        """The same by hand, for tests."""
        return 0.5 + self.confidence * (2 * min(max(truth, 0.0), 1.0) - 1)


@dataclass(frozen=True, slots=True)
class Guess:
    """What the baseline says of a row.

    `column` None: always `prior`. Otherwise of the feature there, through `logistic` or `repeated`
    if there is one, and `prior` where it is missing.
    """

    prior: float
    column: int | None = None
    logistic: Logistic | None = None
    repeated: Repeated | None = None


@dataclass(frozen=True, slots=True)
class Baseline:
    """A baseline before it is written down."""

    pipeline: str
    task: str
    feature_digest: str
    features: tuple[str, ...]
    guess: Guess
    classes: tuple[str, ...] = ()
    """Of a multiclass target, in score order: a guess is made of each."""


def baseline(pipeline: Pipeline, source: Source) -> Baseline:
    """The baseline of a pipeline; the same specification gives the same one."""
    plan = feature_plan(pipeline, source)
    return Baseline(
        pipeline.name,
        pipeline.spec.target.task,
        feature_digest(pipeline, source),
        tuple(feature.name for feature in plan),
        guess(pipeline, source, plan),
        pipeline.spec.target.classes,
    )


def guess(pipeline: Pipeline, source: Source, plan: tuple[Feature, ...]) -> Guess:
    """What can be said without having learnt anything."""
    target = pipeline.spec.target
    parsed = target.parsed
    if parsed is None:
        return _of_feedback(target.task, len(target.classes), plan)
    bounds = _range(source, parsed.metric)
    column = _column(plan, parsed.metric)
    if parsed.comparison is not None:
        logistic = _logistic(parsed.comparison, bounds)
        if parsed.minus_own:
            return Guess(logistic(0.0))
        return Guess(0.5, column, logistic)
    if parsed.minus_own:
        return Guess(0.0)
    return Guess((bounds[0] + bounds[1]) / 2 if bounds else 0.0, column)


def _of_feedback(task: str, classes: int, plan: tuple[Feature, ...]) -> Guess:
    prior = {"binary": 0.5, "multiclass": 1 / max(classes, 1)}.get(task, 0.0)
    newest = (TRUTH, "lag", 1)
    columns = [i for i, f in enumerate(plan) if (f.metric, f.aggregate, f.window_rows) == newest]
    if not columns:
        return Guess(prior)
    return Guess(prior, columns[0], repeated=Repeated(CONFIDENCE) if task != "regression" else None)


def _range(source: Source, metric: str) -> tuple[float, float] | None:
    declared = source.metric(metric)
    return declared.range if declared else None


def _column(plan: tuple[Feature, ...], metric: str) -> int | None:
    """The feature closest to the metric's value now."""
    candidates = [
        (f.aggregate != "last", f.window_rows, i)
        for i, f in enumerate(plan)
        if f.metric == metric and f.aggregate in ("last", "mean")
    ]
    return min(candidates)[2] if candidates else None


def _logistic(comparison: Comparison, bounds: tuple[float, float] | None) -> Logistic:
    centre = comparison.threshold
    width = bounds[1] - bounds[0] if bounds else max(abs(centre), MIN_SCALE / SCALE_RATIO)
    sign = 1 if comparison.operator in (">", ">=") else -1
    return Logistic(centre, sign / (SCALE_RATIO * width))
