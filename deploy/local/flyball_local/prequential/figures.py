"""Labelled decisions, and the figures over them. Pure.

Censored rows count nowhere; a row that was left alone at random stands for all like it, by its
weight. All figures are over the same rows: those behind the first fifth.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal

import numpy as np
from numpy.typing import NDArray

from flyball_proto.columns import Column
from flyball_proto.spec import BASELINE

FIRST_SHARE: Final = 0.2
"""Rows that a first model may have learnt from; what is compared comes behind them."""

Task = Literal["binary", "regression", "multiclass"]
Floats = NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Figures:
    """Mean Brier score or absolute error, and where there are classes the accuracy.

    The Brier score of several classes is halved, so that it lies between 0 and 1.
    """

    value: float
    accuracy: float | None

    def as_json(self) -> dict[str, float | None]:
        """As it stands in the object of a replay."""
        accuracy = None if self.accuracy is None else round(self.accuracy, 6)
        return {"value": round(self.value, 6), "accuracy": accuracy}


@dataclass(frozen=True, slots=True)
class Candidate:
    """A model that was admitted, and from which METRICS sequence on its trainer answers with it."""

    digest: str
    trainer: str
    trained_through_ms: int
    valid_from: Mapping[int, int]


@dataclass(frozen=True, slots=True)
class Evidence:
    """n labelled, uncensored decisions in order of event time, then METRICS sequence."""

    task: Task
    feature: Column  # f32 (n, width)
    label: Column  # f64 (n,)
    weight: Column  # f64 (n,)
    score: Column  # f64 (n,), as decided; of several classes that of one of them
    time_ms: Column  # i64 (n,)
    sequence: Column  # u64 (n,)
    partition: Column  # u16 (n,)
    model: Column = field(default_factory=lambda: np.empty(0, object))
    """Digests (n,) of the models that decided; needed for several classes alone."""

    def __len__(self) -> int:
        return len(self.label)

    @property
    def first_rows(self) -> int:
        """How many rows the first fifth has."""
        return int(len(self) * FIRST_SHARE)

    def figures(self, score: Column, behind: int) -> Figures | None:
        """Figures of scores f64 (n,), (n, classes) for several classes, of the rows from `behind` on.

        None when there are none.
        """
        label, weight = self.label[behind:], self.weight[behind:]
        if not len(label):
            return None
        said = np.asarray(score[behind:], np.float64)
        if self.task == "multiclass":
            truth = label.astype(np.int64)
            wanted = np.arange(said.shape[1]) == truth[:, None]
            known = np.isfinite(said).all(1)
            loss = np.where(known, ((said - wanted) ** 2).sum(1) / 2, 1.0)
            right = known & (said.argmax(1) == truth)
            return Figures(
                float(np.average(loss, weights=weight)), float(np.average(right, weights=weight))
            )
        if self.task == "regression":
            loss = np.where(np.isfinite(said), np.abs(label - said), np.abs(label))
            return Figures(float(np.average(loss, weights=weight)), None)
        loss = np.where(np.isfinite(said), (label - said) ** 2, 1.0)
        right = (said > 0.5) == (label > 0.5)
        return Figures(
            float(np.average(loss, weights=weight)), float(np.average(right, weights=weight))
        )


@dataclass(frozen=True, slots=True)
class Comparison:
    """The decisions taken beside three ways not to need this loop."""

    task: Task
    rows: int
    trainer: str | None
    loop: Figures | None
    whole: Figures | None
    persistence: Figures | None
    first_model: Figures | None
    ungated_retraining: Figures | None

    def as_json(self) -> dict[str, Any]:
        """`prequential` of a replay's object."""
        loop = self.loop.as_json() if self.loop else {"value": None, "accuracy": None}
        return {
            "metric": "absolute_error" if self.task == "regression" else "brier",
            **loop,
            "rows": self.rows,
            "trainer": self.trainer,
            "whole": self.whole.as_json() if self.whole else None,
            "baseline": {
                "persistence": self.persistence.as_json() if self.persistence else None,
                "first_model": self.first_model.as_json() if self.first_model else None,
                "ungated_retraining": (
                    self.ungated_retraining.as_json() if self.ungated_retraining else None
                ),
            },
        }


def first_model(candidates: Sequence[Candidate], trainer: str, until_ms: int) -> Candidate | None:
    """The trainer's newest model that had learnt from nothing later than `until_ms`."""
    early = [c for c in candidates if c.trainer == trainer and c.trained_through_ms <= until_ms]
    return max(early, key=lambda c: c.trained_through_ms, default=None)


def reigns(candidates: Sequence[Candidate], trainer: str, rows: Evidence) -> NDArray[np.int64]:
    """Place in `candidates` of the trainer's newest model at each row i64 (n,); -1 = none yet."""
    found = np.full(len(rows), -1, np.int64)
    for partition in np.unique(rows.partition).tolist():
        own = sorted(
            (c.valid_from.get(partition, 0), c.trained_through_ms, i)
            for i, c in enumerate(candidates)
            if c.trainer == trainer
        )
        at = np.flatnonzero(rows.partition == partition)
        begins = np.array([begin for begin, _, _ in own], np.uint64)
        newest = np.searchsorted(begins, rows.sequence[at], side="left") - 1
        places = np.array([i for _, _, i in own] or [-1], np.int64)
        found[at] = np.where(newest >= 0, places[np.maximum(newest, 0)], -1)
    return found


def learnt(candidates: Sequence[Candidate]) -> list[str]:
    """Trainers with a model, without the baseline."""
    return sorted({c.trainer for c in candidates if c.trainer != BASELINE})
