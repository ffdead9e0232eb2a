"""Models trained again from their manifest and data set, in a fresh process."""

import os
import pickle
import subprocess
import sys
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from tests.unit.training_rows import order, training_rows

from flyball_proto.columns import F64
from flyball_proto.commands import Reproduction
from flyball_proto.spec.learning import ClassWeight, Search
from flyball_proto.spec.parameters import TASKS
from flyball_trainer.rows import TrainingRows
from flyball_trainer.seatzero import again as baselines
from flyball_trainer.seatzero.baseline import Baseline, Guess, Logistic, Repeated
from flyball_trainer.seatzero.onnxfile import write
from flyball_trainer.training.again import UnreproducibleError, again
from flyball_trainer.training.fitting import Order, Trained, train
from flyball_trainer.training.stored import Stored

CLASSES = ("calm", "busy", "jammed")
SMALL: dict[str, dict[str, Any]] = {
    "lightgbm": {"n_estimators": 12, "num_leaves": 7},
    "histogram": {"max_iter": 12, "max_leaf_nodes": 7},
    "forest": {"n_estimators": 8, "max_depth": 5},
    "mlp": {"hidden_units": 8, "max_iter": 20},
}
CASES = [(kind, task) for kind, tasks in TASKS.items() for task in tasks]
ALL_AT_ONCE = (
    "import pickle, sys; from flyball_trainer.training.again import again; "
    "found = [again(s) for s in pickle.load(sys.stdin.buffer)]; "
    "pickle.dump(found, sys.stdout.buffer)"
)


def rows_of(task: str) -> TrainingRows:
    rows = training_rows(task="regression" if task == "multiclass" else task)
    if task != "multiclass":
        return rows
    return replace(rows, label=np.digitize(rows.label, [98.0, 102.0]).astype(F64))


def order_of(kind: str, task: str, **more: Any) -> Order:
    given: dict[str, Any] = {
        "parameters": SMALL.get(kind, {}),
        "rows": rows_of(task),
        "classes": CLASSES if task == "multiclass" else (),
    }
    return order(kind, task, **given | more)


def made(wanted: Order) -> Trained:
    found = train(wanted)
    assert isinstance(found, Trained), found
    return found


def stored(trained: Trained) -> Stored:
    return Stored(trained.manifest, trained.onnx, trained.dataset)


ORDERS: dict[str, Order] = {
    **{f"{kind} {task}": order_of(kind, task) for kind, task in CASES},
    "dart": order_of("lightgbm", "binary", parameters=SMALL["lightgbm"] | {"boosting": "dart"}),
    "balanced": order_of("logistic", "binary", class_weight=ClassWeight(preset="balanced")),
    "weighted classes": order_of(
        "lightgbm", "multiclass", class_weight=ClassWeight(weights={"busy": 3.0})
    ),
    "searched": order_of(
        "lightgbm", "binary", search=Search(trials=3, parameters={"num_leaves": (3, 5, 9)})
    ),
    "variants": order_of("mlp", "binary", variants=("float16", "int8")),
}


@pytest.fixture(scope="module")
def firsts() -> dict[str, Trained]:
    return {name: made(wanted) for name, wanted in ORDERS.items()}


@pytest.fixture(scope="module")
def agains(firsts: dict[str, Trained]) -> dict[str, Reproduction]:
    frame = pickle.dumps([stored(trained) for trained in firsts.values()])
    ended = subprocess.run(
        [sys.executable, "-c", ALL_AT_ONCE],
        input=frame,
        capture_output=True,
        check=True,
        env=os.environ | {"PYTHONHASHSEED": "4711", "OMP_NUM_THREADS": "1"},
    )
    return dict(zip(firsts, pickle.loads(ended.stdout), strict=True))


@pytest.mark.parametrize("name", ORDERS)
def test_a_fresh_process_makes_the_same_model_from_manifest_and_data_set(
    name: str, firsts: dict[str, Trained], agains: dict[str, Reproduction]
) -> None:
    found = agains[name]
    assert found.again == firsts[name].manifest.digest
    assert (found.same, found.holds, found.difference) == (True, True, 0.0)
    assert found.platform == found.here
    assert found.rows == 600


def test_smaller_forms_are_the_same_bytes_again_and_answer_nearly_as_the_model(
    firsts: dict[str, Trained],
) -> None:
    first, second = firsts["variants"], made(ORDERS["variants"])
    names = {f"model.{p}.onnx" for p in ("float16", "int8")}
    assert names <= set(first.files)
    assert {n: first.files[n] for n in names} == {n: second.files[n] for n in names}
    assert first.manifest.variants == second.manifest.variants
    half, eighth = first.manifest.variants
    assert (half.precision, eighth.precision) == ("float16", "int8")
    assert 0 < half.difference < eighth.difference <= eighth.tolerance
    assert eighth.size_bytes < len(first.onnx)


def test_the_settings_of_a_search_are_written_down_and_not_searched_again(
    firsts: dict[str, Trained],
) -> None:
    manifest = firsts["searched"].manifest
    assert manifest.searched == 3
    assert manifest.parameters["num_leaves"] in (3, 5, 7, 9)
    assert len(firsts["searched"].report["trials"]) == 3


def test_another_seed_than_the_manifest_says_does_not_hold_on_the_same_platform(
    firsts: dict[str, Trained],
) -> None:
    first = firsts["forest binary"]
    forged = first.manifest.model_copy(update={"seed": 99})
    found = again(Stored(forged, first.onnx, first.dataset))
    assert not found.same
    assert not found.holds
    assert found.difference > 1e-6


def test_on_another_platform_equal_scores_are_enough(firsts: dict[str, Trained]) -> None:
    first = firsts["ridge regression"]
    there = first.manifest.model_copy(update={"platform": "riscv64 elsewhere"})
    found = again(Stored(there, first.onnx, first.dataset))
    assert not found.same
    assert found.difference <= 1e-6
    assert found.holds


def test_a_manifest_that_names_no_data_set_or_too_many_rows_is_refused(
    firsts: dict[str, Trained],
) -> None:
    first = firsts["ridge regression"]
    without = first.manifest.model_copy(update={"dataset_digest": ""})
    with pytest.raises(UnreproducibleError, match="names no data set"):
        again(Stored(without, first.onnx, first.dataset))
    beyond = first.manifest.model_copy(update={"rows": 601})
    with pytest.raises(UnreproducibleError, match="learnt from 601 rows, its data set has 600"):
        again(Stored(beyond, first.onnx, first.dataset))


@pytest.mark.parametrize(
    ("guess", "task"),
    [
        (Guess(0.5, 0, logistic=Logistic(0.9, 20.0)), "binary"),
        (Guess(0.5, 1, repeated=Repeated(0.35)), "binary"),
        (Guess(3.5, 1), "regression"),
        (Guess(1 / 3), "multiclass"),
        (Guess(1 / 3, 1, repeated=Repeated(0.35)), "multiclass"),
    ],
)
def test_a_baseline_is_written_again_from_its_manifest(guess: Guess, task: str) -> None:
    classes = CLASSES if task == "multiclass" else ()
    _, manifest = write(Baseline("p", task, "d" * 64, ("a", "b"), guess, classes))
    assert baselines.again(manifest).holds
    other = manifest.model_copy(update={"parameters": {**manifest.parameters, "prior": 0.25}})
    assert not baselines.again(other).holds
    with pytest.raises(baselines.OddBaselineError, match="no baseline of this version"):
        baselines.again(manifest.model_copy(update={"parameters": {}}))
