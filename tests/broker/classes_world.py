"""The registry's world with three classes: nothing happens, or something small, or something large.

Something happens with the probability that the row's `load` says; three in four of it is small. A
model is a line as in the binary world: the probability that something happens.
"""

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Any

import numpy as np
from nats.aio.client import Client
from onnx import TensorProto, helper, numpy_helper
from tests.broker.judged_world import BEGIN_MS, World

from flyball_proto.columns import Mark, Model, Tally, decode_samples, encode_samples
from flyball_proto.events import Manifest

CLASSES = ("nothing", "small", "large")
KINDS = np.array([[-1.0, 0.75, 0.25]], np.float32)


def three_classes(line: tuple[float, float], width: int, salt: str) -> bytes:
    """`[1, 0, 0] + p * [-1, 3/4, 1/4]` with p = clip(slope * first feature + offset, 0, 1)."""
    weights = np.zeros((width, 1), np.float32)
    weights[0] = line[0]
    constants = {
        "weights": weights,
        "offset": np.array([line[1]], np.float32),
        "zero": np.array(0, np.float32),
        "one": np.array(1, np.float32),
        "half": np.array(0.5, np.float32),
        "kinds": KINDS,
        "first": np.array([[1.0, 0, 0]], np.float32),
    }
    nodes = [
        helper.make_node("IsNaN", ["features"], ["missing"]),
        helper.make_node("Where", ["missing", "half", "features"], ["whole"]),
        helper.make_node("MatMul", ["whole", "weights"], ["product"]),
        helper.make_node("Add", ["product", "offset"], ["sum"]),
        helper.make_node("Clip", ["sum", "zero", "one"], ["something"]),
        helper.make_node("MatMul", ["something", "kinds"], ["moved"]),
        helper.make_node("Add", ["moved", "first"], ["score"]),
    ]
    graph = helper.make_graph(
        nodes,
        "linear",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", width])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n", len(CLASSES)])],
        [numpy_helper.from_array(array, key) for key, array in constants.items()],
    )
    opset = [helper.make_opsetid("", 17)]
    model = helper.make_model(graph, ir_version=8, opset_imports=opset, producer_name=salt)
    made: bytes = model.SerializeToString(deterministic=True)
    return made


class ClassesWorld(World):
    """A pipeline whose truth is one of three classes."""

    def __init__(self, client: Client, common: dict[str, Any], name: str) -> None:
        target = {
            "task": "multiclass",
            "kind": "feedback",
            "horizon": "1s",
            "classes": list(CLASSES),
        }
        decisions = [{"action": "offload", "label": "large", "score_at_least": 0.5}]
        super().__init__(client, common, name, target=target, decisions=decisions)

    def bundle(
        self,
        trainer: str,
        line: tuple[float, float],
        through: int = 1,
        held_out_ms: int = BEGIN_MS,
    ) -> tuple[bytes, Manifest]:
        """A model's two files."""
        _, manifest = super().bundle(trainer, line, through, held_out_ms)
        onnx = three_classes(line, len(self.features), f"{self.name} {trainer} {through}")
        of_classes = {
            "digest": hashlib.sha256(onnx).hexdigest(),
            "task": "multiclass",
            "classes": CLASSES,
        }
        return onnx, manifest.model_copy(update=of_classes)

    def samples(
        self,
        seconds: int,
        model: Model | None,
        *,
        mark: Mark | None = None,
        tally: Sequence[Tally] = (),
        truth: Callable[[Any], Any] = lambda load: load,
    ) -> bytes:
        """The next seconds; of what happens every fourth is large. The decision's score says little."""
        made = super().samples(seconds, model, mark=mark, tally=tally, truth=truth)
        found = decode_samples(made)
        happened = found.label > 0
        label = np.where(happened, 1.0 + (np.cumsum(happened) % 4 == 0), 0.0)
        return encode_samples(replace(found, label=label, score=np.full(len(label), 0.9)))
