"""Sources and pipelines: defaults, every mistake with its parts, and how they fit each other."""

import json
from copy import deepcopy

import pytest

from flyball_proto.spec import (
    Catalogue,
    Pipeline,
    Source,
    SpecError,
    as_document,
    complete,
    parse_documents,
)

SOURCE = {
    "apiVersion": "flyball/v1",
    "kind": "Source",
    "metadata": {"name": "ran"},
    "spec": {
        "interval": "1s",
        "metrics": [
            {"name": "prb_util", "unit": "ratio", "range": [0, 1]},
            {"name": "rsrp", "unit": "dBm", "range": [-156, -31], "on_invalid": "clip"},
            {"name": "supi", "privacy": "drop"},
        ],
        "labels": ["site", "band"],
        "accepts": [{"subject": "telegraf.>", "format": "influx", "element": "tags.cell"}],
    },
}
PIPELINE = {
    "apiVersion": "flyball/v1",
    "kind": "Pipeline",
    "metadata": {"name": "congestion"},
    "spec": {
        "source": "ran",
        "features": [{"metric": "prb_util", "windows": [8, 32]}, {"metrics": ["rsrp"]}],
        "target": {"task": "binary", "expression": "max(prb_util) > 0.9", "horizon": "30s"},
        "decisions": [{"action": "offload", "score_at_least": 0.85}],
        "promotion": {"slices": ["site"], "refresh": False},
        "risk": {"budgets": {"elements_per_label": {"site": 0.2}}},
    },
}
MINIMAL = {
    "apiVersion": "flyball/v1",
    "kind": "Pipeline",
    "metadata": {"name": "congestion"},
    "spec": {
        "source": {"interval": "1s", "metrics": ["load"]},
        "target": {"task": "binary", "expression": "max(load) > 0.9", "horizon": "30s"},
    },
}


def changed(document, path, value):
    """`document` with the field at a dotted path set, or removed when the value is `...`."""
    document = deepcopy(document)
    *way, last = [int(step) if step.isdecimal() else step for step in path.split(".")]
    here = document
    for step in way:
        here = here[step] if isinstance(here, list) else here.setdefault(step, {})
    if value is ...:
        del here[last]
    else:
        here[last] = value
    return document


def refusal(*documents, known=None):
    with pytest.raises(SpecError) as refused:
        parse_documents(documents, known)
    return refused.value


def test_a_specification_of_six_lines_is_whole():
    catalogue = parse_documents([MINIMAL])
    pipeline = catalogue.pipelines["congestion"]
    assert catalogue.source_of(pipeline).spec.metrics[0].name == "load"
    assert pipeline.spec.source == "congestion"
    assert pipeline.spec.risk.baseline_acts is False
    assert pipeline.spec.promotion.refresh.enabled


def test_a_written_out_object_reads_back_as_the_same():
    catalogue = parse_documents([SOURCE, PIPELINE])
    documents = json.loads(json.dumps([as_document(found) for found in catalogue.objects]))
    assert parse_documents(documents) == catalogue


def test_shorthands_mean_what_they_stand_for():
    spec = parse_documents([SOURCE, PIPELINE]).pipelines["congestion"].spec
    assert spec.promotion.refresh.enabled is False
    assert spec.features[0].chosen == ("prb_util",)
    assert spec.features[1].chosen == ("rsrp",)


def test_objects_are_listed_in_the_order_in_which_they_can_be_applied():
    names = [type(o).__name__ for o in parse_documents([PIPELINE, SOURCE]).objects]
    assert names == ["Source", "Pipeline"]


def test_completing_a_pipeline_fills_in_what_depends_on_its_parts():
    catalogue = parse_documents([SOURCE, PIPELINE])
    pipeline = catalogue.pipelines["congestion"]
    spec = complete(pipeline, catalogue.source_of(pipeline)).spec
    assert (spec.look_back_ms, spec.warm_up_rows, spec.promotion.metric) == (128_000, 8, "brier")


