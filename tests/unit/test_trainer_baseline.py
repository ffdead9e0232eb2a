import math
from typing import Any

import numpy as np
import pytest
from onnx.reference import ReferenceEvaluator
from tests.broker.chain import catalogue, documents

from flyball_proto.bundles import content_digest
from flyball_proto.spec import Catalogue, parse_documents
from flyball_trainer.seatzero.baseline import Guess, Logistic, Repeated, baseline
from flyball_trainer.seatzero.onnxfile import write


def of(found: Catalogue) -> Guess:
    return baseline(found.pipelines["p"], found.sources["p"]).guess


def target(task: str, expression: str | None = None, **more: Any) -> dict[str, Any]:
    written = {"task": task, "expression": expression, "horizon": "30s", **more}
    return {
        "target": {k: v for k, v in written.items() if v is not None},
        "decisions": [],
    }


LAST, MEAN = 0, 1
"""Columns of `load.last` and `load.mean.4` in the tests' pipeline."""


@pytest.mark.parametrize(
    ("spec", "wanted"),
    [
        (target("regression", "mean(load)"), Guess(0.5, LAST)),
        (target("regression", "max(users)"), Guess(0.0)),
        (target("regression", "last(load) - load"), Guess(0.0)),
        (target("binary", "max(load) > 0.9"), Guess(0.5, LAST, Logistic(0.9, 20.0))),
        (target("binary", "min(load) <= 0.2"), Guess(0.5, LAST, Logistic(0.2, -20.0))),
        (target("binary", kind="feedback"), Guess(0.5)),
        (target("regression", kind="feedback"), Guess(0.0)),
        (target("multiclass", kind="feedback", classes=["a", "b", "c", "d"]), Guess(0.25)),
    ],
    ids=lambda value: "" if isinstance(value, Guess) else str(value["target"]),
)
def test_what_the_baseline_says_of_each_kind_of_target(spec: dict[str, Any], wanted: Guess) -> None:
    assert of(catalogue("p", **spec)) == wanted


def test_without_a_last_value_the_mean_over_the_smallest_window_stands_in() -> None:
    blocks = [{"metric": "load", "windows": [4, 8], "aggregates": ["mean", "max"]}]
    found = catalogue("p", features=blocks)
    made = baseline(found.pipelines["p"], found.sources["p"])
    assert made.features[made.guess.column or 0] == "load.mean.4"


def test_without_either_the_prior_is_all() -> None:
    found = catalogue("p", features=[{"metric": "users", "aggregates": ["last"]}])
    guess = of(found)
    assert (guess.prior, guess.column) == (0.5, None)


def test_a_threshold_on_a_change_is_a_constant() -> None:
    guess = of(catalogue("p", **target("binary", "max(load) - load > 0.1")))
    assert guess == Guess(pytest.approx(1 / (1 + math.exp(2))))


@pytest.mark.parametrize(("threshold", "scale"), [(100.0, 5.0), (0.1, 0.05)])
def test_without_a_range_the_scale_follows_the_threshold(threshold: float, scale: float) -> None:
    blocks = [{"metric": "users", "windows": [4], "aggregates": ["last"]}]
    found = catalogue("p", features=blocks, **target("binary", f"max(users) > {threshold}"))
    logistic = of(found).logistic
    assert logistic is not None
    assert 1 / logistic.slope == pytest.approx(scale)


def scored(found: Catalogue, rows: list[list[float]]) -> list[float]:
    onnx, manifest = write(baseline(found.pipelines["p"], found.sources["p"]))
    run = ReferenceEvaluator(onnx).run(
        [manifest.output_name], {manifest.input_name: np.float32(rows)}
    )
    assert run[0].shape == (len(rows), 1)
    assert run[0].dtype == np.float32
    return [float(s) for s in run[0][:, 0]]


def test_the_file_says_what_the_guess_says() -> None:
    rows = [[0.9, 0.0], [1.0, 0.0], [math.nan, 0.9]]
    guess = Logistic(0.9, 20.0)
    assert scored(catalogue("p"), rows) == pytest.approx([guess(0.9), guess(1.0), 0.5], abs=1e-6)
    regression = catalogue("p", **target("regression", "mean(load)"))
    assert scored(regression, rows) == pytest.approx([0.9, 1.0, 0.5])
    constant = catalogue("p", **target("regression", "last(load) - load"))
    assert scored(constant, rows) == [0.0, 0.0, 0.0]


