"""What is checked inside an ONNX file. The only room that knows onnx. Nothing is trusted."""

import math
from collections.abc import Callable, Iterator
from typing import Any, Final

import numpy as np
from google.protobuf.message import DecodeError, Message
from numpy.typing import NDArray
from onnx import (
    ModelProto,
    NodeProto,
    SparseTensorProto,
    TensorProto,
    ValueInfoProto,
    checker,
    shape_inference,
)

from flyball_proto.events import Manifest
from flyball_registry.admission.claims import MAX_WORDS, Unfit
from flyball_registry.scoring.sessions import Session, UnusableModelError, outputs_of

ALLOWED_OPSETS: Final = {"": 21, "ai.onnx": 21, "ai.onnx.ml": 4}
"""Operator domains and the newest version of each that runtimes at the edge know."""

GROWING: Final = frozenset(
    {
        *("BlackmanWindow", "ConstantOfShape", "Expand", "HammingWindow", "HannWindow"),
        *("MelWeightMatrix", "Pad", "Range", "Resize", "Tile", "Upsample"),
    }
)
"""Operators whose output is as large as a number in the file says: a few bytes could fill the memory."""

RANDOM: Final = frozenset(
    {
        *("Bernoulli", "Multinomial", "RandomNormal", "RandomNormalLike", "RandomUniform"),
        "RandomUniformLike",
    }
)
"""Operators that answer the same rows differently each time."""

MAX_NODES: Final = 1_000

PROBE_VALUES: Final = (0.0, 1.0, -1.0, 1e-6, -1e6, 1e6)
SUM: Final = 1e-3
"""Probabilities of all classes sum to 1 within this."""

# An untrusted graph can make the checker fail in any of these ways.
_FAILURES: Final = (
    ArithmeticError,
    AttributeError,
    LookupError,
    RuntimeError,
    TypeError,
    ValueError,
)

Opened = ModelProto


def unfit(onnx: bytes, manifest: Manifest) -> Unfit | None:
    """The first thing that is wrong with a file whose structure is bounded."""
    opened = parse(onnx)
    if isinstance(opened, Unfit):
        return opened
    checks: tuple[Callable[[Opened], Unfit | None], ...] = (
        self_contained,
        dense,
        allowed,
        valid,
        lambda opened: shapes(opened, manifest),
        lambda _: finite(onnx, manifest),
    )
    return next(filter(None, (check(opened) for check in checks)), None)


def parse(onnx: bytes) -> Opened | Unfit:
    """Decode the file."""
    opened = ModelProto()
    try:
        opened.ParseFromString(onnx)
    except DecodeError as error:
        return Unfit("onnx", _words(error), "an ONNX file")
    return opened


def self_contained(opened: Opened) -> Unfit | None:
    """No tensor may lie in another file: such a path could name any file of the machine."""
    for tensor in _tensors(opened):
        if tensor.data_location == TensorProto.EXTERNAL or tensor.external_data:
            found = f"tensor {tensor.name[:80]!r}"
            return Unfit("external-data", found, "all data inside the file")
    return None


def dense(opened: Opened) -> Unfit | None:
    """No tensor may be larger than what the file holds of it."""
    room = 2 * opened.ByteSize()  # the smallest numbers take half a byte
    for message in _messages(opened):
        if isinstance(message, SparseTensorProto):
            found = f"sparse tensor {message.values.name[:80]!r}"
            return Unfit("tensors", found, "tensors that are stored whole")
        if isinstance(message, TensorProto):
            elements = math.prod(message.dims)
            if min(message.dims, default=0) < 0 or elements > room:
                found = f"tensor {message.name[:80]!r} of {list(message.dims)[:8]}"
                return Unfit("tensors", found, "sizes that the file has the numbers for")
    return None


def allowed(opened: Opened) -> Unfit | None:
    """Known operators in known versions, and none that may not end or may grow without bound."""
    for opset in opened.opset_import:
        newest = ALLOWED_OPSETS.get(opset.domain)
        if newest is None:
            return Unfit("domain", repr(opset.domain), ", ".join(filter(None, ALLOWED_OPSETS)))
        if opset.version > newest:
            found = f"{opset.domain or 'ai.onnx'} {opset.version}"
            return Unfit("opset", found, f"at most {newest}")
    if opened.functions or opened.training_info:
        found = "functions" if opened.functions else "a graph for training"
        return Unfit("operators", found, "a flat graph")
    if (nodes := len(opened.graph.node)) > MAX_NODES:
        return Unfit("operators", f"{nodes} nodes", f"at most {MAX_NODES}")
    return next(filter(None, map(_of_node, opened.graph.node)), None)


