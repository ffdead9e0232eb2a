"""Weights of classes, and signs that a feature knows the label."""

from dataclasses import replace

import numpy as np
import pytest
from sklearn.metrics import roc_auc_score  # type: ignore[import-untyped]
from tests.unit.training_rows import NAMES, training_rows

from flyball_proto.spec.learning import ClassWeight
from flyball_trainer.training.leakage import area, suspects, warnings
from flyball_trainer.training.measures import Question
from flyball_trainer.training.weights import apply, weighted, weights_of

BINARY = Question.of("binary", ())
CLASSES = ("calm", "busy", "jammed")


def test_balanced_classes_weigh_the_same_and_all_rows_as_much_as_before() -> None:
    rows = training_rows()
    rows = replace(rows, label=(np.arange(600) % 10 == 0).astype(float))
    found = weighted(rows, ClassWeight(preset="balanced"), ())
    sums = [found.weight[found.label == k].sum() for k in (0, 1)]
    assert sums[0] == pytest.approx(sums[1])
    assert sum(sums) == pytest.approx(rows.weight.sum())


def test_a_class_without_rows_has_no_weight_and_disturbs_no_other() -> None:
    rows = replace(training_rows(), label=(np.arange(600) % 3 == 0).astype(float))
    found = weights_of(rows, ClassWeight(preset="balanced"), CLASSES)
    assert set(found) == {"calm", "busy"}


def test_named_classes_count_as_said_and_all_others_once() -> None:
    rows = replace(training_rows(), label=(np.arange(600) % 3).astype(float))
    found = weighted(rows, ClassWeight(weights={"jammed": 5.0}), CLASSES)
    assert (found.weight / rows.weight == np.where(rows.label == 2, 5.0, 1.0)).all()


def test_the_weights_that_were_written_down_give_the_same_rows_again() -> None:
    rows = training_rows()
    balanced = ClassWeight(preset="balanced")
    again = apply(rows, weights_of(rows, balanced, ()), ())
    assert (again.weight == weighted(rows, balanced, ()).weight).all()


def test_without_a_wish_rows_are_as_they_were() -> None:
    rows = training_rows(task="regression")
    assert weighted(rows, ClassWeight(), ()) is rows


def test_the_area_is_that_of_the_roc_curve_also_with_ties() -> None:
    rng = np.random.default_rng(0)
    positive = rng.random(500) < 0.3
    values = np.round(rng.normal(size=500) + positive, 1)
    assert area(values, positive) == pytest.approx(roc_auc_score(positive, values))
    assert area(-values, positive) == pytest.approx(roc_auc_score(positive, values))


def test_one_feature_that_separates_the_classes_is_suspected() -> None:
    rows = training_rows()
    feature = rows.feature.copy()
    feature[:, 2] = 5 - 3 * rows.label + np.random.default_rng(1).normal(scale=0.5, size=600)
    (found,) = suspects(replace(rows, feature=feature), NAMES, BINARY)
    assert (found.feature, found.about) == ("load.mean.2", "class 1")
    assert 0.98 < found.auc < 1


def test_a_feature_that_is_missing_when_the_label_is_1_is_suspected() -> None:
    rows = training_rows(missing=0)
    feature = rows.feature.copy()
    feature[rows.label == 1, 4] = np.nan
    (found,) = suspects(replace(rows, feature=feature), NAMES, BINARY)
    assert (found.feature, found.auc) == ("load.mean.4", 1)


def test_features_that_only_help_are_not_suspected() -> None:
    assert suspects(training_rows(), NAMES, BINARY) == []
    assert suspects(training_rows(task="regression"), NAMES, Question.of("regression", ())) == []


def test_few_rows_of_a_class_say_nothing() -> None:
    rows = training_rows()
    label = np.zeros(600)
    label[:19] = 1
    feature = rows.feature.copy()
    feature[:, 0] = label + np.random.default_rng(2).random(600) * 0.1
    assert suspects(replace(rows, label=label, feature=feature), NAMES, BINARY) == []


def test_labels_that_were_known_before_their_row_are_warned_of() -> None:
    rows = training_rows(missing=0)
    early = rows.known_ms.copy()
    early[:3] = rows.time_ms[:3] - 1
    held = rows.part(slice(590, None))
    (said,) = warnings(replace(rows, known_ms=early), held, [])
    assert said.startswith("3 of 610 rows have a label that was known before the row's own time")
