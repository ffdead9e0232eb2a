"""A LightGBM model as arrays, read from its text form; knows numpy alone.

The text form gives every number in full (17 digits) and is written and read in a quarter of the
time that `Booster.dump_model` takes (measured: tests/bench/bench_conversion.py).
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from flyball_kit.errors import PermanentError
from flyball_proto.columns import F32, F64, Column

VERSION: Final = "v4"
TAKEN_AS_ZERO: Final = np.float32(1e-35)
"""`kZeroThreshold` of LightGBM's meta.h."""
_CATEGORICAL, _DEFAULT_LEFT = 1, 2
_MISSING_SHIFT, _MISSING_MASK = 2, 3
_NONE, _ZERO, _NAN = 0, 1, 2
_IDENTITY: Final = ("regression", "regression_l1", "huber")
_INFINITY: Final = np.float32(np.inf)
_INTEGERS: Final = np.dtype(np.int64)


class UnconvertibleError(PermanentError):
    """A fitted model has a part that has no exact ONNX form here."""

    kind = "unconvertible"


@dataclass(frozen=True, slots=True, eq=False)
class Forest:
    """t trees with k inner nodes and l leaves in all; the score is `offset` + the leaves reached.

    A row goes left at a node when its value is at most the threshold, or missing and `missing_left`.
    Children are numbers of inner nodes, or ~number of a leaf. Inner nodes and leaves of a tree lie
    together, parents before children, its root first.
    """

    width: int
    binary: bool
    """Whether the score is a log odds, 1 / (1 + exp(-score)) the probability."""
    offset: float
    tree: Column  # i64 (k,), rising
    feature: Column  # i64 (k,)
    threshold: Column  # f32 (k,)
    missing_left: Column  # bool (k,)
    left: Column  # i64 (k,)
    right: Column  # i64 (k,)
    leaf_tree: Column  # i64 (l,), rising
    leaf: Column  # f64 (l,)

    @property
    def parent(self) -> Column:
        """The inner node above each inner node, i64 (k,); -1 = a root."""
        parent = np.full(len(self.tree), -1)
        for children in (self.left, self.right):
            inner = children >= 0
            parent[children[inner]] = np.flatnonzero(inner)
        return parent


def read(text: str) -> Forest:
    """A forest from `Booster.model_to_string()`.

    Raises:
        UnconvertibleError: categorical splits, linear leaves, zero as missing, averaged output or
            another objective or version.
    """
    head, *trees = text.split("\nTree=")
    general = _fields(head)
    _check(general)
    builder = _Builder()
    for written in trees:
        builder.add(_fields(written.split("\nend of trees", 1)[0]))
    width = int(general["max_feature_idx"]) + 1
    return builder.forest(width, binary=general["objective"].startswith("binary"))


def single_precision(threshold: Column) -> Column:
    """Thresholds f32 at which every f32 goes the same way as at the f64 ones in LightGBM.

    That is the largest f32 at most the threshold; only, LightGBM takes a value of at most
    `TAKEN_AS_ZERO` for 0, so no threshold may lie among such values.
    """
    with np.errstate(over="ignore"):
        nearest = threshold.astype(F32)
    below = np.nextafter(nearest, -_INFINITY)
    rounded = np.where(nearest.astype(F64) > threshold, below, nearest)
    rounded = np.where((rounded >= 0) & (rounded < TAKEN_AS_ZERO), TAKEN_AS_ZERO, rounded)
    right_of_zero = (rounded < 0) & (rounded >= -TAKEN_AS_ZERO)
    return np.where(right_of_zero, np.nextafter(-TAKEN_AS_ZERO, -_INFINITY), rounded).astype(F32)


def _check(general: Mapping[str, str]) -> None:
    if general.get("version") != VERSION:
        raise UnconvertibleError(
            f"found a LightGBM model of version {general.get('version')}, {VERSION} is known; "
            "install a LightGBM that writes it"
        )
    if "average_output" in general:
        raise UnconvertibleError("found averaged trees; boosting gbdt and dart can be converted")
    words = general.get("objective", "").split()
    if words not in (["binary", "sigmoid:1"], *([name] for name in _IDENTITY)):
        raise UnconvertibleError(
            f"found objective {' '.join(words)!r}; binary and {', '.join(_IDENTITY)} can be converted"
        )


def _fields(text: str) -> dict[str, str]:
    """Lines `key=value`; a line without a value is a key."""
    return {key: value for key, _, value in (line.partition("=") for line in text.splitlines())}


class _Builder:
    """Trees one after another; a tree of one leaf goes into the offset."""

    def __init__(self) -> None:
        self._offset, self._trees, self._inner, self._leaves = 0.0, 0, 0, 0
        self._parts: list[tuple[Column, ...]] = []

    def add(self, tree: Mapping[str, str]) -> None:
        values = np.array(tree["leaf_value"].split(), F64)
        if tree.get("num_cat", "0") != "0" or tree.get("is_linear", "0") != "0":
            raise UnconvertibleError(
                "found categorical splits or linear leaves; remove linear_tree"
            )
        if len(values) == 1:
            self._offset += float(values[0])
            return
        if not self._parts:  # boosting starts from the mean: in full precision, added once
            start = float(values.mean())
            self._offset += start
            values = values - start
        threshold = np.array(tree["threshold"].split(), F64)
        count = len(threshold)
        self._parts.append(
            (
                np.full(count, self._trees),
                np.array(tree["split_feature"].split(), _INTEGERS),
                threshold,
                _missing_left(np.array(tree["decision_type"].split(), _INTEGERS), threshold),
                self._children(tree["left_child"]),
                self._children(tree["right_child"]),
                np.full(len(values), self._trees),
                values,
            )
        )
        self._trees += 1
        self._inner += count
        self._leaves += len(values)

    def forest(self, width: int, *, binary: bool) -> Forest:
        if not self._parts:
            return _constant(width, self._offset, binary=binary)
        tree, feature, threshold, missing, left, right, leaf_tree, leaf = (
            np.concatenate(column) for column in zip(*self._parts, strict=True)
        )
        threshold = single_precision(threshold)
        return Forest(
            width,
            binary,
            self._offset,
            tree,
            feature,
            threshold,
            missing,
            left,
            right,
            leaf_tree,
            leaf,
        )

    def _children(self, written: str) -> Column:
        """Children numbered through the whole forest."""
        child = np.array(written.split(), _INTEGERS)
        return np.where(child >= 0, child + self._inner, child - self._leaves)


def _missing_left(decision: Column, threshold: Column) -> Column:
    """Where a missing value goes; without missing values in training it counts as 0."""
    missing = (decision >> _MISSING_SHIFT) & _MISSING_MASK
    if (decision & _CATEGORICAL).any() or (missing == _ZERO).any():
        raise UnconvertibleError("found zero as a missing value; remove zero_as_missing")
    default_left = (decision & _DEFAULT_LEFT) != 0
    return np.where(missing == _NAN, default_left, threshold >= 0)


def _constant(width: int, offset: float, *, binary: bool) -> Forest:
    """No split was worth making: one tree that says 0 either way."""
    zero, left, right = np.zeros(1, _INTEGERS), np.array([-1]), np.array([-2])
    threshold, missing = np.zeros(1, F32), np.zeros(1, bool)
    leaf_tree, leaf = np.zeros(2, _INTEGERS), np.zeros(2, F64)
    return Forest(
        width, binary, offset, zero, zero, threshold, missing, left, right, leaf_tree, leaf
    )
