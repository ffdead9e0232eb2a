"""A fitted model as an ONNX file: input `features` f32 (n, width), output `score` f32 (n, outputs).

Trees are computed in single precision, lines and networks in double. The same model gives the same
bytes.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from flyball_proto.bundles import content_digest
from flyball_proto.columns import F32, F64, I64, Column
from flyball_proto.events import Manifest
from flyball_trainer.forms.ensemble import ML_DOMAIN, ensemble
from flyball_trainer.forms.foreign import Foreign
from flyball_trainer.forms.forest import Forest, Link
from flyball_trainer.forms.line import CLIP, Line
from flyball_trainer.forms.network import Network

OPSET: Final = 17
ML_OPSET: Final = 3
IR_VERSION: Final = 8
INPUT, OUTPUT = "features", "score"
_OPERATORS: Final = {"relu": "Relu", "tanh": "Tanh"}

Form = Forest | Line | Network | Foreign
Graph = tuple[list[NodeProto], Mapping[str, Column]]
Step = tuple[str, list[str], str, dict[str, Any]]
"""Operator, what it takes, what it gives, attributes."""


def bundle(form: Form, draft: Manifest) -> tuple[bytes, Manifest]:
    """The ONNX file and the manifest that names it; `draft` is the manifest without a digest."""
    model = onnx_model(form)
    helper.set_model_props(model, {"flyball.manifest": content_digest(draft)})
    written = model.SerializeToString(deterministic=True)
    return written, draft.model_copy(update={"digest": hashlib.sha256(written).hexdigest()})


def onnx_model(form: Form) -> ModelProto:
    """The model without metadata; that of a foreign one is kept."""
    if isinstance(form, Foreign):
        return ModelProto.FromString(form.onnx)
    nodes, constants = _graph(form)
    graph = helper.make_graph(
        nodes,
        type(form).__name__.lower(),
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", form.width])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n", form.outputs])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(ML_DOMAIN, ML_OPSET)]
    return helper.make_model(
        graph, ir_version=IR_VERSION, opset_imports=opsets, producer_name="flyball"
    )


def _graph(form: Forest | Line | Network) -> Graph:
    if isinstance(form, Forest):
        return _trees(form)
    return _linear(form) if isinstance(form, Line) else _layers(form)


def _trees(forest: Forest) -> Graph:
    said = OUTPUT if forest.link == "value" else "log_odds"
    steps, constants = _linked(forest.link, said, OUTPUT, forest.outputs)
    return [ensemble(forest, INPUT, said), *_nodes(steps)], constants


def _linked(
    link: Link, said: str, given: str, outputs: int
) -> tuple[list[Step], dict[str, Column]]:
    """From the form's numbers to scores; nothing for values."""
    if link == "logistic":
        return [("Sigmoid", [said], given, {})], {}
    if link == "softmax":
        return [("Softmax", [said], given, {"axis": 1})], {}
    if link == "value":
        return [], {}
    constants = {"none": np.array(0, F32), "certain": np.array(1, F32)}
    clipped: Step = ("Clip", [said, "none", "certain"], "share" if outputs > 1 else given, {})
    if outputs == 1:
        return [clipped], constants
    total: Step = ("ReduceSum", ["share", "classes"], "total", {"keepdims": 1})
    normal: Step = ("Div", ["share", "total"], given, {})
    return [clipped, total, normal], constants | {"classes": np.array([1], I64)}


def _prepared(mean: Column, scale: Column) -> tuple[list[Step], dict[str, Column]]:
    """Standardised, clipped values `z` f64 (n, width) and `gaps` f64 (n, width), 1 where missing."""
    constants: dict[str, Column] = {
        "mean": mean.astype(F64),
        "scale": scale.astype(F64),
        "least": np.array(-CLIP, F64),
        "most": np.array(CLIP, F64),
    }
    steps: list[Step] = [
        ("IsNaN", [INPUT], "missing", {}),
        ("Cast", [INPUT], "value", {"to": TensorProto.DOUBLE}),
        ("Where", ["missing", "mean", "value"], "filled", {}),
        ("Sub", ["filled", "mean"], "centred", {}),
        ("Div", ["centred", "scale"], "unbounded", {}),
        ("Clip", ["unbounded", "least", "most"], "z", {}),
        ("Cast", ["missing"], "gaps", {"to": TensorProto.DOUBLE}),
    ]
    return steps, constants


def _linear(line: Line) -> Graph:
    steps, constants = _prepared(line.mean, line.scale)
    constants |= {
        "slope": line.slope.astype(F64),
        "absent": line.absent.astype(F64),
        "intercept": line.intercept.astype(F64),
    }
    steps += [
        ("MatMul", ["z", "slope"], "of_values", {}),
        ("MatMul", ["gaps", "absent"], "of_gaps", {}),
        ("Add", ["of_values", "of_gaps"], "slopes", {}),
        ("Add", ["slopes", "intercept"], "sum", {}),
    ]
    return _scored(line.link, "sum", line.outputs, steps, constants)


def _layers(network: Network) -> Graph:
    steps, constants = _prepared(network.mean, network.scale)
    steps.append(("Concat", ["z", "gaps"], "layer_0", {"axis": 1}))
    for i, layer in enumerate(network.layers):
        constants |= {f"weight_{i}": layer.weight.astype(F64)}
        constants |= {f"bias_{i}": layer.bias.astype(F64)}
        steps.append(("MatMul", [f"layer_{i}", f"weight_{i}"], f"product_{i}", {}))
        steps.append(("Add", [f"product_{i}", f"bias_{i}"], f"sum_{i}", {}))
        steps.append((_OPERATORS[network.activation], [f"sum_{i}"], f"layer_{i + 1}", {}))
    steps.pop()
    last = f"sum_{len(network.layers) - 1}"
    return _scored(network.link, last, network.outputs, steps, constants)


def _scored(
    link: Link, said: str, outputs: int, steps: list[Step], constants: dict[str, Column]
) -> Graph:
    """The end of a graph that computes in another precision than its output has."""
    ending, more = _linked(link, said, "probability", outputs)
    steps = [*steps, *ending]
    steps.append(("Cast", [steps[-1][2]], OUTPUT, {"to": TensorProto.FLOAT}))
    return _nodes(steps), constants | more


def _nodes(steps: list[Step]) -> list[NodeProto]:
    return [helper.make_node(op, ins, [out], **more) for op, ins, out, more in steps]
