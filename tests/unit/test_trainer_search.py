"""Settings that are drawn and tried: which are chosen, on which rows, and that it cannot cheat."""

import json
import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError
from tests.unit.evidence_rows import design, folded, of_kind, scored, seat, times
from tests.unit.training_rows import STEP_MS, features, order, training_rows

from flyball_proto.columns import F64
from flyball_proto.spec.learning import Range, Search
from flyball_registry.evidence.evaluation import Scored, Superior
from flyball_trainer.kinds.catalogue import FitError, Fitted, fit
from flyball_trainer.rows import TrainingRows
from flyball_trainer.training.fitting import Order, Trained, train
from flyball_trainer.training.search import Settled, drawn, rungs, settled
from flyball_trainer.training.split import Split, split

RATES = {"learning_rate": {"low": 0.01, "high": 0.5, "log": True}}
MODEL = fit("logistic", training_rows(60), "binary", {}, 0)


def searching(trials: int = 9, parameters: Mapping[str, Any] = RATES, **more: Any) -> Order:
    return order(search=Search(trials=trials, parameters=dict(parameters)), **more)


def training(of: Order) -> TrainingRows:
    found = split(of.rows, task=of.task, horizon_ms=of.horizon_ms, label_ahead_ms=of.label_ahead_ms)
    assert isinstance(found, Split)
    return found.training


class Guessing:
    """Fits models that guess their own `learning_rate`, and notes which rows they were given."""

    def __init__(self) -> None:
        self.seen: list[tuple[float, TrainingRows]] = []

    def __call__(
        self, kind: str, rows: TrainingRows, task: str, own: Mapping[str, Any], seed: int, **_: Any
    ) -> Fitted:
        guess = float(own.get("learning_rate", 0.9))
        self.seen.append((guess, rows))
        return replace(MODEL, scores=lambda feature: np.full((len(feature), 1), guess))


def test_without_a_search_the_trainers_own_parameters_stay() -> None:
    plain = order()
    assert settled(plain, training(plain)) == Settled(plain.parameters, ())


def test_the_trainers_own_parameters_are_the_first_trial() -> None:
    found = drawn(searching())
    assert found[0] == {"n_estimators": 12, "num_leaves": 7}
    assert len(found) == 9
    assert len({str(one) for one in found}) == 9


def test_the_same_order_gives_the_same_settings_and_another_seed_others() -> None:
    assert drawn(searching()) == drawn(searching())
    assert drawn(searching())[1:] != drawn(searching(seed=8))[1:]
    assert settled(searching(), training(searching())) == settled(
        searching(), training(searching())
    )


def test_another_parameter_leaves_the_draws_of_the_others() -> None:
    more = drawn(searching(parameters={**RATES, "num_leaves": [3, 7, 15]}))
    rates = [one["learning_rate"] for one in drawn(searching())[1:]]
    assert [one["learning_rate"] for one in more[1:]] == rates
    assert {one["num_leaves"] for one in more[1:]} == {3, 7, 15}


def test_there_are_fewer_trials_where_there_are_no_more_settings() -> None:
    found = drawn(searching(trials=64, parameters={"num_leaves": [7, 15, 31]}))
    assert sorted(int(one["num_leaves"]) for one in found) == [7, 15, 31]


@given(
    low=st.floats(0.001, 10),
    above=st.floats(0.01, 1_000),
    log=st.booleans(),
    seed=st.integers(0, 1_000),
)
def test_numbers_are_drawn_from_their_range(low: float, above: float, log: bool, seed: int) -> None:
    within = Range(low=low, high=low + above, log=log)
    for one in drawn(searching(seed=seed, parameters={"lambda_l2": within}))[1:]:
        assert low <= one["lambda_l2"] <= low + above


@pytest.mark.parametrize("log", [False, True])
def test_what_a_library_takes_as_a_whole_number_is_drawn_as_one(log: bool) -> None:
    within = {"n_estimators": {"low": 1, "high": 2_000, "log": log}}
    found = [one["n_estimators"] for one in drawn(searching(trials=64, parameters=within))[1:]]
    assert all(isinstance(value, int) and 1 <= value <= 2_000 for value in found)
    assert max(found) > 1_000
    middle = np.median(found)
    assert middle < 200 if log else 700 < middle < 1_300


def test_a_range_of_whole_numbers_ends_with_whole_numbers() -> None:
    with pytest.raises(ValidationError, match="whole numbers for low and high"):
        Range(low=0.2, high=0.7, whole=True)


@pytest.mark.parametrize(
    ("rows", "expected"),
    [(9_000, (1_000, 3_000, 9_000)), (300, (100, 300)), (80, (80,)), (449, (149, 449))],
)
def test_no_rung_is_too_small_to_fit_a_model_to(rows: int, expected: tuple[int, ...]) -> None:
    assert rungs(rows) == expected


def test_trials_see_the_newest_rows_before_those_that_compare_and_never_the_holdout() -> None:
    watched, asked = Guessing(), searching(rows=training_rows(2_000))
    rows = training(asked)
    settled(asked, rows, fitted=watched)
    (first, parts) = (
        rows.time_ms[-1],
        split(rows, task="binary", horizon_ms=0, label_ahead_ms=STEP_MS),
    )
    assert isinstance(parts, Split)
    assert len(watched.seen) == 9 + 3
    assert {len(seen) for _, seen in watched.seen} == set(rungs(len(parts.training))[:2])
    for _, seen in watched.seen:
        assert seen.time_ms[-1] == parts.training.time_ms[-1]
        assert seen.time_ms[-1] + STEP_MS < parts.holdout_from_ms <= first


