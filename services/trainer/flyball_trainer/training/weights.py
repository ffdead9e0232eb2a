"""How much the rows of a class count in a fit."""

from collections.abc import Mapping
from dataclasses import replace

import numpy as np

from flyball_proto.spec.learning import ClassWeight
from flyball_trainer.rows import TrainingRows

BINARY = ("0", "1")


def weighted(
    rows: TrainingRows, class_weight: ClassWeight, classes: tuple[str, ...]
) -> TrainingRows:
    """The rows with the weights of their classes multiplied in; see `weights_of`."""
    return apply(rows, weights_of(rows, class_weight, classes), classes)


def weights_of(
    rows: TrainingRows, class_weight: ClassWeight, classes: tuple[str, ...]
) -> dict[str, float]:
    """Class to weight, empty where all count 1; `classes` is empty for a binary target.

    Balanced: the rows of each class weigh as much as those of any other, and all together as much as
    before. A class without rows is left out.
    """
    if class_weight == ClassWeight():
        return {}
    names = classes or BINARY
    if class_weight.preset != "balanced":
        return {name: class_weight.weights[name] for name in names if name in class_weight.weights}
    held = np.bincount(rows.label.astype(np.int64), rows.weight, len(names))
    there = held > 0
    fair = held.sum() / there.sum()
    return {name: float(fair / held[i]) for i, name in enumerate(names) if there[i]}


def apply(
    rows: TrainingRows, weights: Mapping[str, float], classes: tuple[str, ...]
) -> TrainingRows:
    """The rows with these weights of classes multiplied in; a class that is not named counts 1."""
    if not weights:
        return rows
    factors = np.array([weights.get(name, 1.0) for name in classes or BINARY])
    return replace(rows, weight=rows.weight * factors[rows.label.astype(np.int64)])
