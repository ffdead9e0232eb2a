"""Smaller forms of an ONNX file: its weight matrices as float16 or int8, all else as it was.

Only the weights are stored smaller; sums are made as in the model. ONNX Runtime's dynamic
quantisation would also round what flows through, by a scale that it takes from the whole batch: then
a row's score depends on the rows beside it (measured on a 40-64-1 net: as much as the rounding
itself, 2.0), and a replay in other batches would decide otherwise. int8 has one scale a column.
"""

import hashlib
from collections.abc import Mapping
from typing import Final, Literal, NamedTuple

import numpy as np
import onnx
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from flyball_proto.bundles import Expected
from flyball_proto.columns import F64, Column
from flyball_proto.events import Variant
from flyball_trainer.training.running import UnrunnableError, scores

Precision = Literal["float16", "int8"]

TOLERANCE: Final[Mapping[Precision, float]] = {"float16": 2e-3, "int8": 2e-2}
"""Absolute for probabilities; for regression times the larger of the score and the median score."""
MOST_FLOAT16: Final = float(np.finfo(np.float16).max)
LEVELS: Final = 127
SHOWN_DIGITS: Final = 3
_WEIGHTED: Final = frozenset({"MatMul", "Gemm"})


class Made(NamedTuple):
    """A variant and its file."""

    variant: Variant
    onnx: bytes


class LeftOut(NamedTuple):
    """A variant that was asked for and cannot be offered, and why."""

    precision: Precision
    why: str


def made(model: bytes, precision: Precision, expected: Expected, task: str) -> Made | LeftOut:
    """The variant of a model, if on the expected rows it answers nearly as the model does.

    Distances are those to the fitted model's own scores. The same model gives the same bytes.
    """
    found = _smaller(model, precision)
    if isinstance(found, str):
        return LeftOut(precision, found)
    tolerance = TOLERANCE[precision]
    try:
        said = scores(found, expected.feature)
    except UnrunnableError as error:
        return LeftOut(precision, f"ONNX Runtime does not take it: {error}")
    difference = distance(expected.score, said, task)
    if not difference <= tolerance:
        return LeftOut(
            precision, f"a score moves by {difference:.3g}, at most {tolerance:g} may be"
        )
    variant = Variant(
        precision=precision,
        digest=hashlib.sha256(found).hexdigest(),
        size_bytes=len(found),
        difference=float(f"{difference:.{SHOWN_DIGITS}g}"),
        tolerance=tolerance,
    )
    return Made(variant, found)


def distance(native: Column, other: Column, task: str) -> float:
    """Largest distance of two scores f64 (n, outputs); infinite where one is not finite."""
    with np.errstate(invalid="ignore"):
        apart = np.abs(native - other) / scale(native, task)
    return float(np.where(np.isfinite(apart), apart, np.inf).max())


def scale(native: Column, task: str) -> Column:
    """What distances are measured in: 1 for probabilities, else the score but not less than usual."""
    if task != "regression":
        return np.ones_like(native, F64)
    usual = float(np.median(np.abs(native)))
    return np.maximum(np.abs(native), max(usual, float(np.finfo(np.float32).tiny)))


def _smaller(model: bytes, precision: Precision) -> bytes | str:
    """The file with smaller weights, or why there is none."""
    proto = onnx.load_from_string(model)
    weights = _weights(proto)
    if not weights:
        return "the model has no weight matrices"
    kept = [i for i in proto.graph.initializer if i.name not in weights]
    nodes: list[NodeProto] = []
    for name, tensor in weights.items():
        values = numpy_helper.to_array(tensor)
        if precision == "float16" and np.abs(values).max(initial=0.0) > MOST_FLOAT16:
            return f"a weight is larger than {MOST_FLOAT16:g}"
        parts, steps = (_halves if precision == "float16" else _eighths)(name, values)
        kept.extend(parts)
        nodes.extend(steps)
    nodes.extend(proto.graph.node)
    del proto.graph.initializer[:], proto.graph.node[:]
    proto.graph.initializer.extend(kept)
    proto.graph.node.extend(nodes)
    return proto.SerializeToString(deterministic=True)


def _weights(proto: ModelProto) -> dict[str, TensorProto]:
    """Matrices that rows are multiplied with, by name."""
    used = {n.input[1] for n in proto.graph.node if n.op_type in _WEIGHTED}
    return {
        i.name: i
        for i in proto.graph.initializer
        if i.name in used
        and len(i.dims) == 2
        and i.data_type in (TensorProto.FLOAT, TensorProto.DOUBLE)
    }


def _halves(name: str, values: Column) -> tuple[list[TensorProto], list[NodeProto]]:
    stored = f"{name}.float16"
    tensor = numpy_helper.from_array(values.astype(np.float16), stored)
    return [tensor], [helper.make_node("Cast", [stored], [name], to=_type(values))]


def _eighths(name: str, values: Column) -> tuple[list[TensorProto], list[NodeProto]]:
    """Symmetric, a scale a column; a column of zeros has scale 1."""
    step = np.abs(values).max(axis=0, initial=0.0) / LEVELS
    step = np.where(step > 0, step, 1.0).astype(np.float32)
    stored, of, wide = f"{name}.int8", f"{name}.scale", f"{name}.float32"
    rounded = np.clip(np.rint(values / step), -LEVELS, LEVELS).astype(np.int8)
    tensors = [numpy_helper.from_array(rounded, stored), numpy_helper.from_array(step, of)]
    if values.dtype == np.float32:
        return tensors, [helper.make_node("DequantizeLinear", [stored, of], [name], axis=1)]
    return tensors, [
        helper.make_node("DequantizeLinear", [stored, of], [wide], axis=1),
        helper.make_node("Cast", [wide], [name], to=_type(values)),
    ]


def _type(values: Column) -> int:
    return TensorProto.FLOAT if values.dtype == np.float32 else TensorProto.DOUBLE
