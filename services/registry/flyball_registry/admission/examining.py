"""The whole examination of a bundle that passed outside, and what the model costs. Runs the model."""

import math
from collections.abc import Callable
from typing import Final

import numpy as np
from onnx import TensorProto, helper

from flyball_proto.columns import F32
from flyball_proto.events import Manifest
from flyball_registry.admission import answers, onnxfile, structure
from flyball_registry.admission.checks import inside, unloadable
from flyball_registry.admission.claims import Expected, Refusal, Unfit
from flyball_registry.admission.frames import Order, Outcome, refused
from flyball_registry.scoring.sessions import (
    MEASURED_ROWS,
    Session,
    UnusableModelError,
    latency_p99_ms,
)

MEASURED_AGAIN: Final = 3
"""A model is refused as too slow only if it was so each of so many times."""

Resident = Callable[[], int]
"""Bytes of the process that are in memory and its own."""


def examined(order: Order, resident: Resident) -> Outcome:
    """Check everything, then measure; in lockstep what is measured decides nothing."""
    found, expected = order.found, order.expected
    refusal = next(inside(order.claim, found, expected, order.keys), None)
    if refusal is not None or found.onnx is None or found.manifest is None:
        return refused(refusal) if refusal else Outcome()
    manifest = Manifest.model_validate_json(found.manifest)
    before_bytes = resident()
    try:
        session = Session(found.onnx, manifest)
        session.run(np.zeros((MEASURED_ROWS, len(manifest.features)), F32))
    except UnusableModelError as error:
        return refused(unloadable(error))
    memory_bytes = max(0, resident() - before_bytes)
    refusal = next(answers.refusals(found, manifest, expected, session), None)
    if refusal is not None:
        return refused(refusal, memory_bytes=memory_bytes)
    p99_ms = _p99_ms(session, len(manifest.features), expected)
    refusal = too_dear(p99_ms, memory_bytes, expected) if order.claim.mark is None else None
    if refusal is not None:
        return refused(refusal, p99_ms, memory_bytes)
    return Outcome(latency_p99_ms=p99_ms, memory_bytes=memory_bytes)


def too_dear(p99_ms: float, memory_bytes: int, expected: Expected) -> Refusal | None:
    """What was measured against the budgets."""
    if p99_ms > expected.latency_p99_ms:
        return Refusal("latency", f"p99 {p99_ms:.3g} ms", f"{expected.latency_p99_ms:g} ms")
    if memory_bytes > expected.memory_bytes:
        found = f"{memory_bytes} bytes when loaded and run"
        return Refusal("memory", found, f"{expected.memory_bytes} bytes")
    return None


def warm_up() -> None:
    """Do once what every examination would do first, so that it counts as no model's own."""
    names = tuple("ab")
    graph = helper.make_graph(
        [
            helper.make_node("ReduceSum", ["features"], ["sum"], keepdims=1),
            helper.make_node("Sigmoid", ["sum"], ["score"]),
        ],
        "warm",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", len(names)])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n", 1])],
    )
    opsets = [helper.make_opsetid("", 17)]
    onnx = helper.make_model(graph, ir_version=8, opset_imports=opsets).SerializeToString()
    manifest = Manifest(
        digest="",
        pipeline="warm",
        trainer="warm",
        kind="warm",
        feature_digest="",
        features=names,
        task="regression",
    )
    structure.refused(onnx)
    opened = onnxfile.parse(onnx)
    if not isinstance(opened, Unfit):
        onnxfile.valid(opened)
    latency_p99_ms(Session(onnx, manifest), len(names))


def _p99_ms(session: Session, width: int, expected: Expected) -> float:
    """The best of some measurements, as long as they are over the budget."""
    best_ms = math.inf
    for _ in range(MEASURED_AGAIN):
        best_ms = min(best_ms, latency_p99_ms(session, width))
        if best_ms <= expected.latency_p99_ms:
            break
    return round(best_ms, 3)
