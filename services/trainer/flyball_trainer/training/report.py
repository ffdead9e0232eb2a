"""What a model does on rows that it has not seen, as plain values for report.json, version 2.

Losses are weighted by the rows' weights. Conformal quantiles: the error that a further row of the
same kind exceeds with a probability of at most 1 - level (Lei et al. 2018, split conformal);
with classes also by class (Vovk et al. 2005, Mondrian). The error of a class's row is 1 - the
probability that was given to its class.

    holdout       rows, from_ms, metric, and `progress.Measures` of all rows
    training      rows
    slices        by label and value: measures, share of rows and of all error; `worst` the worst ones
    outliers      the rows with the largest losses
    conformal     quantiles of the error: all, and by class
    novelty       what each feature looked like in the training
    importance    features by their share, largest first
    leakage       features that say too much alone
"""

import math
from dataclasses import dataclass
from typing import Any, Final

import numpy as np

from flyball_proto.columns import F64, Column
from flyball_trainer.training import leakage
from flyball_trainer.training.measures import Question, measures
from flyball_trainer.training.slicing import outliers, slices, worst
from flyball_trainer.training.split import Split

LEVELS: Final = (0.5, 0.8, 0.9, 0.95, 0.99)
FEW_ROWS: Final = 50
BADLY: Final = 3.0
"""A slice whose loss is so many times that of all rows, with `FEW_ROWS` or more, is warned of."""

Report = dict[str, Any]


@dataclass(frozen=True, slots=True, eq=False)
class Asked:
    """What a model was asked: its question, its features, and how much it makes of each."""

    question: Question
    features: tuple[str, ...]
    importance: Column | None = None  # f64 (width,), >= 0, sums to 1 or is all 0

    @staticmethod
    def of(
        task: str,
        features: tuple[str, ...],
        classes: tuple[str, ...] = (),
        importance: Column | None = None,
    ) -> "Asked":
        """By a task and its classes."""
        return Asked(Question.of(task, classes), features, importance)


def holdout_report(split: Split, scores: Column, asked: Asked) -> Report:
    """The report on `scores` f64 (n, outputs) of the holdout's n > 0 rows; strict JSON without NaN."""
    held, question = split.holdout, asked.question
    whole = measures(question, held.label, scores, held.weight)
    told = slices(question, held, scores)
    said: Report = {
        "version": 2,
        "holdout": {"from_ms": split.holdout_from_ms, "metric": question.metric, **whole},
        "training": {"rows": len(split.training)},
        "classes": list(question.classes),
        "slices": told,
        "worst": worst(told, whole["loss"]),
        "outliers": outliers(question, held, scores),
        "conformal": _conformal(question, held.label, scores),
        "novelty": _novelty(split.training.feature, asked.features),
        "importance": _importance(asked),
        "leakage": [
            suspect._asdict()
            for suspect in leakage.suspects(split.training, asked.features, question)
        ],
    }
    if question.task == "binary":
        said["holdout"]["positives"] = int(held.label.sum())
    return said


def warnings(split: Split, report: Report, asked: Asked) -> list[str]:
    """What a person should know of the data and of the model, one sentence each."""
    question, held = asked.question, split.holdout
    found = [leakage.Suspect(**suspect) for suspect in report["leakage"]]
    said = leakage.warnings(split.training, held, found)
    if question.classes and (missing := len(question.classes) - len(np.unique(held.label))):
        absent = sorted(set(range(len(question.classes))) - set(held.label.astype(int).tolist()))
        names = ", ".join(question.classes[i] for i in absent[:5])
        said.append(
            f"{missing} of {len(question.classes)} classes ({names}) have no row in the holdout: "
            "nothing is known yet of how good the model is on them"
        )
    for entry in report["worst"][:1]:
        if entry["rows"] >= FEW_ROWS and entry["times"] >= BADLY:
            said.append(
                f"where {entry['label']} is {entry['value']} the loss is {entry['times']:.1f} times "
                f"that of all rows ({entry['rows']} rows, {entry['share_of_error']:.0%} of all error)"
            )
    return said


def _conformal(question: Question, label: Column, scores: Column) -> Report:
    error = question.errors(label, scores)
    said: Report = {"all": _quantiles(error)}
    for number, name in enumerate(question.classes):
        said[f"class {name}"] = _quantiles(error[label == number])
    return said


def _quantiles(error: Column) -> list[Report]:
    """One entry a level; `error` is None where there are too few rows to say so much."""
    ordered = np.sort(error)
    count = len(ordered)
    found: list[Report] = []
    for level in LEVELS:
        rank = math.ceil((count + 1) * level)
        value = float(ordered[rank - 1]) if rank <= count else None
        found.append({"level": level, "error": value, "rows": count})
    return found


def _importance(asked: Asked) -> list[Report]:
    if asked.importance is None:
        return []
    order = np.argsort(-asked.importance, kind="stable").tolist()
    return [{"feature": asked.features[i], "share": float(asked.importance[i])} for i in order]


def _novelty(feature: Column, names: tuple[str, ...]) -> list[Report]:
    """Mean, standard deviation and share of missing values of each feature, finite values alone."""
    value = feature.astype(F64)
    known = np.isfinite(value)
    count = known.sum(axis=0)
    some = np.maximum(count, 1)
    mean = np.where(known, value, 0.0).sum(axis=0) / some
    centred = np.where(known, value, mean) - mean
    deviation = np.sqrt((centred * centred).sum(axis=0) / some)
    missing = np.isnan(value).mean(axis=0)
    return [
        {
            "feature": name,
            "mean": float(mean[i]) if count[i] else None,
            "std": float(deviation[i]) if count[i] else None,
            "missing": float(missing[i]),
        }
        for i, name in enumerate(names)
    ]
