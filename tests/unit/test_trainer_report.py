import json
from dataclasses import replace

import numpy as np
import pytest
from tests.unit.training_rows import NAMES, STEP_MS, training_rows

from flyball_trainer.training.report import LEVELS, MAX_SLICES, holdout_report
from flyball_trainer.training.split import Split, split


def parts(task: str = "binary", count: int = 600) -> Split:
    found = split(training_rows(count, task), task=task, horizon_ms=STEP_MS, label_ahead_ms=0)
    assert isinstance(found, Split)
    return found


def test_the_loss_is_weighted_brier_with_accuracy_beside_it() -> None:
    found = parts()
    held = found.holdout
    said = holdout_report(found, np.full(len(held), 0.8), "binary", NAMES)["holdout"]
    loss = np.average((held.label - 0.8) ** 2, weights=held.weight)
    assert said["loss"] == pytest.approx(loss)
    assert said["accuracy"] == pytest.approx(np.average(held.label, weights=held.weight))
    assert (said["rows"], said["metric"], said["from_ms"]) == (60, "brier", 540_000)


def test_a_regression_is_judged_by_its_absolute_error() -> None:
    found = parts("regression")
    said = holdout_report(found, found.holdout.label + 2, "regression", NAMES)
    assert said["holdout"]["loss"] == pytest.approx(2)
    assert "accuracy" not in said["holdout"]


def test_the_error_is_told_for_each_value_of_each_label() -> None:
    found = parts("regression")
    wrong = found.holdout.label + np.where(found.holdout.label_index == 1, 3.0, 0.0)
    said = holdout_report(found, wrong, "regression", NAMES)["slices"]
    assert said["site"]["hospital"] == {"rows": 30, "loss": pytest.approx(3)}
    assert said["site"]["harbour"] == {"rows": 30, "loss": pytest.approx(0)}


def test_slices_are_bounded_and_the_largest_stay() -> None:
    found = parts("regression", 4_000)
    count = len(found.holdout)
    index = np.minimum(np.arange(count), 300).astype(np.uint32)
    sets = tuple(f'{{"n":"{i:03}"}}' for i in range(301))
    held = replace(found.holdout, label_set=sets, label_index=index)
    said = holdout_report(replace(found, holdout=held), held.label, "regression", NAMES)
    assert len(said["slices"]["n"]) == MAX_SLICES
    assert said["slices"]["n"]["300"]["rows"] == count - 300


def test_calibration_quantiles_are_exceeded_by_a_new_row_as_seldom_as_they_say() -> None:
    found = parts("regression", 2_000)
    rng = np.random.default_rng(0)
    error = rng.exponential(size=len(found.holdout))
    said = holdout_report(found, found.holdout.label + error, "regression", NAMES)
    fresh = rng.exponential(size=20_000)
    for entry in said["calibration"]["all"]:
        assert (fresh > entry["error"]).mean() <= 1 - entry["level"] + 0.03


def test_too_few_rows_say_nothing_about_rare_errors() -> None:
    found = parts()
    said = holdout_report(found, np.full(60, 0.5), "binary", NAMES)["calibration"]
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
    said = holdout_report(seen, np.zeros(60), "binary", NAMES)["novelty"]
    assert said[0] == {"feature": NAMES[0], "mean": 4, "std": 0, "missing": 0}
    assert said[1] == {"feature": NAMES[1], "mean": None, "std": None, "missing": 1}
    assert said[2] == {"feature": NAMES[2], "mean": 4, "std": 2, "missing": 0}


def test_the_report_is_strict_json_also_when_one_class_is_missing() -> None:
    found = parts()
    held = replace(found.holdout, label=np.zeros(60))
    said = holdout_report(replace(found, holdout=held), np.zeros(60), "binary", NAMES)
    assert json.loads(json.dumps(said, allow_nan=False)) == said
    assert {entry["error"] for entry in said["calibration"]["class 1"]} == {None}
