"""Gaussian naive Bayes: each class's features lie around a mean, independently of each other.

A missing value says nothing: its feature is left out of the sum. Values are standardised and
clipped at 10 standard deviations first, so that no value makes a score infinite.

    {name: bayes, kind: "plugin:naive_bayes", parameters: {smoothing: 0.01}}
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any

import numpy as np
from onnx import TensorProto, helper, numpy_helper

Array = np.ndarray[Any, np.dtype[Any]]

CLIP = 10.0
SMOOTHING = 0.01
"""Added to each variance, of features whose own variance is 1."""
RARE = 1e-9
"""The weight that a class without rows has."""


@dataclass(frozen=True)
class Learnt:
    """What the trainer asks for."""

    onnx: bytes
    scores: Callable[[Array], Array]
    importance: Array


@dataclass(frozen=True)
class Bayes:
    """Moments of the standardised features by class; k classes, 2 if binary."""

    middle: Array  # (width,)
    spread: Array  # (width,), > 0
    prior: Array  # (k,), logarithms
    mean: Array  # (k, width)
    variance: Array  # (k, width), > 0

    def standard(self, feature: Array) -> tuple[Array, Array]:
        """Standardised values, 0 where missing, and which are known; both f64 (n, width)."""
        value = feature.astype(np.float64)
        known = ~np.isnan(value)
        z = (np.where(known, value, self.middle) - self.middle) / self.spread
        return np.clip(z, -CLIP, CLIP), known.astype(np.float64)

    def probabilities(self, feature: Array) -> Array:
        """f64 (n, k): Bayes' rule, as it is written in books."""
        z, known = self.standard(feature)
        odds = np.tile(self.prior, (len(z), 1))
        for k, (mean, variance) in enumerate(zip(self.mean, self.variance, strict=True)):
            density = -0.5 * (np.log(2 * np.pi * variance) + (z - mean) ** 2 / variance)
            odds[:, k] += (known * density).sum(axis=1)
        odds = np.exp(odds - odds.max(axis=1, keepdims=True))
        return np.asarray(odds / odds.sum(axis=1, keepdims=True))


def fit(
    *,
    feature: Array,
    label: Array,
    weight: Array,
    task: str,
    classes: int,
    parameters: Mapping[str, Any],
    seed: int,  # noqa: ARG001 - nothing is drawn here
) -> Learnt:
    """The entry point; see `flyball_trainer/kinds/plugin.py` for what it is given."""
    if task == "regression":
        raise ValueError("naive Bayes tells classes apart; it cannot learn a value")
    if unknown := sorted(set(parameters) - {"smoothing"}):
        raise ValueError(f"unknown parameter {unknown[0]!r}; smoothing is the only one")
    smoothing = float(parameters.get("smoothing", SMOOTHING))
    if smoothing <= 0:
        raise ValueError(f"found smoothing {smoothing:g}; more than 0 is valid")
    bayes = _moments(feature, label, weight, classes or 2, smoothing)

    def scores(rows: Array) -> Array:
        found = bayes.probabilities(rows)
        return found if classes else found[:, 1:]

    between = np.exp(bayes.prior) @ (bayes.mean - np.exp(bayes.prior) @ bayes.mean) ** 2
    return Learnt(_onnx(bayes, several=bool(classes)), scores, between)


def _moments(feature: Array, label: Array, weight: Array, count: int, smoothing: float) -> Bayes:
    value = np.where(np.isfinite(feature), feature, np.nan).astype(np.float64)
    known = ~np.isnan(value)
    some = np.maximum(known.sum(axis=0), 1)
    middle = np.where(known, value, 0).sum(axis=0) / some
    squares = np.where(known, value - middle, 0) ** 2
    spread = np.sqrt(squares.sum(axis=0) / some)
    first = Bayes(middle, np.where(spread > 0, spread, 1), *(np.empty(0),) * 3)
    z, present = first.standard(feature)
    own = (label[:, None] == np.arange(count)) * weight[:, None]
    rows = own.T @ present
    seen, rows = rows > 0, np.where(rows > 0, rows, 1)
    mean = own.T @ z / rows
    variance = np.where(seen, np.maximum(own.T @ z**2 / rows - mean**2, 0) + smoothing, 1.0)
    prior = np.log((own.sum(axis=0) + RARE) / (own.sum() + count * RARE))
    return Bayes(first.middle, first.spread, prior, mean, variance)


def _onnx(bayes: Bayes, *, several: bool) -> bytes:
    """The same rule multiplied out: z² @ square + z @ line + known @ flat + prior, in f64."""
    terms = {
        "square": -0.5 / bayes.variance,
        "line": bayes.mean / bayes.variance,
        "flat": -0.5 * (np.log(2 * np.pi * bayes.variance) + bayes.mean**2 / bayes.variance),
        "prior": bayes.prior[:, None],
    }
    if not several:  # the log odds of class 1 against class 0
        terms = {name: by_class[1:] - by_class[:1] for name, by_class in terms.items()}
    constants = {name: np.ascontiguousarray(by_class.T) for name, by_class in terms.items()}
    constants |= {"middle": bayes.middle, "spread": bayes.spread}
    constants |= {"least": np.array(-CLIP), "most": np.array(CLIP)}
    double, single = {"to": TensorProto.DOUBLE}, {"to": TensorProto.FLOAT}
    steps: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("IsNaN", ["features"], "missing", {}),
        ("Not", ["missing"], "present", {}),
        ("Cast", ["present"], "known", double),
        ("Cast", ["features"], "value", double),
        ("Where", ["missing", "middle", "value"], "filled", {}),
        ("Sub", ["filled", "middle"], "centred", {}),
        ("Div", ["centred", "spread"], "unbounded", {}),
        ("Clip", ["unbounded", "least", "most"], "z", {}),
        ("Mul", ["z", "z"], "squares", {}),
        ("MatMul", ["squares", "square"], "of_squares", {}),
        ("MatMul", ["z", "line"], "of_lines", {}),
        ("MatMul", ["known", "flat"], "of_known", {}),
        ("Sum", ["of_squares", "of_lines", "of_known", "prior"], "odds", {}),
        ("Softmax", ["odds"], "probability", {"axis": 1})
        if several
        else ("Sigmoid", ["odds"], "probability", {}),
        ("Cast", ["probability"], "score", single),
    ]
    width, outputs = len(bayes.middle), len(bayes.prior) if several else 1
    graph = helper.make_graph(
        [helper.make_node(op, taken, [given], **more) for op, taken, given, more in steps],
        "naive_bayes",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", width])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n", outputs])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    written: bytes = model.SerializeToString(deterministic=True)
    return written
