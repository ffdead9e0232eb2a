"""Measures of scores from sums over rows: loss, accuracy, precision, recall, confusion, calibration.

Numbers of one row of sums, all weighted but the first two:

    rows, rows without a finite score, weight, loss, right answers
    by class     weight by truth and answer (k * k); of more classes than `MAX_MATRIX` only weight by
                 truth, by answer, and of right answers (3 * k)
    10 bins      rows, weight, score, came      binary: score and label; multiclass: the probability
                                                of the answer and whether it was right

A row without a finite score has loss 1 and a wrong answer, but stands in no class and no bin; a
regression leaves it out. The bins are (0, 0.1], (0.1, 0.2], ..., the first one with 0, as in
scikit-learn's `calibration_curve`; the calibration error is the mean distance of both sides of a
bin, by weight (Naeini, Cooper & Hauskrecht, AAAI 2015).
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

import numpy as np

from flyball_proto.progress import Bin, Measures
from flyball_registry.evidence.design import Flags, Floats, Integers, Task
from flyball_registry.evidence.losses import saturate, truths

Numbers = tuple[float, ...]

BINS: Final = 10
EDGES: Final = np.linspace(0.0, 1.0, BINS + 1)[1:-1]
MAX_MATRIX: Final = 12
MAX_LEAN_MATRIX: Final = 4
ROWS, NOT_FINITE, WEIGHT, LOSS, RIGHT = range(5)
FIRST: Final = 5
"""Numbers before those by class."""


@dataclass(frozen=True, slots=True)
class Entries:
    """What each row adds: `value` (n, m) to the numbers `index` (n, m), of `width` numbers."""

    index: Integers
    value: Floats
    width: int

    def take(self, chosen: Integers) -> "Entries":
        """Of some of the rows, also more than once."""
        return Entries(self.index[chosen], self.value[chosen], self.width)


def added(before: Sequence[Numbers], entries: Entries, group: Integers) -> list[Numbers]:
    """Each of the sums with the rows of its group (n,), in order: numpy's `sum` would show cuts."""
    sums = np.zeros((len(before), entries.width))
    for row, numbers in zip(sums, before, strict=True):
        row[: len(numbers)] = numbers
    index = entries.index + group[:, None] * entries.width
    np.add.at(sums.reshape(-1), index.reshape(-1), entries.value.reshape(-1))
    return [tuple(row) for row in sums.tolist()]


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the sums stand. `classes` 0 = regression; lean = no bins, and few classes."""

    classes: int
    is_matrix: bool
    by_class: int
    bins: int

    @staticmethod
    def of(task: Task, classes: int, *, lean: bool = False) -> "Layout":
        """For a task of so many classes; those of binary and regression are known."""
        k = {"binary": 2, "regression": 0}.get(task, classes)
        if k > MAX_MATRIX:
            return Layout(
                k, is_matrix=False, by_class=0 if lean else 3 * k, bins=0 if lean else BINS
            )
        by_class = 0 if lean and k > MAX_LEAN_MATRIX else k * k
        return Layout(k, is_matrix=True, by_class=by_class, bins=0 if lean or not k else BINS)

    @property
    def width(self) -> int:
        """How many numbers."""
        return FIRST + self.by_class + 4 * self.bins

    def entries(self, weight: Floats, label: Floats, score: Floats, error: Floats) -> Entries:
        """What rows add: (n,) each, `score` of multiclass (n, k); `error` as in losses.py."""
        finite = np.isfinite(error)
        if not self.classes:
            counts = finite.astype(np.float64)
            loss = np.where(finite, error, 0.0)
            columns = [counts, ~finite, weight * counts, weight * loss, np.zeros(len(weight))]
            return self._of([(at, values) for at, values in enumerate(columns)], len(weight))
        truth = truths(label, self.classes)
        answer, sure = _answers(score, finite)
        right = finite & (answer == truth)
        parts: list[tuple[Integers | int, Floats | Flags]] = [
            (ROWS, np.ones(len(weight))),
            (NOT_FINITE, ~finite),
            (WEIGHT, weight),
            (LOSS, weight * saturate(error, 1.0)),
            (RIGHT, weight * right),
        ]
        known = np.where(finite & (truth >= 0), weight, 0.0)
        if self.by_class:
            parts += self._classes(np.maximum(truth, 0), answer, known)
        if self.bins:
            came = right if score.ndim > 1 else truth == 1
            parts += self._bins(sure, came, np.where(finite, weight, 0.0), finite)
        return self._of(parts, len(weight))

    def _classes(
        self, truth: Integers, answer: Integers, weight: Floats
    ) -> list[tuple[Integers | int, Floats | Flags]]:
        k = self.classes
        if self.is_matrix:
            return [(FIRST + truth * k + answer, weight)]
        right = weight * (truth == answer)
        return [
            (FIRST + truth, weight),
            (FIRST + k + answer, weight),
            (FIRST + 2 * k + truth, right),
        ]

    def _bins(
        self, sure: Floats, came: Flags, weight: Floats, counts: Flags
    ) -> list[tuple[Integers | int, Floats | Flags]]:
        at = FIRST + self.by_class + 4 * np.searchsorted(EDGES, sure)
        return [(at, counts), (at + 1, weight), (at + 2, weight * sure), (at + 3, weight * came)]

    def _of(self, parts: list[tuple[Integers | int, Floats | Flags]], rows: int) -> Entries:
        index = np.empty((rows, len(parts)), np.int64)
        value = np.empty((rows, len(parts)), np.float64)
        for column, (at, values) in enumerate(parts):
            index[:, column], value[:, column] = at, values
        return Entries(index, value, self.width)


def begun(numbers: Numbers, layout: Layout) -> bool:
    """Whether these are sums of this layout, perhaps without those by class and bin as yet."""
    return len(numbers) in {0, FIRST, layout.width}


def measures(numbers: Numbers, layout: Layout) -> Measures:
    """What the sums say; no rows = all None."""
    if not numbers or not numbers[ROWS] or not numbers[WEIGHT]:
        return Measures()
    sums = np.array(numbers)
    by_class = sums[FIRST : FIRST + layout.by_class]
    bins = sums[FIRST + layout.by_class :].reshape(-1, 4)
    precision, recall = _precision_and_recall(by_class, layout)
    k = layout.classes
    matrix = by_class.reshape(k, k).tolist() if layout.is_matrix and by_class.size else ()
    filled = bins[bins[:, 1] > 0]
    return Measures(
        rows=int(sums[ROWS]),
        loss=float(sums[LOSS] / sums[WEIGHT]),
        accuracy=float(sums[RIGHT] / sums[WEIGHT]) if k else None,
        precision=precision,
        recall=recall,
        confusion=tuple(map(tuple, matrix)),
        calibration_error=_calibration_error(filled),
        calibration=tuple(
            Bin(rows=int(rows), said=said / weight, came=came / weight)
            for rows, weight, said, came in filled.tolist()
        ),
    )


def _answers(score: Floats, finite: Flags) -> tuple[Integers, Floats]:
    """The class that is answered, and what was said of it (binary: of class 1); 0 without a number."""
    if score.ndim > 1:
        sound = np.where(finite[:, None], score, 0.0)
        return sound.argmax(axis=1), sound.max(axis=1, initial=0.0)
    sound = np.where(finite, score, 0.0)
    return (sound >= 0.5).astype(np.int64), sound


def _precision_and_recall(by_class: Floats, layout: Layout) -> tuple[float | None, float | None]:
    """Of class 1 when binary, None where nothing was answered or true; else the mean over classes.

    A class that was never answered, or never true, counts 0 there, one that was neither is left out.
    """
    k = layout.classes
    if not by_class.size or not by_class.sum():
        return None, None
    if layout.is_matrix:
        matrix = by_class.reshape(k, k)
        truth, answer, right = matrix.sum(axis=1), matrix.sum(axis=0), np.diag(matrix)
    else:
        truth, answer, right = by_class.reshape(3, k)
    if k == 2:
        return _ratio(right[1], answer[1]), _ratio(right[1], truth[1])
    seen = (truth > 0) | (answer > 0)
    return _mean_ratio(right[seen], answer[seen]), _mean_ratio(right[seen], truth[seen])


def _ratio(part: float, whole: float) -> float | None:
    return float(part / whole) if whole else None


def _mean_ratio(part: Floats, whole: Floats) -> float:
    ratios = np.divide(part, whole, out=np.zeros(len(part)), where=whole > 0)
    return float(ratios.mean())


def _calibration_error(bins: Floats) -> float | None:
    """Over bins with rows: rows, weight, score, came."""
    if not len(bins):
        return None
    return float(np.abs(bins[:, 2] - bins[:, 3]).sum() / bins[:, 1].sum())
