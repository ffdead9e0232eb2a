import json
from dataclasses import replace

import numpy as np
import pytest
from tests.unit.training_rows import NAMES, STEP_MS, training_rows

from flyball_trainer.training import report
from flyball_trainer.training.report import LEVELS, Asked, Report
from flyball_trainer.training.slicing import MAX_SLICES, OUTLIERS
from flyball_trainer.training.split import Split, split

CLASSES = ("calm", "busy", "jammed")


def parts(task: str = "binary", count: int = 600) -> Split:
    found = split(training_rows(count, task), task=task, horizon_ms=STEP_MS, label_ahead_ms=0)
    assert isinstance(found, Split)
    return found


def holdout_report(
    found: Split, scores: np.ndarray, task: str, classes: tuple[str, ...] = ()
) -> Report:
    columns = scores if scores.ndim == 2 else scores[:, None]
    return report.holdout_report(found, columns, Asked.of(task, NAMES, classes))


def test_the_loss_is_weighted_brier_with_accuracy_beside_it() -> None:
    found = parts()
    held = found.holdout
    said = holdout_report(found, np.full(len(held), 0.8), "binary")["holdout"]
    loss = np.average((held.label - 0.8) ** 2, weights=held.weight)
    assert said["loss"] == pytest.approx(loss)
    assert said["accuracy"] == pytest.approx(np.average(held.label, weights=held.weight))
    assert (said["rows"], said["metric"], said["from_ms"]) == (60, "brier", 540_000)


def test_a_regression_is_judged_by_its_absolute_error() -> None:
    found = parts("regression")
    said = holdout_report(found, found.holdout.label + 2, "regression")
    assert said["holdout"]["loss"] == pytest.approx(2)
    assert "accuracy" not in said["holdout"]


def test_the_error_is_told_for_each_value_of_each_label() -> None:
    found = parts("regression")
    wrong = found.holdout.label + np.where(found.holdout.label_index == 1, 3.0, 0.0)
    said = holdout_report(found, wrong, "regression")
    hospital, harbour = said["slices"]["site"]["hospital"], said["slices"]["site"]["harbour"]
    assert (hospital["rows"], hospital["loss"]) == (30, pytest.approx(3))
    assert (harbour["rows"], harbour["loss"]) == (30, pytest.approx(0))
    assert hospital["share_of_error"] == pytest.approx(1)
    assert hospital["share_of_rows"] + harbour["share_of_rows"] == pytest.approx(1)
    (worst,) = said["worst"]
    assert (worst["label"], worst["value"]) == ("site", "hospital")
    assert worst["times"] == pytest.approx(3 / said["holdout"]["loss"])


def test_a_slice_that_is_much_worse_is_warned_of() -> None:
    found = parts("regression", 2_000)
    held = replace(
        found.holdout, label_index=(np.arange(len(found.holdout)) % 4 == 0).astype(np.uint32)
    )
    found = replace(found, holdout=held)
    wrong = held.label + np.where(held.label_index == 1, 3.0, 0.01)
    said = holdout_report(found, wrong, "regression")
    (warning,) = report.warnings(found, said, Asked.of("regression", NAMES))
    assert warning.startswith("where site is hospital the loss is 4.0 times that of all rows")


def test_slices_are_bounded_and_the_largest_stay() -> None:
    found = parts("regression", 4_000)
    count = len(found.holdout)
    index = np.minimum(np.arange(count), 300).astype(np.uint32)
    sets = tuple(f'{{"n":"{i:03}"}}' for i in range(301))
    held = replace(found.holdout, label_set=sets, label_index=index)
    said = holdout_report(replace(found, holdout=held), held.label, "regression")
    assert len(said["slices"]["n"]) == MAX_SLICES
    assert said["slices"]["n"]["300"]["rows"] == count - 300


def test_calibration_quantiles_are_exceeded_by_a_new_row_as_seldom_as_they_say() -> None:
    found = parts("regression", 2_000)
    rng = np.random.default_rng(0)
    error = rng.exponential(size=len(found.holdout))
    said = holdout_report(found, found.holdout.label + error, "regression")
    fresh = rng.exponential(size=20_000)
    for entry in said["conformal"]["all"]:
        assert (fresh > entry["error"]).mean() <= 1 - entry["level"] + 0.03


def test_too_few_rows_say_nothing_about_rare_errors() -> None:
    found = parts()
    said = holdout_report(found, np.full(60, 0.5), "binary")["conformal"]
    assert [entry["level"] for entry in said["all"]] == list(LEVELS)
    assert said["all"][-1]["error"] is None
    assert said["all"][0]["error"] == 0.5
    assert {e["rows"] for e in (*said["class 0"], *said["class 1"])} == {
        int((found.holdout.label == 0).sum()),
        int((found.holdout.label == 1).sum()),
    }