@pytest.mark.parametrize(
    ("path", "value", "found", "valid", "step"),
    [
        ("apiVersion", "flyball/v2", "'flyball/v2'", "flyball/v1", "did you mean"),
        ("apiVersion", ..., "nothing", "flyball/v1", "add `apiVersion:`"),
        ("kind", "Sauce", "'Sauce'", "Source, Pipeline", "did you mean Source?"),
        ("metadata.name", "My Net", "'My Net'", "lower-case", ""),
        ("metadata.name", "a.b", "'a.b'", "lower-case", ""),
        ("spec", 3, "3", "a mapping of fields", ""),
        ("spec.intervl", "1s", "unknown field 'intervl'", "nearest: interval", "mean interval?"),
        ("spec.interval", 30, "30", "30s, 15min", ""),
        ("spec.interval", "0s", "'0s'", "greater than 0", ""),
        ("spec.emit", "later", "'later'", "arrival, watermark", ""),
        ("spec.metrics", [], "a list of 0", "at least 1 entries", ""),
        ("spec.metrics", "prb", "'prb'", "a list", ""),
        ("spec.metrics.0.name", "prb util", "'prb util'", "a letter or `_`", ""),
        ("spec.metrics.0.nme", "x", "unknown field 'nme'", "name, unit, range", "mean name?"),
        ("spec.metrics.0.range", [1, 0], "[1.0, 0.0]", "lowest < highest", ""),
        ("spec.metrics.0.range.1", "1", "'1'", "a number", ""),
        ("spec.metrics.0.range.1", float("inf"), "inf", "a finite number", ""),
        ("spec.metrics.0.required", "yes", "'yes'", "true or false", ""),
        ("spec.metrics.0.privacy", "hide", "'hide'", "none, hash, drop", ""),
        ("spec.metrics.2.on_invalid", "clip", "without a range", "beside a range", "add `range"),
        ("spec.metrics.1.name", "prb_util", "'prb_util' twice", "different names", ""),
        ("spec.labels", ["site", "site"], "'site' twice", "different names", ""),
        ("spec.labels", ["a-b"], "'a-b'", "a letter or `_`", ""),
        ("spec.accepts.0.subject", "a.>.b", "'a.>.b'", "a NATS subject", ""),
        ("spec.accepts.0.format", "telegraph", "'telegraph'", "influx", ""),
        ("spec.csv.one_element", "a.b", "'a.b'", "1 to 128", ""),
        ("spec.csv.truth", {}, "nothing", "Header of the column", "add `column:`"),
    ],
)
def test_a_mistake_in_a_source_names_found_valid_and_next_step(path, value, found, valid, step):
    mistakes = refusal(changed(SOURCE, path, value)).mistakes
    assert len(mistakes) == 1
    assert found in mistakes[0].found
    assert valid in mistakes[0].valid
    assert step in mistakes[0].next_step
    assert path.startswith(mistakes[0].field) or mistakes[0].field.startswith(path)


