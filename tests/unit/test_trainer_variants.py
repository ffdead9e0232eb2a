"""Smaller forms of networks, and the rows by which all forms are compared."""

from typing import Any

import numpy as np
import onnx
import onnxruntime as ort
import pytest
from onnx import TensorProto, helper, numpy_helper

from flyball_proto.bundles import (
    MAX_EXPECTED_BYTES,
    MAX_EXPECTED_ROWS,
    Expected,
    decode_expected,
    encode_expected,
)
from flyball_trainer.training.expected import most_rows
from flyball_trainer.training.running import UnrunnableError, scores
from flyball_trainer.training.variants import LeftOut, Made, made

WIDTH, HIDDEN = 6, 16


def network(dtype: Any = np.float32, scale: float = 0.3) -> bytes:
    """Rows f32 (n, WIDTH) through one hidden layer to a probability."""
    rng = np.random.default_rng(0)
    kind = helper.np_dtype_to_tensor_dtype(np.dtype(dtype))
    first = rng.normal(scale=scale, size=(WIDTH, HIDDEN)).astype(dtype)
    last = rng.normal(scale=scale, size=(HIDDEN, 1)).astype(dtype)
    nodes = [
        helper.make_node("Cast", ["features"], ["x"], to=kind),
        helper.make_node("MatMul", ["x", "first"], ["h"]),
        helper.make_node("Relu", ["h"], ["r"]),
        helper.make_node("MatMul", ["r", "last"], ["log_odds"]),
        helper.make_node("Sigmoid", ["log_odds"], ["p"]),
        helper.make_node("Cast", ["p"], ["score"], to=TensorProto.FLOAT),
    ]
    graph = helper.make_graph(
        nodes,
        "network",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", WIDTH])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n", 1])],
        [numpy_helper.from_array(first, "first"), numpy_helper.from_array(last, "last")],
    )
    model = helper.make_model(graph, ir_version=8, opset_imports=[helper.make_opsetid("", 17)])
    helper.set_model_props(model, {"flyball.manifest": "m"})
    written: bytes = model.SerializeToString(deterministic=True)
    return written


def known(model: bytes) -> Expected:
    rows = np.random.default_rng(1).normal(size=(300, WIDTH)).astype(np.float32)
    return Expected(rows, scores(model, rows))


@pytest.mark.parametrize("dtype", [np.float32, np.float64])
@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_a_variant_is_smaller_nearly_as_good_and_says_how_far_off(
    precision: Any, dtype: Any
) -> None:
    model = network(dtype)
    found = made(model, precision, known(model), "binary")
    assert isinstance(found, Made)
    assert found.variant.size_bytes == len(found.onnx) < len(model)
    apart = np.abs(scores(found.onnx, known(model).feature) - known(model).score).max()
    assert found.variant.difference == pytest.approx(apart, rel=0.01)
    assert onnx.load_from_string(found.onnx).metadata_props[0].value == "m"


@pytest.mark.parametrize("precision", ["float16", "int8"])
def test_a_row_gets_the_same_score_in_every_batch(precision: Any) -> None:
    model = network()
    found = made(model, precision, known(model), "binary")
    assert isinstance(found, Made)
    rows = known(model).feature.copy()
    rows[7] = 1e6
    session = ort.InferenceSession(found.onnx)
    together = session.run(["score"], {"features": rows})[0]
    pairs = [session.run(["score"], {"features": rows[i : i + 2]})[0] for i in range(0, 300, 2)]
    assert np.abs(together - np.concatenate(pairs)).max() < 1e-6


def test_a_variant_that_answers_otherwise_is_left_out_and_told() -> None:
    model = network(scale=3.0)
    found = made(model, "int8", known(model), "binary")
    assert isinstance(found, LeftOut)
    assert "at most 0.02 may be" in found.why


def test_weights_that_float16_cannot_hold_are_left_out() -> None:
    found = made(network(scale=1e5), "float16", known(network()), "binary")
    assert isinstance(found, LeftOut)
    assert "larger than 65504" in found.why


def test_the_same_model_gives_the_same_bytes() -> None:
    model = network()
    assert made(model, "int8", known(model), "binary") == made(
        model, "int8", known(model), "binary"
    )


def test_what_onnx_runtime_does_not_take_is_said_in_one_line() -> None:
    with pytest.raises(UnrunnableError, match=r"\S"):
        scores(b"no model", np.zeros((2, WIDTH), np.float32))


def test_expected_rows_keep_within_their_bounds_however_wide_they_are() -> None:
    assert most_rows(40, 1) == MAX_EXPECTED_ROWS
    rows = most_rows(10_000, 3)
    wide = Expected(np.zeros((rows, 10_000), np.float32), np.zeros((rows, 3)))
    assert MAX_EXPECTED_BYTES * 0.9 < len(encode_expected(wide)) <= MAX_EXPECTED_BYTES
    assert decode_expected(encode_expected(wide)).score.shape == (rows, 3)
