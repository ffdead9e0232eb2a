from copy import deepcopy

import pytest

from flyball_proto.spec import (
    digest8,
    feature_digest,
    feature_names,
    feature_plan,
    largest_window_rows,
    look_back_ms,
    parse_documents,
    target_metrics,
    warm_up_rows,
)

DOCUMENT = {
    "apiVersion": "flyball/v1",
    "kind": "Pipeline",
    "metadata": {"name": "p"},
    "spec": {
        "source": {
            "metrics": [
                {"name": "b", "unit": "dBm"},
                {"name": "a.x", "unit": "%"},
                {"name": "secret", "privacy": "hash"},
            ]
        },
        "features": [
            {"metric": "b", "windows": [32, 8], "aggregates": ["slope", "mean", "last"]},
            {"metric": "a.x", "windows": [4], "aggregates": ["max"]},
        ],
        "target": {"task": "regression", "expression": "last(b)", "horizon": "5s"},
    },
}


def read(change=lambda spec: None):
    document = deepcopy(DOCUMENT)
    change(document["spec"])
    catalogue = parse_documents([document])
    pipeline = catalogue.pipelines["p"]
    return pipeline, catalogue.source_of(pipeline)


def digest(change=lambda spec: None):
    return feature_digest(*read(change))


def test_features_are_ordered_by_metric_then_window_then_aggregate():
    assert feature_names(*read()) == (
        "a.x.max.4",
        "b.last",
        "b.mean.8",
        "b.slope.8",
        "b.mean.32",
        "b.slope.32",
    )


def test_the_plan_says_what_the_names_say():
    plan = feature_plan(*read())
    assert [(f.metric, f.aggregate, f.window_rows) for f in plan[:2]] == [
        ("a.x", "max", 4),
        ("b", "last", 32),
    ]


def test_a_star_means_every_metric_without_privacy():
    names = feature_names(*read(lambda s: s.update(features=[{"metric": "*", "windows": [2]}])))
    assert {name.rsplit(".", 1)[0].split(".mean")[0] for name in names} >= {"a.x", "b"}
    assert not any("secret" in name for name in names)


def test_a_feature_that_is_named_twice_comes_once():
    names = feature_names(*read(lambda s: s["features"].append({"metric": "*", "windows": [8]})))
    assert len(names) == len(set(names)) == 15


STAYS = {
    "order of blocks": lambda s: s["features"].reverse(),
    "order of windows": lambda s: s["features"][0].update(windows=[8, 32]),
    "order of aggregates": lambda s: s["features"][0].update(aggregates=["last", "mean", "slope"]),
    "order of metrics": lambda s: s["source"]["metrics"].reverse(),
    "default look-back written out": lambda s: s.update(look_back="128s"),
    "trainers": lambda s: s.update(trainers=[]),
    "horizon": lambda s: s["target"].update(horizon="9s"),
    "season and labels": lambda s: s["source"].update(season="7d", labels=["site"]),
}


@pytest.mark.parametrize("change", STAYS.values(), ids=STAYS.keys())
def test_the_digest_stays_when_no_feature_changes(change):
    assert digest(change) == digest()


MOVES = {
    "a feature less": lambda s: s["features"].pop(),
    "another window": lambda s: s["features"][0].update(windows=[8, 31]),
    "another aggregate": lambda s: s["features"][1].update(aggregates=["min"]),
    "another unit": lambda s: s["source"]["metrics"][0].update(unit="dB"),
    "another look-back": lambda s: s.update(look_back="129s"),
    "another emit mode": lambda s: s["source"].update(emit="watermark"),
    "another interval": lambda s: (s["source"].update(interval="2s"), s.update(look_back="128s")),
}


@pytest.mark.parametrize("change", MOVES.values(), ids=MOVES.keys())
def test_the_digest_changes_with_whatever_gives_a_feature_its_value(change):
    assert digest(change) != digest()


def test_the_digest_is_the_same_in_every_process():
    assert digest() == ("ad4ba61deb62db5dfc5e276515634199a9af03812f5d55f455728f1939852863")
    assert digest8(digest()) == digest()[:8]


def test_defaults_follow_from_windows_and_interval():
    pipeline, source = read()
    assert largest_window_rows(pipeline) == 32
    assert look_back_ms(pipeline, source) == 4 * 32 * 1_000
    assert warm_up_rows(pipeline) == 4
    assert target_metrics(pipeline) == ("b",)


def test_a_feedback_target_needs_no_raw_values():
    feedback = {"task": "binary", "kind": "feedback", "horizon": "1h"}
    assert target_metrics(read(lambda s: s.update(target=feedback))[0]) == ()