@pytest.mark.parametrize(
    ("path", "value", "found", "valid"),
    [
        ("spec.source", "rna", "unknown source 'rna'", "ran"),
        ("spec.features.0.metric", "prb_utl", "unknown metric 'prb_utl'", "nearest: prb_util"),
        ("spec.features.1.metrics.0", "rsrq", "unknown metric 'rsrq'", "nearest: rsrp"),
        ("spec.features.0.metric", "supi", "privacy: drop", "prb_util, rsrp"),
        ("spec.features.0.metrics", ["rsrp"], "both", "either metric or metrics"),
        ("spec.features.0.windows", [0], "0", "greater than or equal to 1"),
        ("spec.features.0.windows", [4097], "4097", "less than or equal to 4096"),
        ("spec.features.0.windows", [], "a list of 0", "at least 1 entries"),
        ("spec.features.0.aggregates", ["median"], "'median'", "last, mean, std"),
        ("spec.look_back", "31s", "31s", "at least 32s: 32 rows at 1s"),
        ("spec.warm_up_rows", 33, "33", "1 to 32"),
        ("spec.target.expression", "max(prb) > 0.9", "unknown metric 'prb'", "prb_util"),
        ("spec.target.expression", "max(prb_util)", "task binary", "binary with a comparison"),
        ("spec.target.expression", "sum(prb_util) > 1", "'sum' in column 1", "max, min, mean"),
        ("spec.target.horizon", "500ms", "500ms", "1s (one interval of ran)"),
        ("spec.target.horizon", ..., "no horizon", "1s (one interval of ran)"),
        ("spec.target.horizon", "100d", "100d", "to 100000s"),
        ("spec.target.task", "regresion", "'regresion'", "regression, binary, multiclass"),
        ("spec.trainers", [{"name": "a", "kind": "xgboost"}], "'xgboost'", "lightgbm, logistic, r"),
        ("spec.trainers", [{"name": "a", "kind": "ridge"}], "kind ridge", "ridge for regression"),
        ("spec.trainers", [{"name": "baseline", "kind": "lightgbm"}], "built in", "different"),
        ("spec.promotion.canary", [25, 5, 100], "[25, 5, 100]", "rise and end with 100"),
        ("spec.promotion.slices", ["sit"], "unknown label 'sit'", "nearest: site"),
        ("spec.decisions.0.score_at_least", 85, "85 for offload", "between 0 and 1"),
        ("spec.decisions.0.score_at_least", "0.85", "'0.85'", "a number"),
        ("spec.decisions.0.action", "Off Load", "'Off Load'", "a lower-case letter"),
        ("spec.decisions.0.severity", "mild", "'mild'", "low, medium, high, critical"),
        ("spec.decisions.0.label", "a", "label 'a'", "only for multiclass"),
        ("spec.decisions", [{"action": "a", "score_at_least": 0.1}] * 2, "'a' twice", "different"),
        ("spec.risk.max_error", 0, "0", "greater than 0"),
        ("spec.risk.hold.approvals", 3, "3", "less than or equal to 2"),
        ("spec.risk.budgets.elements_per_label", {"town": 0.2}, "unknown label 'town'", "site"),
        (
            "spec.risk.boundaries",
            [{"name": "a", "when": "", "verdict": "hold"}],
            "''",
            "at least 1",
        ),
        ("spec.risk.autonomy", "full", "'full'", "advisory, supervised, autonomous"),
        ("spec.risk.automony", "full", "unknown field 'automony'", "nearest: autonomy"),
    ],
)
def test_a_mistake_in_a_pipeline_names_found_and_valid(path, value, found, valid):
    mistakes = refusal(SOURCE, changed(PIPELINE, path, value)).mistakes
    assert len(mistakes) == 1
    assert found in mistakes[0].found
    assert valid in mistakes[0].valid
    assert mistakes[0].document == 1
    assert path.startswith(mistakes[0].field) or mistakes[0].field.startswith(path)


def test_every_mistake_is_listed_at_once():
    source = changed(changed(SOURCE, "spec.emit", "later"), "spec.metrics.0.range", [2, 1])
    pipeline = changed(changed(PIPELINE, "spec.risk.autonomy", "full"), "metadata.name", "A")
    fields = {m.field for m in refusal(source, pipeline).mistakes}
    assert fields == {"spec.emit", "spec.metrics.0", "spec.risk.autonomy", "metadata.name"}


def test_what_follows_from_a_broken_source_is_not_listed():
    source = changed(SOURCE, "spec.metrics.0.name", "prb util")
    assert [m.field for m in refusal(source, PIPELINE).mistakes] == ["spec.metrics.0.name"]