def _of_node(node: NodeProto) -> Unfit | None:
    if node.domain not in ALLOWED_OPSETS:
        return Unfit("domain", repr(node.domain), ", ".join(filter(None, ALLOWED_OPSETS)))
    if any(a.HasField("g") or a.graphs for a in node.attribute):
        return Unfit("operators", f"{node.op_type} with a graph inside", "a flat graph")
    if node.op_type in GROWING:
        return Unfit("operators", node.op_type, "operators that keep to the size of their input")
    if node.op_type in RANDOM:
        return Unfit("operators", node.op_type, "operators that answer the same every time")
    return None


def valid(opened: Opened) -> Unfit | None:
    """ONNX's own checker, with shape inference."""
    try:
        checker.check_model(opened, full_check=True)
    except (checker.ValidationError, shape_inference.InferenceError, *_FAILURES) as error:
        return Unfit("onnx", _words(error), "a model that onnx.checker accepts")
    return None


def shapes(opened: Opened, manifest: Manifest) -> Unfit | None:
    """One input f32 (n, features), one output f32 (n, scores), named as in the manifest."""
    constants = {tensor.name for tensor in opened.graph.initializer}
    inputs = [i for i in opened.graph.input if i.name not in constants]
    wanted = f"{manifest.input_name} f32 (n, {len(manifest.features)})"
    if len(inputs) != 1 or not _is(inputs[0], manifest.input_name, len(manifest.features)):
        return Unfit("input", _described(inputs), wanted)
    outputs = list(opened.graph.output)
    wide = outputs_of(manifest)
    if len(outputs) != 1 or not _is(outputs[0], manifest.output_name, wide):
        return Unfit("output", _described(outputs), f"{manifest.output_name} f32 (n, {wide})")
    return None


def finite(onnx: bytes, manifest: Manifest) -> Unfit | None:
    """Finite scores on probe rows, also where features are missing; probabilities of classes.

    Those of several classes sum to 1. The graph is run as it stands, nothing of it is
    computed beforehand.
    """
    rows = probe_rows(len(manifest.features))
    limit = f"{len(rows)} finite scores of {len(rows)} probe rows, also where features are missing"
    try:
        session = Session(onnx, manifest, optimised=False)
        scores = np.asarray(session.run(rows), np.float64)
    except UnusableModelError as error:
        return Unfit("scores", _words(error), limit)
    if scores.shape != (shape := (len(rows), outputs_of(manifest))):
        return Unfit("scores", f"shape {scores.shape}", f"shape {shape}")
    if (bad := int(np.count_nonzero(~np.isfinite(scores)))) > 0:
        return Unfit("scores", f"{bad} that are not finite", limit)
    if manifest.task != "regression" and (scores.min() < 0 or scores.max() > 1):
        return Unfit("scores", f"{scores.min():g} to {scores.max():g}", "probabilities, 0 to 1")
    if manifest.task == "multiclass" and (worst := np.abs(scores.sum(axis=1) - 1).max()) > SUM:
        return Unfit("scores", f"probabilities that miss 1 by {worst:g}", f"at most {SUM:g}")
    return None


def probe_rows(width: int) -> NDArray[np.float32]:
    """Rows f32 (probes, width): constant ones, one with everything missing, each feature missing."""
    constant = np.repeat(np.array(PROBE_VALUES, np.float32)[:, None], width, axis=1)
    missing = np.full((1, width), np.nan, np.float32)
    one_missing = np.where(np.eye(width, dtype=bool), np.float32(np.nan), np.float32(0.5))
    return np.concatenate([constant, missing, one_missing[:64]]).astype(np.float32)


def _tensors(opened: Opened) -> Iterator[TensorProto]:
    """Every tensor, wherever it is: graphs inside graphs, functions, attributes, sparse ones."""
    return (found for found in _messages(opened) if isinstance(found, TensorProto))


def _messages(opened: Opened) -> Iterator[Message]:
    left: list[Message] = [opened]
    while left:
        message = left.pop()
        yield message
        for field, value in message.ListFields():
            if field.message_type is not None:
                left.extend(value if field.is_repeated else (value,))


def _is(value: ValueInfoProto, name: str, width: int) -> bool:
    tensor = value.type.tensor_type
    dims = tensor.shape.dim
    return (
        value.name == name
        and tensor.elem_type == TensorProto.FLOAT
        and len(dims) == 2
        and not dims[0].HasField("dim_value")
        and dims[1].dim_value == width
    )


def _described(values: list[ValueInfoProto]) -> str:
    return _words("; ".join(map(_description, values)) or "none")


def _description(value: ValueInfoProto) -> str:
    tensor = value.type.tensor_type
    dims = ", ".join(
        str(d.dim_value) if d.HasField("dim_value") else d.dim_param or "?"
        for d in tensor.shape.dim
    )
    kind = "f32" if tensor.elem_type == TensorProto.FLOAT else f"type {tensor.elem_type}"
    return f"{value.name} {kind} ({dims})"


def _words(error: Any) -> str:
    """The first line, short: it may hold whatever the file holds."""
    return (str(error).strip().splitlines() or [type(error).__name__])[0][:MAX_WORDS]
