"""A fitted model as an ONNX file: one input `features` f32 (n, width), one output `score` f32 (n, 1).

Trees become one TreeEnsembleRegressor: onnxmltools takes 80 ms for 100 trees of 31 leaves, this
8 (measured: tests/bench/bench_conversion.py), and it writes no label output. Linear models
are computed in double precision. The same model gives the same bytes.
"""

import hashlib
from collections.abc import Mapping
from typing import Any, Final

import numpy as np
from onnx import AttributeProto, ModelProto, NodeProto, TensorProto, helper, numpy_helper

from flyball_proto.bundles import content_digest
from flyball_proto.columns import F64, Column
from flyball_proto.events import Manifest
from flyball_trainer.forms.forest import Forest
from flyball_trainer.forms.line import CLIP, Line

OPSET: Final = 17
ML_OPSET: Final = 3
IR_VERSION: Final = 8
INPUT, OUTPUT = "features", "score"
_ML: Final = "ai.onnx.ml"

Graph = tuple[list[NodeProto], Mapping[str, Column]]


def bundle(form: Forest | Line, draft: Manifest) -> tuple[bytes, Manifest]:
    """The ONNX file and the manifest that names it; `draft` is the manifest without a digest."""
    model = onnx_model(form)
    helper.set_model_props(model, {"flyball.manifest": content_digest(draft)})
    written = model.SerializeToString(deterministic=True)
    return written, draft.model_copy(update={"digest": hashlib.sha256(written).hexdigest()})


def onnx_model(form: Forest | Line) -> ModelProto:
    """The model without metadata."""
    nodes, constants = _trees(form) if isinstance(form, Forest) else _linear(form)
    graph = helper.make_graph(
        nodes,
        "forest" if isinstance(form, Forest) else "line",
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", form.width])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    opsets = [helper.make_opsetid("", OPSET), helper.make_opsetid(_ML, ML_OPSET)]
    return helper.make_model(
        graph, ir_version=IR_VERSION, opset_imports=opsets, producer_name="flyball"
    )


def _trees(forest: Forest) -> Graph:
    said = "log_odds" if forest.binary else OUTPUT
    nodes = [_ensemble(forest, said)]
    if forest.binary:
        nodes.append(helper.make_node("Sigmoid", [said], [OUTPUT]))
    return nodes, {}


def _ensemble(forest: Forest, said: str) -> NodeProto:
    """Inner nodes are numbered first, then all leaves; listed they are tree by tree, roots first."""
    inner, leaves = len(forest.tree), len(forest.leaf)
    unused = np.zeros(leaves, np.int64)
    trees = np.append(forest.tree, forest.leaf_tree)
    order = np.argsort(trees, kind="stable")
    node = helper.make_node("TreeEnsembleRegressor", [INPUT], [said], domain=_ML)
    of_nodes = {
        "nodes_falsenodeids": np.append(_ids(forest.right, inner), unused),
        "nodes_featureids": np.append(forest.feature, unused),
        "nodes_missing_value_tracks_true": np.append(forest.missing_left, unused),
        "nodes_nodeids": np.arange(inner + leaves),
        "nodes_treeids": trees,
        "nodes_truenodeids": np.append(_ids(forest.left, inner), unused),
    }
    of_leaves = {
        "target_ids": unused,
        "target_nodeids": inner + np.arange(leaves),
        "target_treeids": forest.leaf_tree,
    }
    thresholds = np.append(forest.threshold, unused)[order]
    modes = np.array([b"BRANCH_LEQ", b"LEAF"])[(order >= inner).astype(np.int64)].tolist()
    node.attribute.extend(_integers(name, values[order]) for name, values in of_nodes.items())
    node.attribute.extend(_integers(name, values) for name, values in of_leaves.items())
    node.attribute.extend(
        [
            _floats("base_values", np.array([forest.offset])),
            _floats("nodes_values", thresholds),
            _floats("target_weights", forest.leaf),
            AttributeProto(name="nodes_modes", type=AttributeProto.STRINGS, strings=modes),
            AttributeProto(name="n_targets", type=AttributeProto.INT, i=1),
        ]
    )
    return node


def _ids(children: Column, inner: int) -> Column:
    """Numbers of inner nodes stay, leaf ~i becomes the node behind all inner ones."""
    return np.where(children >= 0, children, inner + ~children)


def _integers(name: str, values: Column) -> AttributeProto:
    ints = values.astype(np.int64).tolist()
    return AttributeProto(name=name, type=AttributeProto.INTS, ints=ints)


def _floats(name: str, values: Column) -> AttributeProto:
    return AttributeProto(name=name, type=AttributeProto.FLOATS, floats=values.tolist())


def _linear(line: Line) -> Graph:
    constants: dict[str, Column] = {
        "mean": line.mean.astype(F64),
        "scale": line.scale.astype(F64),
        "slope": line.slope.astype(F64)[:, None],
        "absent": line.absent.astype(F64)[:, None],
        "intercept": np.array([line.intercept], F64),
        "least": np.array(-CLIP, F64),
        "most": np.array(CLIP, F64),
    }
    steps: list[tuple[str, list[str], str, dict[str, Any]]] = [
        ("IsNaN", [INPUT], "missing", {}),
        ("Cast", [INPUT], "value", {"to": TensorProto.DOUBLE}),
        ("Where", ["missing", "mean", "value"], "filled", {}),
        ("Sub", ["filled", "mean"], "centred", {}),
        ("Div", ["centred", "scale"], "unbounded", {}),
        ("Clip", ["unbounded", "least", "most"], "z", {}),
        ("MatMul", ["z", "slope"], "of_values", {}),
        ("Cast", ["missing"], "gaps", {"to": TensorProto.DOUBLE}),
        ("MatMul", ["gaps", "absent"], "of_gaps", {}),
        ("Add", ["of_values", "of_gaps"], "slopes", {}),
        ("Add", ["slopes", "intercept"], "sum", {}),
    ]
    if line.binary:
        steps.append(("Sigmoid", ["sum"], "probability", {}))
    steps.append(("Cast", [steps[-1][2]], OUTPUT, {"to": TensorProto.FLOAT}))
    nodes = [helper.make_node(op, ins, [out], **more) for op, ins, out, more in steps]
    return nodes, constants