def test_novelty_tells_what_the_training_looked_like() -> None:
    found = parts()
    feature = found.training.feature.copy()
    feature[:, 0], feature[:, 1], feature[:, 2] = 4, np.nan, [2.0, 6.0] * (len(feature) // 2)
    seen = replace(found, training=replace(found.training, feature=feature))
    said = holdout_report(seen, np.zeros(60), "binary")["novelty"]
    assert said[0] == {"feature": NAMES[0], "mean": 4, "std": 0, "missing": 0}
    assert said[1] == {"feature": NAMES[1], "mean": None, "std": None, "missing": 1}
    assert said[2] == {"feature": NAMES[2], "mean": 4, "std": 2, "missing": 0}


def test_the_report_is_strict_json_also_when_one_class_is_missing() -> None:
    found = parts()
    held = replace(found.holdout, label=np.zeros(60))
    said = holdout_report(replace(found, holdout=held), np.zeros(60), "binary")
    assert json.loads(json.dumps(said, allow_nan=False)) == said
    assert {entry["error"] for entry in said["conformal"]["class 1"]} == {None}


def test_several_classes_have_a_brier_loss_a_confusion_and_quantiles_by_class() -> None:
    found = parts("regression")
    label = (np.arange(60) % 3).astype(float)
    found = replace(found, holdout=replace(found.holdout, label=label, weight=np.ones(60)))
    scores = np.tile([0.2, 0.5, 0.3], (60, 1))
    said = holdout_report(found, scores, "multiclass", CLASSES)
    losses = [0.5 * (0.8**2 + 0.5**2 + 0.3**2), 0.5 * (0.2**2 + 0.5**2 + 0.3**2)]
    losses.append(0.5 * (0.2**2 + 0.5**2 + 0.7**2))
    assert said["holdout"]["loss"] == pytest.approx(np.mean(losses))
    assert said["holdout"]["confusion"] == [[0, 20, 0]] * 3
    assert said["holdout"]["accuracy"] == pytest.approx(1 / 3)
    assert said["holdout"]["calibration_error"] == pytest.approx(0.5 - 1 / 3)
    assert said["conformal"]["class jammed"][0]["error"] == pytest.approx(0.7)
    assert {o["label"] for o in said["outliers"]} == {"calm"}
    assert {o["said"] for o in said["outliers"]} == {"busy"}


def test_calibration_says_what_was_promised_and_what_came() -> None:
    found = parts()
    held = replace(found.holdout, label=(np.arange(60) < 15).astype(float), weight=np.ones(60))
    found = replace(found, holdout=held)
    scores = np.where(np.arange(60) < 30, 0.45, 0.02)
    said = holdout_report(found, scores, "binary")["holdout"]
    assert said["calibration"] == [
        {"rows": 30, "said": pytest.approx(0.02), "came": 0},
        {"rows": 30, "said": pytest.approx(0.45), "came": 0.5},
    ]
    assert said["calibration_error"] == pytest.approx(0.5 * 0.02 + 0.5 * 0.05)


def test_outliers_are_the_rows_with_the_largest_losses_and_bounded() -> None:
    found = parts("regression")
    scores = found.holdout.label.copy()
    scores[7] += 50
    said = holdout_report(found, scores, "regression")["outliers"]
    assert len(said) == OUTLIERS
    assert said[0] == {
        "element": "cell-2",
        "time_ms": 547_000,
        "sequence": 548,
        "sample": 0,
        "loss": pytest.approx(50),
        "label": found.holdout.label[7],
        "score": scores[7],
    }


def test_importance_is_told_from_the_largest() -> None:
    found = parts()
    asked = Asked.of("binary", NAMES, importance=np.array([0.1, 0.2, 0.4, 0.0, 0.3]))
    said = report.holdout_report(found, np.full((60, 1), 0.5), asked)["importance"]
    assert [e["feature"][-1] for e in said] == ["2", "4", "1", "0", "3"]


def test_a_class_that_the_holdout_lacks_is_warned_of() -> None:
    found = parts()
    found = replace(found, holdout=replace(found.holdout, label=np.zeros(60)))
    said = holdout_report(found, np.zeros(60), "binary")
    (warning,) = report.warnings(found, said, Asked.of("binary", NAMES))
    assert warning.startswith("1 of 2 classes (1) have no row in the holdout")
