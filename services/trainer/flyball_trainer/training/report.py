"""What a model does on rows that it has not seen, as plain values for report.json.

Losses are weighted by the rows' weights. Conformal quantiles: the error that a further row of the
same kind exceeds with a probability of at most 1 - level (Lei et al. 2018, split conformal);
for binary models also by class (Vovk et al. 2005, Mondrian).
"""

import json
import math
from typing import Any, Final

import numpy as np

from flyball_proto.columns import F64, Column
from flyball_trainer.rows import TrainingRows
from flyball_trainer.training.split import Split

LEVELS: Final = (0.5, 0.8, 0.9, 0.95, 0.99)
MAX_SLICES: Final = 100

Report = dict[str, Any]


def holdout_report(split: Split, scores: Column, task: str, features: tuple[str, ...]) -> Report:
    """The report on `scores` f64 (n,) of the holdout's n > 0 rows; strict JSON, nothing in it is NaN."""
    holdout = split.holdout
    error = np.abs(holdout.label - scores)
    loss = error * error if task == "binary" else error
    said: Report = {
        "version": 1,
        "holdout": {
            "rows": len(holdout),
            "from_ms": split.holdout_from_ms,
            "metric": "brier" if task == "binary" else "absolute_error",
            "loss": _mean(loss, holdout.weight),
        },
        "training": {"rows": len(split.training)},
        "slices": _slices(holdout, loss),
        "calibration": {"all": _quantiles(error)},
        "novelty": _novelty(split.training.feature, features),
    }
    if task == "binary":
        right = (scores >= 0.5) == (holdout.label >= 0.5)
        said["holdout"]["accuracy"] = _mean(right.astype(F64), holdout.weight)
        said["holdout"]["positives"] = int(holdout.label.sum())
        for name in (0, 1):
            said["calibration"][f"class {name}"] = _quantiles(error[holdout.label == name])
    return said


def _mean(values: Column, weight: Column) -> float:
    return float(np.average(values, weights=weight))


def _slices(rows: TrainingRows, loss: Column) -> Report:
    """Rows and loss for each value of each label: {label: {value: {rows, loss}}}; the largest ones."""
    members: dict[tuple[str, str], list[int]] = {}
    for index in np.unique(rows.label_index).tolist():
        labels: dict[str, Any] = json.loads(rows.label_set[index])
        for name, value in labels.items():
            members.setdefault((name, str(value)), []).append(index)
    found = []
    for (name, value), indexes in sorted(members.items()):
        chosen = np.isin(rows.label_index, indexes)
        found.append((int(chosen.sum()), name, value, _mean(loss[chosen], rows.weight[chosen])))
    found.sort(key=lambda entry: -entry[0])
    said: Report = {}
    for count, name, value, mean in sorted(found[:MAX_SLICES], key=lambda entry: entry[1:3]):
        said.setdefault(name, {})[value] = {"rows": count, "loss": mean}
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
