from datetime import UTC, datetime
from typing import Any

import pytest
from tests.broker.chain import catalogue, documents

from flyball_gateway.applying import Known, Plan, plan
from flyball_gateway.status import Around, statuses
from flyball_proto.commands import Failure
from flyball_proto.spec import Catalogue

NOW = datetime(2026, 1, 1, tzinfo=UTC)
NOTHING = Known(Catalogue(), {})
RUNNING = Known(catalogue("p"), {"source.p": 3, "pipeline.p": 4})


def planned(found: list[dict[str, Any]], known: Known = RUNNING) -> Plan:
    outcome = plan(found, known)
    assert isinstance(outcome, Plan), outcome
    return outcome


def refused(found: list[dict[str, Any]], known: Known = RUNNING) -> Failure:
    outcome = plan(found, known)
    assert isinstance(outcome, Failure)
    return outcome


def summary(found: Plan) -> list[tuple[str, int, bool]]:
    return [(step.key, step.revision, step.changed) for step in found.steps]


def test_a_new_pipeline_comes_after_its_source() -> None:
    found = planned(list(reversed(documents("p"))), NOTHING)
    assert summary(found) == [("source.p", 0, True), ("pipeline.p", 0, True)]
    assert [p.name for p in found.announced] == ["p"]


def test_what_did_not_change_keeps_its_revision() -> None:
    assert summary(planned(documents("p"))) == [("source.p", 3, False), ("pipeline.p", 4, False)]


def test_other_decisions_change_the_pipeline_alone() -> None:
    changed = documents("p", decisions=[{"action": "reboot", "score_at_least": 0.99}])
    assert summary(planned(changed)) == [("source.p", 3, False), ("pipeline.p", 4, True)]


def test_a_changed_source_announces_the_pipelines_that_read_it() -> None:
    source = documents("p")[0]
    source["spec"]["metrics"][0]["range"] = [0, 2]
    found = planned([source])
    assert summary(found) == [("source.p", 3, True)]
    assert [p.name for p in found.announced] == ["p"]


@pytest.mark.parametrize(
    ("changes", "found"),
    [
        ({"features": [{"metric": "users"}]}, "runs with features"),
        ({"look_back": "20min"}, "runs with features"),
        (
            {"target": {"task": "binary", "expression": "max(load) > 0.8", "horizon": "30s"}},
            "max(load) > 0.9",
        ),
    ],
)
def test_what_models_were_made_for_cannot_change_under_them(
    changes: dict[str, Any], found: str
) -> None:
    failure = refused(documents("p", **changes))
    assert failure.kind == "conflict"
    assert found in failure.message
    assert "another name" in failure.message


def test_a_running_pipeline_cannot_move_to_another_source() -> None:
    moved = [documents("q")[0], documents("p", source="q")[1]]
    failure = refused(moved)
    assert failure.kind == "conflict"
    assert "runs on source p, not q" in failure.message


def test_a_source_cannot_change_the_features_of_a_running_pipeline() -> None:
    source = documents("p")[0]
    source["spec"]["metrics"][0]["unit"] = "%"
    assert refused([source]).kind == "conflict"


def test_an_invalid_document_is_refused_with_every_mistake() -> None:
    failure = refused(documents("p", features=[{"metric": "lode"}], warm_up_rows=0))
    assert failure.kind == "invalid-spec"
    assert "warm_up_rows" in failure.message


def test_status_names_the_active_model_or_none() -> None:
    (seen,) = statuses(RUNNING, {}, Around(NOW))
    assert (seen.pipeline, seen.revision, seen.model) == ("p", 4, None)


def chained(**upstream: list[str]) -> list[dict[str, Any]]:
    """Documents of pipelines by name, each with what it rests on."""
    return [
        document for name, ups in upstream.items() for document in documents(name, upstream=ups)
    ]


def test_a_pipeline_may_rest_on_others_that_come_with_it_or_were_applied() -> None:
    assert planned(chained(a=["b", "p"], b=[])).steps


@pytest.mark.parametrize(
    ("wanted", "words"),
    [
        ({"a": ["nowhere"]}, "'nowhere', which is not applied; valid: p"),
        ({"a": ["a"]}, "a → a comes back to itself"),
        ({"a": ["b"], "b": ["c"], "c": ["a"]}, "a → b → c → a comes back to itself"),
    ],
)
def test_what_a_pipeline_rests_on_must_be_there_and_not_rest_on_it(
    wanted: dict[str, list[str]], words: str
) -> None:
    failure = refused(chained(**wanted))
    assert failure.kind == "invalid-spec"
    assert words in failure.message
