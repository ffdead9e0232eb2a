from typing import Any

import pytest
from tests.broker.chain import documents

from flyball_proto.spec import SpecError, parse_documents
from flyball_proto.spec.parameters import ALLOWED, TASKS, refused_parameter


def mistake(parameters: dict[str, Any], kind: str = "lightgbm") -> str:
    trainers = [{"name": "recent", "kind": kind, "parameters": parameters}]
    with pytest.raises(SpecError) as caught:
        parse_documents(documents("p", trainers=trainers))
    return str(caught.value)


def test_every_kind_of_trainer_has_its_parameters_and_tasks() -> None:
    assert set(ALLOWED) == set(TASKS)


@pytest.mark.parametrize(
    "parameters", [{"boosting": "rf"}, {"linear_tree": True}, {"zero_as_missing": True}]
)
def test_what_is_known_to_be_converted_wrongly_is_refused_at_apply(
    parameters: dict[str, Any],
) -> None:
    said = mistake(parameters)
    assert next(iter(parameters)) in said
    assert "converted to ONNX wrongly" in said
    assert "'recent'" in said


def test_a_misspelt_parameter_is_told_its_nearest() -> None:
    assert "did you mean num_leaves?" in mistake({"num_leafs": 15})


@pytest.mark.parametrize(
    "parameters",
    [{"num_leaves": 1}, {"num_leaves": 15.5}, {"num_leaves": True}, {"learning_rate": "fast"}],
)
def test_a_value_out_of_range_is_told_the_range(parameters: dict[str, Any]) -> None:
    assert "number from" in mistake(parameters)


def test_an_objective_must_fit_the_task() -> None:
    assert "valid: objective: binary" in mistake({"objective": "regression_l1"})


def test_a_parameter_of_another_kind_is_refused() -> None:
    assert "unknown parameter 'num_leaves'" in mistake({"num_leaves": 15}, kind="logistic")


@pytest.mark.parametrize(
    ("kind", "parameters"),
    [
        ("lightgbm", {"num_leaves": 15, "learning_rate": 0.1, "boosting": "dart", "seed": 7}),
        ("lightgbm", {"n_estimators": 60.0, "linear_tree": False, "objective": "binary"}),
        ("logistic", {"C": 1}),
    ],
)
def test_safe_parameters_pass(kind: str, parameters: dict[str, Any]) -> None:
    assert refused_parameter(kind, parameters, "binary") is None
