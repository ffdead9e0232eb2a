"""A baseline as an ONNX file and its manifest: the same baseline, the same bytes, the same digest."""

import hashlib
from typing import Any, Final

import numpy as np
from numpy.typing import NDArray
from onnx import ModelProto, NodeProto, TensorProto, helper, numpy_helper

from flyball_proto.bundles import content_digest
from flyball_proto.events import Manifest
from flyball_trainer.seatzero.baseline import TRAINER, Baseline, Guess, Repeated

OPSET: Final = 17
IR_VERSION: Final = 8
INPUT, OUTPUT = "features", "score"


def write(baseline: Baseline) -> tuple[bytes, Manifest]:
    """The ONNX file and the manifest that names it."""
    draft = Manifest(
        digest="",
        pipeline=baseline.pipeline,
        trainer=TRAINER,
        kind=TRAINER,
        feature_digest=baseline.feature_digest,
        features=baseline.features,
        task=baseline.task,
        input_name=INPUT,
        output_name=OUTPUT,
        parameters=_parameters(baseline.guess, baseline.features),
        classes=baseline.classes,
    )
    model = _model(baseline.guess, len(baseline.features), len(baseline.classes))
    helper.set_model_props(model, {"flyball.manifest": content_digest(draft)})
    onnx = model.SerializeToString(deterministic=True)
    return onnx, draft.model_copy(update={"digest": hashlib.sha256(onnx).hexdigest()})


def _parameters(guess: Guess, features: tuple[str, ...]) -> dict[str, float | int | str | bool]:
    found: dict[str, float | int | str | bool] = {"prior": guess.prior}
    if guess.column is not None:
        found["feature"] = features[guess.column]
        if guess.logistic is not None:
            found |= {"centre": guess.logistic.centre, "slope": guess.logistic.slope}
        if guess.repeated is not None:
            found["confidence"] = guess.repeated.confidence
    return found


def _model(guess: Guess, width: int, classes: int) -> ModelProto:
    constants: dict[str, NDArray[Any]] = {
        "prior": np.full(max(1, classes), guess.prior, np.float32),
        "column": np.array([guess.column or 0], np.int64),
    }
    nodes = [
        helper.make_node("Gather", [INPUT, "column"], ["value"], axis=1),
        helper.make_node("IsNaN", ["value"], ["missing"]),
    ]
    said = "prior" if guess.column is None else "value"
    if classes and guess.repeated is not None:
        constants |= _class_constants(guess.repeated, classes)
        nodes += _class_nodes()
        said = "probability"
    if guess.column is not None and guess.logistic is not None:
        constants["centre"] = _float(guess.logistic.centre)
        constants["slope"] = _float(guess.logistic.slope)
        nodes += _logistic_nodes()
        said = "probability"
    if guess.column is not None and guess.repeated is not None and not classes:
        constants["least"], constants["most"] = np.array(0, np.float32), np.array(1, np.float32)
        constants["width"] = _float(2 * guess.repeated.confidence)
        constants["lowest"] = _float(0.5 - guess.repeated.confidence)
        nodes += _repeated_nodes()
        said = "probability"
    nodes.append(helper.make_node("Where", ["missing", "prior", said], [OUTPUT]))
    graph = helper.make_graph(
        nodes,
        TRAINER,
        [helper.make_tensor_value_info(INPUT, TensorProto.FLOAT, ["n", width])],
        [helper.make_tensor_value_info(OUTPUT, TensorProto.FLOAT, ["n", max(1, classes)])],
        [numpy_helper.from_array(array, name) for name, array in constants.items()],
    )
    return helper.make_model(
        graph,
        ir_version=IR_VERSION,
        opset_imports=[helper.make_opsetid("", OPSET)],
        producer_name="flyball",
    )


def _logistic_nodes() -> list[NodeProto]:
    return [
        helper.make_node("Sub", ["value", "centre"], ["distance"]),
        helper.make_node("Mul", ["distance", "slope"], ["logit"]),
        helper.make_node("Sigmoid", ["logit"], ["probability"]),
    ]


def _repeated_nodes() -> list[NodeProto]:
    return [
        helper.make_node("Clip", ["value", "least", "most"], ["truth"]),
        helper.make_node("Mul", ["truth", "width"], ["above"]),
        helper.make_node("Add", ["above", "lowest"], ["probability"]),
    ]


def _class_constants(repeated: Repeated, classes: int) -> dict[str, NDArray[Any]]:
    top = 0.5 + repeated.confidence
    return {
        "classes": np.arange(classes, dtype=np.float32)[None, :],
        "half": np.array(0.5, np.float32),
        "likely": _float(top),
        "unlikely": _float((1 - top) / (classes - 1)),
        "least": np.array(0, np.float32),
        "most": np.array(classes - 1, np.float32),
    }


def _class_nodes() -> list[NodeProto]:
    """The class whose number is nearest to the truth that arrived last."""
    return [
        helper.make_node("Clip", ["value", "least", "most"], ["within"]),
        helper.make_node("Round", ["within"], ["truth"]),
        helper.make_node("Sub", ["classes", "truth"], ["from_truth"]),
        helper.make_node("Abs", ["from_truth"], ["away"]),
        helper.make_node("Less", ["away", "half"], ["is_it"]),
        helper.make_node("Where", ["is_it", "likely", "unlikely"], ["probability"]),
    ]


def _float(value: float) -> NDArray[Any]:
    return np.array([value], np.float32)
