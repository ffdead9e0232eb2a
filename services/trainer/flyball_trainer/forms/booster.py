"""A LightGBM model as trees, read from its text form; knows numpy alone.

The text form gives every number in full (17 digits) and is written and read in a quarter of the
time that `Booster.dump_model` takes (measured: tests/bench/bench_conversion.py).
"""

from collections.abc import Mapping
from typing import Final

import numpy as np

from flyball_proto.columns import F32, F64, Column
from flyball_trainer.forms.forest import (
    Forest,
    Link,
    Tree,
    UnconvertibleError,
    assembled,
    rounded_down,
)

VERSION: Final = "v4"
TAKEN_AS_ZERO: Final = np.float32(1e-35)
"""`kZeroThreshold` of LightGBM's meta.h."""
_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_MISSING_SHIFT, _MISSING_MASK = 2, 3
_NONE, _ZERO, _NAN = 0, 1, 2
_IDENTITY: Final = ("regression", "regression_l1", "huber")
_INFINITY: Final = np.float32(np.inf)
_INTEGERS: Final = np.dtype(np.int64)


def read(text: str) -> Forest:
    """A forest from `Booster.model_to_string()`.

    Raises:
        UnconvertibleError: categorical splits, linear leaves, zero as missing, averaged output or
            another objective or version.
    """
    head, *written = text.split("\nTree=")
    general = _fields(head)
    _check(general)
    outputs = int(general["num_tree_per_iteration"])
    trees = [
        _tree(_fields(tree.split("\nend of trees", 1)[0]), number % outputs)
        for number, tree in enumerate(written)
    ]
    return assembled(
        int(general["max_feature_idx"]) + 1,
        _link(general["objective"]),
        np.zeros(outputs, F64),
        trees,
        centred=outputs,  # boosting starts from the mean
        rounded=single_precision,
    )


def single_precision(threshold: Column) -> Column:
    """Thresholds f32 at which every f32 goes the same way as at the f64 ones in LightGBM.

    That is the largest f32 at most the threshold; only, LightGBM takes a value of at most
    `TAKEN_AS_ZERO` for 0, so no threshold may lie among such values.
    """
    rounded = rounded_down(threshold)
    rounded = np.where((rounded >= 0) & (rounded < TAKEN_AS_ZERO), TAKEN_AS_ZERO, rounded)
    right_of_zero = (rounded < 0) & (rounded >= -TAKEN_AS_ZERO)
    return np.where(right_of_zero, np.nextafter(-TAKEN_AS_ZERO, -_INFINITY), rounded).astype(F32)


def _link(objective: str) -> Link:
    if objective.startswith("binary"):
        return "logistic"
    return "softmax" if objective.startswith("multiclass") else "value"


def _check(general: Mapping[str, str]) -> None:
    if general.get("version") != VERSION:
        raise UnconvertibleError(
            f"found a LightGBM model of version {general.get('version')}, {VERSION} is known; "
            "install a LightGBM that writes it"
        )
    if "average_output" in general:
        raise UnconvertibleError("found averaged trees; boosting gbdt and dart can be converted")
    words = general.get("objective", "").split()
    known = words == ["binary", "sigmoid:1"] or words[:1] == ["multiclass"]
    if not known and words not in [[name] for name in _IDENTITY]:
        raise UnconvertibleError(
            f"found objective {' '.join(words)!r}; binary, multiclass and {', '.join(_IDENTITY)} "
            "can be converted"
        )


def _fields(text: str) -> dict[str, str]:
    """Lines `key=value`; a line without a value is a key."""
    return {key: value for key, _, value in (line.partition("=") for line in text.splitlines())}


def _tree(tree: Mapping[str, str], output: int) -> Tree:
    values = np.array(tree["leaf_value"].split(), F64)[:, None]
    if tree.get("num_cat", "0") != "0" or tree.get("is_linear", "0") != "0":
        raise UnconvertibleError("found categorical splits or linear leaves; remove linear_tree")
    if len(values) == 1:
        none = np.empty(0, _INTEGERS)
        return Tree(none, none.astype(F64), none.astype(bool), none, none, values, output)
    threshold = np.array(tree["threshold"].split(), F64)
    return Tree(
        np.array(tree["split_feature"].split(), _INTEGERS),
        threshold,
        _missing_left(np.array(tree["decision_type"].split(), _INTEGERS), threshold),
        np.array(tree["left_child"].split(), _INTEGERS),
        np.array(tree["right_child"].split(), _INTEGERS),
        values,
        output,
    )


def _missing_left(decision: Column, threshold: Column) -> Column:
    """Where a missing value goes; without missing values in training it counts as 0."""
    missing = (decision >> _MISSING_SHIFT) & _MISSING_MASK
    if (decision & _CATEGORICAL).any() or (missing == _ZERO).any():
        raise UnconvertibleError("found zero as a missing value; remove zero_as_missing")
    default_left = (decision & _DEFAULT_LEFT) != 0
    return np.where(missing == _NAN, default_left, threshold >= 0)
