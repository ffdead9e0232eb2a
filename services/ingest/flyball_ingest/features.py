"""What a window of rows looks like to a model.

One pure function, `feature_rows`, serves the stream, the dataset builder and the tests. Everything
is computed from the window each time, in float64, and never carried on as running sums, so a row
does not depend on what was computed before it or beside it.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray
from typing_extensions import override

Floats = NDArray[np.float64]
Integers = NDArray[np.int64]
Flags = NDArray[np.bool_]

NEVER: Final = -(1 << 62)
"""Event time of a place in a window that holds no row."""

AGGREGATES: Final = ("last", "mean", "std", "min", "max", "slope")


@dataclass(frozen=True, slots=True)
class Block:
    """Aggregates over the last `rows` rows of some metrics.

    `outputs[aggregate]` = (which of `metrics` want it, their places in the feature row).
    """

    rows: int
    metrics: NDArray[np.intp]
    outputs: dict[str, tuple[NDArray[np.intp], NDArray[np.intp]]]


@dataclass(frozen=True, slots=True)
class FeaturePlan:
    """How feature rows are computed, compiled from a pipeline.

    Attributes:
        metrics: What a window holds, one column a metric.
        blocks: Aggregates by window length.
        width: Features a row, those of truth last: `feature_rows` leaves these NaN.
        look_back_ms: A row of the window older than this, relative to the newest, does not count.
        warm_up_rows: Rows that must count until a window gives features; at most `depth` are asked.
    """

    metrics: tuple[str, ...]
    blocks: tuple[Block, ...]
    width: int
    look_back_ms: int
    warm_up_rows: int = 1

    @property
    def depth(self) -> int:
        """Rows that a window holds; at least two, so that a gap before a row can be seen."""
        return max([2, *(block.rows for block in self.blocks)])


def inside_look_back(plan: FeaturePlan, times: Integers) -> Flags:
    """Which rows of each window count; (rows, depth) from event times, the newest last."""
    counts: Flags = times[:, -1:] - times <= plan.look_back_ms
    return counts


def feature_rows(plan: FeaturePlan, values: Floats, times: Integers) -> NDArray[np.float32]:
    """Features of each window, (rows, width); NaN where no value of the window counts.

    `values` is (rows, metrics, depth) with NaN for a value that was not measured, `times` (rows,
    depth) with `NEVER` for an empty place; the row itself stands last. `last` is the newest value
    that was measured, `std` the population's, `slope` the least-squares change per second (NaN
    below two values). A row of the result depends on its own window alone, to the bit.
    """
    if len(values) == 1:  # a lone row would be reduced along another axis: other last bits
        return feature_rows(plan, values.repeat(2, 0), times.repeat(2, 0))[:1]
    inside = np.ascontiguousarray(inside_look_back(plan, times).T)
    age_s = np.ascontiguousarray((times - times[:, -1:]).T / 1_000)
    # Rows innermost: each step of a reduction then adds one place of all windows at once, in the
    # same order for every row.
    places_first = np.ascontiguousarray(values.transpose(1, 2, 0))
    features = np.full((plan.width, len(values)), np.nan, np.float32)
    for block in plan.blocks:
        _fill(features, block, places_first, inside, age_s)
    return np.ascontiguousarray(features.T)


def _fill(
    features: NDArray[np.float32], block: Block, values: Floats, inside: Flags, age_s: Floats
) -> None:
    window = values[:, -block.rows :]
    if len(block.metrics) != len(values):
        window = window[block.metrics]
    with np.errstate(invalid="ignore", divide="ignore", over="ignore"):
        aggregates = _aggregates(window, inside[-block.rows :], age_s[-block.rows :])
        for name, (metrics, places) in block.outputs.items():
            rows: Floats = getattr(aggregates, name)()
            features[places] = rows if len(metrics) == len(window) else rows[metrics]


def _aggregates(window: Floats, inside: Flags, age_s: Floats) -> "_Aggregates":
    total = window.sum(1)
    if inside.all() and np.isfinite(total).all():
        return _Aggregates(window, age_s, total)
    return _Sparse(window, age_s, inside & ~np.isnan(window))


class _Aggregates:
    """Aggregates of windows without gaps, (metrics, rows) each; shares what several need.

    `window` is (metrics, depth, rows), `age_s` (depth, rows), negative.
    """

    def __init__(self, window: Floats, age_s: Floats, total: Floats) -> None:
        self._window, self._age_s = window, age_s
        self._mean = total / window.shape[1]
        self._found_deviation: Floats | None = None

    def last(self) -> Floats:
        found: Floats = self._window[:, -1]
        return found

    def mean(self) -> Floats:
        found: Floats = self._mean
        return found

    def std(self) -> Floats:
        deviation = self._deviation()
        found: Floats = np.sqrt((deviation * deviation).sum(1) / self._window.shape[1])
        return found

    def min(self) -> Floats:
        found: Floats = self._window.min(1)
        return found

    def max(self) -> Floats:
        found: Floats = self._window.max(1)
        return found

    def slope(self) -> Floats:
        distance = self._age_s - self._age_s.sum(0) / self._window.shape[1]
        found: Floats = (distance * self._deviation()).sum(1) / (distance * distance).sum(0)
        return found

    def _deviation(self) -> Floats:
        if self._found_deviation is None:
            self._found_deviation = self._window - self._mean[:, None]
        return self._found_deviation


class _Sparse(_Aggregates):
    """The same where some places of the windows do not count; equal to the bit where all do."""

    def __init__(self, window: Floats, age_s: Floats, known: Flags) -> None:
        self._window, self._known, self._age_s = window, known, age_s
        self._count = known.sum(1)
        self._mean = np.where(known, window, 0.0).sum(1) / self._count
        self._found_deviation = None

    @override
    def last(self) -> Floats:
        newest = self._known.shape[1] - 1 - self._known[:, ::-1].argmax(1)
        found = np.take_along_axis(self._window, newest[:, None], 1)[:, 0]
        return np.where(self._count > 0, found, np.nan)

    @override
    def std(self) -> Floats:
        deviation = self._deviation()
        found: Floats = np.sqrt((deviation * deviation).sum(1) / self._count)
        return found

    @override
    def min(self) -> Floats:
        found = np.where(self._known, self._window, np.inf).min(1)
        return np.where(self._count > 0, found, np.nan)

    @override
    def max(self) -> Floats:
        found = np.where(self._known, self._window, -np.inf).max(1)
        return np.where(self._count > 0, found, np.nan)

    @override
    def slope(self) -> Floats:
        mean_age_s = np.where(self._known, self._age_s, 0.0).sum(1) / self._count
        distance = np.where(self._known, self._age_s - mean_age_s[:, None], 0.0)
        found = (distance * self._deviation()).sum(1) / (distance * distance).sum(1)
        return np.where(self._count > 1, found, np.nan)

    @override
    def _deviation(self) -> Floats:
        if self._found_deviation is None:
            change = self._window - self._mean[:, None]
            self._found_deviation = np.where(self._known, change, 0.0)
        return self._found_deviation