def test_the_same_specification_gives_the_same_bytes() -> None:
    first, again = (write(baseline(c.pipelines["p"], c.sources["p"])) for c in [catalogue("p")] * 2)
    assert first == again


def test_pipelines_that_differ_in_name_alone_have_models_of_different_digests() -> None:
    one, other = (parse_documents(documents(name)) for name in ("p", "q"))
    mine = write(baseline(one.pipelines["p"], one.sources["p"]))[1]
    theirs = write(baseline(other.pipelines["q"], other.sources["q"]))[1]
    assert mine.feature_digest == theirs.feature_digest
    assert mine.digest != theirs.digest
    assert content_digest(mine) != content_digest(theirs)


TRUTHS = [
    {"metric": "load", "windows": [4], "aggregates": ["last"]},
    {"truth": [1, 2], "truth_means": [4]},
]


@pytest.mark.parametrize(
    ("task", "wanted", "scores"),
    [
        ("binary", Guess(0.5, 1, repeated=Repeated(0.35)), [0.15, 0.85, 0.5, 0.85, 0.15]),
        ("regression", Guess(0.0, 1), [0.0, 1.0, 0.0, 7.0, -3.0]),
    ],
)
def test_of_a_feedback_target_the_newest_truth_is_repeated(
    task: str, wanted: Guess, scores: list[float]
) -> None:
    found = catalogue("p", features=TRUTHS, **target(task, kind="feedback"))
    assert of(found) == wanted
    rows = [[9.0, truth, 0.3, 0.4] for truth in (0.0, 1.0, math.nan, 7.0, -3.0)]
    assert scored(found, rows) == pytest.approx(scores, abs=1e-6)
    if wanted.repeated is not None:
        assert wanted.repeated(7.0) == pytest.approx(0.85)


def test_without_the_newest_truth_among_the_features_the_prior_is_all() -> None:
    blocks = [TRUTHS[0], {"truth": [2]}]
    assert of(catalogue("p", features=blocks, **target("binary", kind="feedback"))) == Guess(0.5)


@pytest.mark.parametrize(
    ("spec", "digest"),
    [
        ({}, "45c002f897bcc880"),
        (target("regression", "mean(load)"), "71c5c7071de3b4fb"),
        (target("binary", kind="feedback"), "b13f2be994357be9"),
    ],
    ids=["binary", "regression", "feedback"],
)
def test_a_baseline_that_was_delivered_once_keeps_its_digest(
    spec: dict[str, Any], digest: str
) -> None:
    found = catalogue("p", **spec)
    assert write(baseline(found.pipelines["p"], found.sources["p"]))[1].digest[:16] == digest


CLASSES = ["calm", "rain", "storm", "flood"]


def test_of_several_classes_the_one_that_was_true_last_is_likeliest() -> None:
    blocks = [{"metric": "load", "windows": [4], "aggregates": ["last"]}, {"truth": [1]}]
    found = catalogue(
        "p", features=blocks, **target("multiclass", kind="feedback", classes=CLASSES)
    )
    onnx, manifest = write(baseline(found.pipelines["p"], found.sources["p"]))
    assert manifest.classes == tuple(CLASSES)
    rows = np.float32([[0.5, 2], [0.5, 0], [0.5, np.nan]])
    odd = np.float32([[0, value] for value in (0.5, 1.5, -7, 1e6, 1e-6)])
    (sums,) = ReferenceEvaluator(onnx).run(["score"], {"features": odd})
    assert sums.sum(axis=1) == pytest.approx(np.ones(5)), "whatever comes, one class is likely"
    (scores,) = ReferenceEvaluator(onnx).run(["score"], {"features": rows})
    assert scores == pytest.approx(
        np.array([[0.05, 0.05, 0.85, 0.05], [0.85, 0.05, 0.05, 0.05], [0.25] * 4]), abs=1e-6
    )


def test_without_the_truth_that_arrived_every_class_is_as_likely() -> None:
    found = catalogue("p", **target("multiclass", kind="feedback", classes=CLASSES))
    onnx, manifest = write(baseline(found.pipelines["p"], found.sources["p"]))
    rows = np.zeros((2, len(manifest.features)), np.float32)
    (scores,) = ReferenceEvaluator(onnx).run(["score"], {"features": rows})
    assert scores == pytest.approx(np.full((2, 4), 0.25))
