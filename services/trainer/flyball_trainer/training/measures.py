"""How good scores are on labelled rows, as plain values; everything is weighted by the rows' weights.

Binary: Brier loss. Multiclass: Brier loss divided by 2, so that it lies in [0, 1]. Regression:
absolute error. The calibration error is the expected one over ten bins of equal width (Naeini et al.
2015); for multiclass it is about the class that was answered (Guo et al. 2017).
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from flyball_proto.columns import F64, I64, Column

BINS: Final = 10

Values = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Question:
    """What scores answer: a task, and the names of its classes, none for regression."""

    task: str
    classes: tuple[str, ...] = ()

    @staticmethod
    def of(task: str, classes: tuple[str, ...]) -> "Question":
        """A binary target has the classes 0 and 1."""
        return Question(task, ("0", "1") if task == "binary" else classes)

    @property
    def metric(self) -> str:
        """The name of the loss."""
        return "absolute_error" if self.task == "regression" else "brier"

    def losses(self, label: Column, scores: Column) -> Column:
        """f64 (n,) of labels f64 (n,) and scores f64 (n, outputs)."""
        if self.task != "multiclass":
            error: Column = np.abs(label - scores[:, 0])
            return error if self.task == "regression" else error * error
        apart = scores - np.eye(scores.shape[1])[label.astype(I64)]
        said: Column = (apart * apart).sum(axis=1) / 2
        return said

    def errors(self, label: Column, scores: Column) -> Column:
        """f64 (n,): how far the truth is from being said; with classes, 1 - its probability."""
        found: Column = np.abs(label - scores[:, 0])
        if self.task == "multiclass":
            found = 1 - np.take_along_axis(scores, label.astype(I64)[:, None], axis=1)[:, 0]
        return found

    def answers(self, scores: Column) -> Column:
        """i64 (n,): the class that is said, with a threshold of one half where there are two."""
        several = self.task == "multiclass"
        found: Column = np.argmax(scores, axis=1) if several else scores[:, 0] >= 0.5
        return found.astype(I64)


def measures(question: Question, label: Column, scores: Column, weight: Column) -> Values:
    """Rows, loss and, with classes, accuracy, precision, recall, confusion and calibration.

    Without rows only their number is said. Names and meanings are those of `progress.Measures`.
    """
    if not len(label):
        return {"rows": 0}
    said: Values = {"rows": len(label), "loss": mean(question.losses(label, scores), weight)}
    if question.task == "regression":
        bias = mean(scores[:, 0] - label, weight)
        return said | {"bias": bias, "rmse": _root(scores[:, 0] - label, weight)}
    confusion = confusion_of(question, label, scores, weight)
    said["accuracy"] = float(np.trace(confusion) / confusion.sum())
    said["precision"] = _share(confusion, confusion.sum(axis=0), question.task)
    said["recall"] = _share(confusion, confusion.sum(axis=1), question.task)
    said["confusion"] = confusion.tolist()
    return said | calibration(question, label, scores, weight)


def mean(values: Column, weight: Column) -> float:
    """Weighted."""
    return float(np.average(values, weights=weight))


def confusion_of(question: Question, label: Column, scores: Column, weight: Column) -> Column:
    """f64 (classes, classes): weight of rows by truth (rows) and answer (columns)."""
    count = len(question.classes)
    found = np.zeros((count, count), F64)
    np.add.at(found, (label.astype(I64), question.answers(scores)), weight)
    return found


def calibration(question: Question, label: Column, scores: Column, weight: Column) -> Values:
    """What was said and what came, by bins; empty bins are left out."""
    if question.task == "multiclass":
        said, came = scores.max(axis=1), (question.answers(scores) == label).astype(F64)
    else:
        said, came = scores[:, 0], label
    place = np.clip((said * BINS).astype(I64), 0, BINS - 1)
    bins, error = [], 0.0
    for number in np.unique(place).tolist():
        chosen = place == number
        inside = {
            "said": mean(said[chosen], weight[chosen]),
            "came": mean(came[chosen], weight[chosen]),
        }
        bins.append({"rows": int(chosen.sum()), **inside})
        error += float(weight[chosen].sum() / weight.sum()) * abs(inside["said"] - inside["came"])
    return {"calibration": bins, "calibration_error": error}


def _root(error: Column, weight: Column) -> float:
    """Root of the mean square, also of numbers whose squares are too large."""
    largest = float(np.abs(error).max()) or 1.0
    return largest * math.sqrt(mean((error / largest) ** 2, weight))


def _share(confusion: Column, whole: Column, task: str) -> float | None:
    """Of class 1, or the mean over classes; None where there is nothing to share."""
    right = np.diag(confusion)
    there = whole > 0
    if task == "binary":
        return float(right[1] / whole[1]) if there[1] else None
    return float((right[there] / whole[there]).mean()) if there.any() else None
