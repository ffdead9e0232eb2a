import hashlib
import json
import pickle
from dataclasses import replace
from typing import Any

import numpy as np
import onnxruntime as ort
import pytest
from tests.unit.training_rows import NAMES, features, order, training_rows

from flyball_proto.bundles import decode_expected
from flyball_proto.events import Manifest
from flyball_proto.spec.learning import ClassWeight
from flyball_trainer.training import dataset, making
from flyball_trainer.training.fitting import NotTrained, Order, Trained, train
from flyball_trainer.training.parity import Parity


def made(wanted: Order) -> Trained:
    found = train(wanted)
    assert isinstance(found, Trained)
    return found


def refused(wanted: Order) -> NotTrained:
    found = train(wanted)
    assert isinstance(found, NotTrained)
    return found


def test_a_training_says_what_it_learnt_from_and_what_it_is() -> None:
    found = made(order())
    manifest = found.manifest
    assert manifest.pipeline == "congestion"
    assert (manifest.trainer, manifest.kind, manifest.task) == ("recent", "lightgbm", "binary")
    assert manifest.features == NAMES
    assert manifest.holdout_from_ms == 540_000
    assert manifest.rows == 539
    first = order().rows
    assert (manifest.first_sequence, manifest.first_ms) == (first.sequence[0], first.time_ms[0])
    assert manifest.trained_through == {"0": 600}
    assert manifest.trained_through_ms == 600_000
    assert manifest.parameters == {"n_estimators": 12, "num_leaves": 7}
    assert manifest.dataset_digest == found.dataset_digest
    assert "lightgbm=" in manifest.platform
    assert found.report["parity"]["difference"] <= 1e-5
    json.dumps(found.report, allow_nan=False)


@pytest.mark.parametrize(
    ("kind", "task"), [("lightgbm", "binary"), ("lightgbm", "regression"), ("logistic", "binary")]
)
def test_the_data_set_gives_the_same_model_again(kind: str, task: str) -> None:
    first = made(order(kind, task))
    rows = dataset.read(first.dataset, NAMES)
    again = made(order(kind, task, rows=rows))
    assert again.onnx == first.onnx
    assert again.dataset_digest == first.dataset_digest


def test_orders_and_outcomes_travel_between_processes() -> None:
    wanted = order()
    travelled = made(pickle.loads(pickle.dumps(wanted)))
    found = pickle.loads(pickle.dumps(travelled))
    assert found.onnx == made(wanted).onnx
    assert isinstance(found.manifest, Manifest)


def test_a_model_has_not_seen_its_holdout() -> None:
    rows = training_rows()
    label = rows.label.copy()
    label[540:] = 1 - label[540:]
    one, other = made(order(rows=rows)), made(order(rows=replace(rows, label=label)))
    feature = features(200, seed=4)
    first, second = (
        ort.InferenceSession(m.onnx).run(["score"], {"features": feature})[0] for m in (one, other)
    )
    assert (first == second).all()
    assert one.report["holdout"]["loss"] != other.report["holdout"]["loss"]


@pytest.mark.parametrize(
    ("wanted", "cause", "retry"),
    [
        (order(rows=training_rows(99)), "rows", True),
        (order(rows=replace(training_rows(), label=np.zeros(600))), "class", True),
        (order(horizon_ms=100_000), "span", True),
        (order(parameters={"boosting": "rf"}), "parameters", False),
        (order(kind="ridge"), "fit", False),
        (order(task="multiclass"), "labels", False),
    ],
)
def test_no_model_comes_with_a_cause_and_whether_more_rows_may_help(
    wanted: Order, cause: str, retry: bool
) -> None:
    found = refused(wanted)
    assert (found.cause, found.retry) == (cause, retry)
    assert found.found
    assert found.needed


def test_a_conversion_that_answers_otherwise_gives_no_model(monkeypatch: Any) -> None:
    sound = making.bundle

    def damaged(form: Any, draft: Manifest) -> tuple[bytes, Manifest]:
        return sound(replace(form, threshold=form.threshold + 0.5), draft)

    monkeypatch.setattr(making, "bundle", damaged)
    found = refused(order())
    assert (found.cause, found.retry) == ("parity", False)
    assert "row" in found.found


def test_what_needed_says_is_the_same_for_the_same_cause() -> None:
    few, fewer = refused(order(rows=training_rows(99))), refused(order(rows=training_rows(50)))
    assert few.found != fewer.found
    assert few.needed == fewer.needed


def test_parity_is_a_value_with_words() -> None:
    found = Parity(10, 0.5, "boundary", 3, "load.mean.2", 0.1, 0.6)
    assert not found.holds
    assert found.sentence.startswith("boundary row 3 about feature load.mean.2: the fitted model")


def test_the_bundle_carries_rows_that_its_onnx_file_answers_as_the_model_did() -> None:
    found = made(order())
    written = found.files["expected.bin"]
    assert found.manifest.expected_digest == hashlib.sha256(written).hexdigest()
    known = decode_expected(written)
    said = ort.InferenceSession(found.onnx).run(["score"], {"features": known.feature})[0]
    assert len(known.feature) > 300
    assert np.isnan(known.feature).any()
    assert np.isinf(known.feature).any()
    assert np.abs(said - known.score).max() < 1e-5


def test_classes_are_weighted_in_the_fit_and_not_in_the_report() -> None:
    plain = made(order(kind="logistic"))
    weight = ClassWeight(weights={"1": 20.0})
    weighted = made(order(kind="logistic", class_weight=weight))
    assert weighted.manifest.class_weight == {"1": 20.0}
    assert plain.manifest.class_weight == {}
    confusion = [np.array(m.report["holdout"]["confusion"]) for m in (plain, weighted)]
    assert confusion[0].sum() == confusion[1].sum()
    assert confusion[1][:, 1].sum() > confusion[0][:, 1].sum()


def test_a_feature_that_is_the_label_is_warned_of_and_the_model_is_made() -> None:
    rows = training_rows()
    feature = rows.feature.copy()
    feature[:, 3] = rows.label
    found = made(order(rows=replace(rows, feature=feature)))
    assert found.warnings[0].startswith("feature load.mean.3 equals the label in every row")
    assert found.report["warnings"][0] == found.warnings[0]
    assert found.report["leakage"][0]["feature"] == "load.mean.3"