def test_what_does_best_on_the_rows_that_compare_trains_the_model() -> None:
    asked = searching(rows=training_rows(2_000))
    rows = training(asked)
    parts = split(rows, task="binary", horizon_ms=0, label_ahead_ms=STEP_MS)
    assert isinstance(parts, Split)
    compared = parts.holdout
    found = settled(asked, rows, fitted=Guessing())
    mean = float(np.average(compared.label, weights=compared.weight))
    guesses = [float(trial.parameters.get("learning_rate", 0.9)) for trial in found.trials]
    best = min(range(9), key=lambda at: abs(guesses[at] - mean))
    assert found.parameters == found.trials[best].parameters
    spread = mean * (1 - mean)
    for guess, trial in zip(guesses, found.trials, strict=True):
        assert trial.loss == pytest.approx(spread + (guess - mean) ** 2)


def test_of_equals_the_earlier_trial_stays() -> None:
    among = {"num_leaves": {"low": 2, "high": 60}}
    asked = searching(parameters=among, rows=training_rows(2_000))
    assert settled(asked, training(asked), fitted=Guessing()).parameters == asked.parameters


def test_settings_that_cannot_be_fitted_never_win() -> None:
    asked = searching(rows=training_rows(2_000))

    def picky(kind: str, rows: TrainingRows, task: str, own: Any, seed: int, **_: Any) -> Fitted:
        if "learning_rate" in own:
            raise FitError("not with that")
        return MODEL

    found = settled(asked, training(asked), fitted=picky)
    assert found.parameters == asked.parameters
    assert [trial.loss is None for trial in found.trials] == [False] + [True] * 8


def test_weights_of_classes_go_into_the_fit_and_not_into_the_comparison() -> None:
    asked, watched = searching(rows=training_rows(2_000)), Guessing()
    rows = training(asked)
    plain = settled(asked, rows, fitted=Guessing())
    doubled = settled(
        asked, rows, fitted=watched, weighed=lambda seen: replace(seen, weight=seen.weight * 2)
    )
    assert doubled == plain
    assert {float(seen.weight.min()) for _, seen in watched.seen} == {2.0}


def test_too_few_rows_to_try_anything_leave_the_trainers_own_parameters() -> None:
    asked = searching(rows=training_rows(102))
    assert settled(asked, training(asked)) == Settled(asked.parameters, ())


@pytest.mark.parametrize("task", ["binary", "regression"])
def test_a_search_finds_what_fits_better(task: str) -> None:
    slow = {"n_estimators": 12, "learning_rate": 0.001}
    asked = searching(task=task, parameters=RATES, rows=training_rows(1_500, task))
    asked = replace(asked, parameters=slow)
    found = settled(asked, training(asked))
    assert found.parameters["learning_rate"] > 0.05
    assert found.trials[0].loss is not None
    assert min(t.loss for t in found.trials if t.loss is not None) < 0.9 * found.trials[0].loss


def test_however_many_trials_there_are_nothing_to_learn_gives_no_more_successions() -> None:
    """A seat that knows all there is to know, one plain trainer and one of 27 trials beside it."""
    won = {"plain": 0, "searched": 0}
    for seed in range(20):
        for finding in of_kind(folded(null_rows(seed), seat(), design())[1], Superior):
            won[finding.trainer] += 1
    assert won["searched"] <= won["plain"] + 1
    assert won["searched"] <= 2  # 0.05 of 20 streams, and its chance


def null_rows(seed: int) -> Scored:
    """What a seat that says the truth's rate, 0.5, and two trainers say of coins."""
    rng = np.random.default_rng(seed)
    before = training_rows(900, seed=seed)
    coins = replace(before, label=rng.integers(0, 2, 900).astype(F64), weight=np.ones(900))
    among = {"C": {"low": 1e-6, "high": 10.0, "log": True}}
    asked = searching(27, among, kind="logistic", rows=coins)
    models = {
        "plain": fit("logistic", training(asked), "binary", {}, 0),
        "searched": fit(
            "logistic", training(asked), "binary", settled(asked, training(asked)).parameters, 0
        ),
    }
    at_ms = times(300, 12)
    after = features(len(at_ms), seed + 1_000)
    said = {name: model.scores(after)[:, 0] for name, model in models.items()}
    label = rng.integers(0, 2, len(at_ms))
    assert not math.isclose(said["plain"].std(), 0)
    return scored(at_ms, label, {"active": np.full(len(at_ms), 0.5), **said})


@pytest.mark.parametrize("kind", ["lightgbm", "logistic"])
def test_a_training_uses_what_was_settled_and_its_report_shows_every_trial(kind: str) -> None:
    among = RATES if kind == "lightgbm" else {"C": {"low": 0.001, "high": 10.0, "log": True}}
    asked = searching(5, among, kind=kind, rows=training_rows(1_000))
    made = train(asked)
    assert isinstance(made, Trained)
    found = settled(asked, training(asked))
    assert made.manifest.parameters == found.parameters
    assert made.manifest.searched == len(found.trials) == len(made.report["trials"]) == 5
    told = json.loads(json.dumps(made.report["trials"], allow_nan=False))
    assert [trial["loss"] for trial in told] == [trial.loss for trial in found.trials]
    again = train(asked)
    assert isinstance(again, Trained)
    assert (again.onnx, again.manifest) == (made.onnx, made.manifest)
