"""The figures that a replay ends with, by value; models are scored for real."""

import hashlib

import numpy as np
import pytest
from onnx import TensorProto, helper

from flyball_local.prequential import Bundles, Candidate, Evidence, Figures, compare
from flyball_local.prequential.figures import first_model, reigns

HOUR_MS = 3_600_000


def evidence(label, score, *, task="binary", feature=None, weight=None, partition=None):
    n = len(label)
    return Evidence(
        task,
        np.asarray(feature if feature is not None else np.zeros((n, 1)), np.float32),
        np.asarray(label, np.float64),
        np.ones(n) if weight is None else np.asarray(weight, np.float64),
        np.asarray(score, np.float64),
        np.arange(n, dtype=np.int64) * HOUR_MS,
        np.arange(1, n + 1, dtype=np.uint64),
        np.zeros(n, np.uint16) if partition is None else np.asarray(partition, np.uint16),
    )


def test_a_binary_score_is_judged_by_brier_and_accuracy():
    rows = evidence([1, 0, 1, 0], [0.9, 0.2, 0.4, np.nan])
    found = rows.figures(rows.score, 0)
    assert found == Figures(pytest.approx((0.01 + 0.04 + 0.36 + 1.0) / 4), 0.75)


def test_a_regression_score_is_judged_by_its_absolute_error():
    rows = evidence([1.0, 5.0], [2.0, 2.0], task="regression")
    assert rows.figures(rows.score, 0) == Figures(2.0, None)
    assert rows.figures(rows.score, 1) == Figures(3.0, None)
    assert rows.figures(rows.score, 2) is None


def test_scores_of_several_classes_are_judged_by_half_their_brier_and_the_likeliest():
    rows = evidence([0, 2, 1], [0, 0, 0], task="multiclass")
    said = np.array([[0.8, 0.2, 0.0], [0.5, 0.2, 0.3], [np.nan, 0.5, 0.5]])
    first, second = (0.2**2 + 0.2**2) / 2, (0.5**2 + 0.2**2 + 0.7**2) / 2
    assert rows.figures(said, 0) == Figures(pytest.approx((first + second + 1) / 3), 1 / 3)


def test_rows_left_alone_at_random_stand_for_all_like_them():
    rows = evidence([1, 0], [0.5, 0.0], weight=[20, 1])
    found = rows.figures(rows.score, 0)
    assert found is not None
    assert found.value == pytest.approx(20 * 0.25 / 21)


def test_a_trainer_answers_with_the_newest_model_that_was_valid():
    models = [
        Candidate("a", "t", 1, {0: 2}),
        Candidate("b", "t", 2, {0: 4}),
        Candidate("x", "u", 2, {0: 0}),
    ]
    rows = evidence([0] * 6, [0] * 6)
    assert reigns(models, "t", rows).tolist() == [-1, -1, 0, 0, 1, 1]


def test_partitions_count_apart():
    models = [Candidate("a", "t", 1, {0: 10, 1: 2})]
    rows = evidence([0] * 6, [0] * 6, partition=[0, 1, 0, 1, 0, 1])
    assert reigns(models, "t", rows).tolist() == [-1, -1, -1, 0, -1, 0]


def test_a_first_model_has_learnt_from_the_first_rows_alone():
    models = [Candidate("a", "t", 5, {}), Candidate("b", "t", 9, {}), Candidate("c", "u", 8, {})]
    assert first_model(models, "t", 8) == models[0]
    assert first_model(models, "t", 4) is None


def constant(value: float) -> bytes:
    """A model that always says the same."""
    nodes = [
        helper.make_node("ReduceSum", ["features", "axes"], ["sum"], keepdims=1),
        helper.make_node("Mul", ["sum", "zero"], ["nothing"]),
        helper.make_node("Add", ["nothing", "value"], ["score"]),
    ]
    graph = helper.make_graph(
        nodes,
        "constant",
        [helper.make_tensor_value_info("features", TensorProto.FLOAT, ["n", 1])],
        [helper.make_tensor_value_info("score", TensorProto.FLOAT, ["n", 1])],
        [
            helper.make_tensor("axes", TensorProto.INT64, [1], [1]),
            helper.make_tensor("zero", TensorProto.FLOAT, [1], [0.0]),
            helper.make_tensor("value", TensorProto.FLOAT, [1], [value]),
        ],
    )
    opset = helper.make_opsetid("", 17)
    return helper.make_model(graph, ir_version=8, opset_imports=[opset]).SerializeToString()


class Shelf:
    """Objects by key, in memory: what is tested is the comparison, not S3."""

    def __init__(self, *values: float) -> None:
        self.files = {hashlib.sha256(f).hexdigest(): f for f in map(constant, values)}

    async def get(self, key: str, max_bytes: int, *, digest: str) -> bytes:
        assert key == f"models/{digest}/model.onnx"
        return self.files[digest]


async def test_the_decisions_stand_beside_what_else_could_have_been_had():
    shelf = Shelf(0.5, 0.75, 1.0)
    half, some, sure = shelf.files
    models = [
        Candidate(half, "baseline", 0, {}),
        Candidate(some, "t", 1 * HOUR_MS, {0: 2}),
        Candidate(sure, "t", 5 * HOUR_MS, {0: 6}),
    ]
    rows = evidence([1] * 10, [0.9] * 10)
    found = await compare(rows, models, Bundles(shelf), seat="t")
    assert found.rows == 8
    assert found.trainer == "t"
    assert found.as_json() == {
        "metric": "brier",
        "value": pytest.approx(0.01),
        "accuracy": 1.0,
        "rows": 8,
        "trainer": "t",
        "whole": {"value": pytest.approx(0.01), "accuracy": 1.0},
        "baseline": {
            "persistence": {"value": 0.25, "accuracy": 0.0},
            "first_model": {"value": 0.0625, "accuracy": 1.0},
            "ungated_retraining": {"value": 4 * 0.0625 / 8, "accuracy": 1.0},
        },
    }


async def test_without_labels_nothing_is_known():
    found = await compare(evidence([], []), [], Bundles(Shelf()), seat=None)
    assert found.as_json()["value"] is None
    assert found.as_json()["baseline"]["persistence"] is None