def test_mistakes_of_an_inline_source_stand_where_it_was_written():
    refused = refusal(changed(MINIMAL, "spec.source.metrics", [{"nme": "load"}]))
    assert {m.field for m in refused.mistakes} == {
        "spec.source.metrics.0.name",
        "spec.source.metrics.0.nme",
    }


def test_a_missing_metric_list_of_an_inline_source_is_named_there():
    assert [m.field for m in refusal(changed(MINIMAL, "spec.source.metrics", ...)).mistakes] == [
        "spec.source.metrics"
    ]


def test_two_objects_of_one_name_are_refused():
    refused = refusal(SOURCE, PIPELINE, SOURCE)
    assert [(m.document, m.found) for m in refused.mistakes] == [
        (2, "a second Source 'ran', first in document 1")
    ]


@pytest.mark.parametrize("documents", [[], [3], ["a"], [[SOURCE]], [None]])
def test_what_is_no_document_is_refused(documents):
    assert refusal(*documents).mistakes


def test_the_own_value_of_a_metric_is_a_target_only_when_it_is_no_feature():
    target = {"task": "regression", "expression": "prb_util"}
    pipeline = changed(changed(PIPELINE, "spec.target", target), "spec.decisions", [])
    refused = refusal(SOURCE, pipeline).mistakes
    assert [m.field for m in refused] == ["spec.features.0.metric"]
    fitting = changed(pipeline, "spec.features", [{"metric": "*"}])
    assert parse_documents([SOURCE, fitting]).pipelines


def test_a_multiclass_decision_names_one_of_the_classes():
    target = {"task": "multiclass", "kind": "feedback", "horizon": "1h", "classes": ["a", "b", "c"]}
    pipeline = changed(PIPELINE, "spec.target", target)
    assert "one of a, b, c" in refusal(SOURCE, pipeline).mistakes[0].valid
    named = changed(pipeline, "spec.decisions.0.label", "b")
    assert parse_documents([SOURCE, named]).pipelines


def test_a_pipeline_may_name_a_source_that_is_already_applied():
    known = parse_documents([SOURCE])
    assert parse_documents([PIPELINE], known).pipelines["congestion"].spec.source == "ran"


def test_a_changed_source_must_still_fit_the_pipelines_that_read_it():
    known = parse_documents([SOURCE, PIPELINE])
    without = changed(SOURCE, "spec.metrics", ["rsrp"])
    refused = refusal(without, known=known).mistakes
    assert "breaks pipeline congestion" in refused[0].found
    replaced = changed(PIPELINE, "spec.features", [{"metric": "rsrp"}])
    replaced = changed(replaced, "spec.target.expression", "max(rsrp) > 0.9")
    assert isinstance(parse_documents([without, replaced], known), Catalogue)


def test_a_message_never_holds_a_whole_payload():
    refused = refusal(changed(SOURCE, "spec.emit", "x" * 100_000))
    assert len(str(refused)) < 400


def fields_of(schema):
    for name, model in {**schema["$defs"], schema["title"]: schema}.items():
        for field, described in model.get("properties", {}).items():
            yield f"{name}.{field}", described


@pytest.mark.parametrize("model", [Source, Pipeline])
def test_every_field_is_described_for_the_reference(model):
    fields = dict(fields_of(model.model_json_schema(by_alias=True)))
    assert len(fields) > 20
    # A field that says the same as the docstring of its model refers to it instead.
    silent = [n for n, found in fields.items() if not {"description", "$ref"} & found.keys()]
    assert silent == []


def test_null_without_quotes_is_the_word() -> None:
    metric = {"name": "rsrp", "range": [-156, -31], "on_invalid": None}
    found = parse_documents(
        [{"apiVersion": "flyball/v1", "kind": "Source", "metadata": {"name": "ran"},
          "spec": {"interval": "1s", "metrics": [metric]}}]
    )  # fmt: skip
    assert found.sources["ran"].spec.metrics[0].on_invalid == "null"
