"""Trees as one TreeEnsembleRegressor.

onnxmltools takes 80 ms for 100 trees of 31 leaves, this 8 (measured: tests/bench/bench_conversion.py),
and it writes no label output.
"""

from typing import Final

import numpy as np
from onnx import AttributeProto, NodeProto, helper

from flyball_proto.columns import Column
from flyball_trainer.forms.forest import Forest

ML_DOMAIN: Final = "ai.onnx.ml"


def ensemble(forest: Forest, taken: str, said: str) -> NodeProto:
    """Inner nodes are numbered first, then all leaves; listed they are tree by tree, roots first."""
    inner, leaves = len(forest.tree), len(forest.leaf_tree)
    unused = np.zeros(leaves, np.int64)
    trees = np.append(forest.tree, forest.leaf_tree)
    order = np.argsort(trees, kind="stable")
    node = helper.make_node("TreeEnsembleRegressor", [taken], [said], domain=ML_DOMAIN)
    of_nodes = {
        "nodes_falsenodeids": np.append(_ids(forest.right, inner), unused),
        "nodes_featureids": np.append(forest.feature, unused),
        "nodes_missing_value_tracks_true": np.append(forest.missing_left, unused),
        "nodes_nodeids": np.arange(inner + leaves),
        "nodes_treeids": trees,
        "nodes_truenodeids": np.append(_ids(forest.left, inner), unused),
    }
    of_leaves = {
        "target_ids": forest.output,
        "target_nodeids": inner + forest.leaf,
        "target_treeids": forest.leaf_tree[forest.leaf],
    }
    thresholds = np.append(forest.threshold, unused)[order]
    modes = np.array([b"BRANCH_LEQ", b"LEAF"])[(order >= inner).astype(np.int64)].tolist()
    node.attribute.extend(_integers(name, values[order]) for name, values in of_nodes.items())
    node.attribute.extend(_integers(name, values) for name, values in of_leaves.items())
    node.attribute.extend(
        [
            _floats("base_values", forest.offset),
            _floats("nodes_values", thresholds),
            _floats("target_weights", forest.value),
            AttributeProto(name="nodes_modes", type=AttributeProto.STRINGS, strings=modes),
            AttributeProto(name="n_targets", type=AttributeProto.INT, i=forest.outputs),
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
