"""Where a model errs: by the values of labels, and the rows with the largest losses."""

import json
from typing import Any, Final

import numpy as np

from flyball_proto.columns import Column
from flyball_trainer.rows import TrainingRows
from flyball_trainer.training.measures import Question, Values, measures

MAX_SLICES: Final = 100
MIN_SLICE_ROWS: Final = 20
"""A smaller slice is told, but is none of the worst."""
WORST: Final = 10
OUTLIERS: Final = 20


def slices(question: Question, rows: TrainingRows, scores: Column) -> Values:
    """Measures for each value of each label: {label: {value: measures}}; the largest ones.

    Beside the measures: `share_of_rows` and `share_of_error`, both weighted.
    """
    loss = question.losses(rows.label, scores) * rows.weight
    everything = (float(rows.weight.sum()), float(loss.sum()))
    told: Values = {}
    for (name, value), chosen in sorted(_members(rows).items()):
        said = measures(question, rows.label[chosen], scores[chosen], rows.weight[chosen])
        said["share_of_rows"] = _ratio(float(rows.weight[chosen].sum()), everything[0])
        said["share_of_error"] = _ratio(float(loss[chosen].sum()), everything[1])
        told.setdefault(name, {})[value] = said
    return told


def worst(told: Values, whole: float) -> list[Values]:
    """Slices whose loss is above that of all rows, the largest first; of what `slices` gave."""
    entries = [
        {
            "label": name,
            "value": value,
            **{key: said[key] for key in ("rows", "loss", "share_of_rows", "share_of_error")},
            "times": _ratio(said["loss"], whole),
        }
        for name, values in told.items()
        for value, said in values.items()
        if said["rows"] >= MIN_SLICE_ROWS and said["loss"] > whole
    ]
    entries.sort(key=lambda e: (-e["loss"], e["label"], e["value"]))
    return entries[:WORST]


def outliers(question: Question, rows: TrainingRows, scores: Column) -> list[Values]:
    """The rows with the largest losses, weight left out: who, when, what was said, what came."""
    loss = question.losses(rows.label, scores)
    order = np.lexsort((np.arange(len(rows)), -loss))[:OUTLIERS]
    said = question.answers(scores) if question.classes else scores[:, 0]
    found = []
    for i in order.tolist():
        entry = {
            "element": rows.element[rows.element_index[i]],
            "time_ms": int(rows.time_ms[i]),
            "sequence": int(rows.sequence[i]),
            "sample": int(rows.sample[i]),
            "loss": float(loss[i]),
        }
        if question.task == "multiclass":
            entry["label"] = question.classes[int(rows.label[i])]
            entry["said"] = question.classes[int(said[i])]
            entry["score"] = float(scores[i, int(said[i])])
        else:
            entry["label"], entry["score"] = float(rows.label[i]), float(scores[i, 0])
        found.append(entry)
    return found


def _members(rows: TrainingRows) -> dict[tuple[str, str], Column]:
    """Rows by label and value as masks, of the largest slices."""
    indexes: dict[tuple[str, str], list[int]] = {}
    for index in np.unique(rows.label_index).tolist():
        labels: dict[str, Any] = json.loads(rows.label_set[index])
        for name, value in labels.items():
            indexes.setdefault((name, str(value)), []).append(index)
    sizes = np.bincount(rows.label_index)
    largest = sorted(indexes, key=lambda key: (-int(sizes[indexes[key]].sum()), key))[:MAX_SLICES]
    return {key: np.isin(rows.label_index, indexes[key]) for key in largest}


def _ratio(part: float, whole: float) -> float:
    return part / whole if whole > 0 else 0.0
