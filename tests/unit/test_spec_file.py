"""Specification files: lines in messages, and files that are no specification at all."""

import re
from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from flyball_local.specfile import explain, load, load_text
from flyball_proto.spec import SpecError, complete, feature_digest, parse_documents

MINIMAL = """\
apiVersion: flyball/v1
kind: Pipeline
metadata: {name: congestion}
spec:
  source: {interval: 1s, metrics: [load]}
  target: {task: binary, expression: "max(load) > 0.9", horizon: 30s}
"""
TWO = """\
# a comment
apiVersion: flyball/v1
kind: Source
metadata: {name: ran}
spec:
  interval: 1s
  metrics:
    - name: load
      unit: ratio
      range: [0, 1]
---
apiVersion: flyball/v1
kind: Pipeline
metadata: {name: congestion}
spec:
  source: ran
  features:
    - {metric: load, windows: [8]}
  target:
    task: binary
    expression: max(load) > 0.9
    horizon: 30s
"""
PIPELINES = sorted((Path(__file__).parents[2] / "pipelines").glob("*.yaml"))


def refusal(text, name="spec.yaml"):
    with pytest.raises(SpecError) as refused:
        load_text(text, name)
    return refused.value.lines


def test_six_lines_are_a_specification():
    assert len(MINIMAL.splitlines()) == 6
    assert load_text(MINIMAL, "spec.yaml").pipelines["congestion"].name == "congestion"


def test_a_file_may_hold_several_documents():
    catalogue = load_text(TWO, "spec.yaml")
    assert (list(catalogue.sources), list(catalogue.pipelines)) == (["ran"], ["congestion"])


@pytest.mark.parametrize(
    ("old", "new", "line"),
    [
        (
            "range: [0, 1]",
            "range: [1, 0]",
            (
                "spec.yaml:8: spec.metrics.0: found [1.0, 0.0]; valid: range: [lowest, highest] with "
                "lowest < highest; correct it"
            ),
        ),
        (
            "unit: ratio",
            "unti: ratio",
            (
                "spec.yaml:9: spec.metrics.0.unti: found unknown field 'unti'; valid: name, unit, "
                "range, on_invalid, required, privacy (nearest: unit); did you mean unit?"
            ),
        ),
        (
            "{metric: load, windows",
            "{metric: laod, windows",
            (
                "spec.yaml:18: spec.features.0.metric: found unknown metric 'laod'; valid: load "
                "(nearest: load); did you mean load?"
            ),
        ),
        (
            "    horizon: 30s\n",
            "",
            (
                "spec.yaml:19: spec.target.horizon: found no horizon; valid: 1s (one interval of ran) "
                "to 100000s; write e.g. horizon: 1s"
            ),
        ),
        (
            "  source: ran",
            "  source: rna",
            "spec.yaml:16: spec.source: found unknown source 'rna'; valid: ran; did you mean ran?",
        ),
        (
            "kind: Pipeline",
            "kind: Pipelin",
            "spec.yaml:13: kind: found 'Pipelin'; valid: Source, Pipeline; did you mean Pipeline?",
        ),
    ],
)
def test_a_mistake_is_told_with_file_line_field_found_valid_and_next_step(old, new, line):
    assert refusal(TWO.replace(old, new)) == (line,)


def test_mistakes_are_listed_in_the_order_of_the_file():
    text = TWO.replace("30s", "30").replace("interval: 1s", "interval: 1").replace("ran", "R N", 1)
    numbers = [int(line.split(":")[1]) for line in refusal(text)]
    assert numbers == sorted(numbers)
    assert len(numbers) == 3


@pytest.mark.parametrize(
    ("text", "line", "words"),
    [
        ("", 1, "no document"),
        ("# only a comment\n", 1, "no document"),
        ("a: [1,\nb: 2\n", 1, "correct the syntax"),
        ("a: 'open\n", 1, "correct the syntax"),
        ("\ta: 1\n", 1, "correct the syntax"),
        ("kind: Source\nspec: {}\nkind: Source\n", 3, "remove one of them"),
        ("a: *nowhere\n", 1, "undefined alias"),
        ("just a text\n", 1, "a mapping with apiVersion"),
        ("a: \x07\n", 1, "valid: YAML"),
        (TWO.replace("range: [0, 1]", "name: twice"), 10, "duplicate key"),
    ],
    ids=[
        "empty",
        "comment",
        "unclosed list",
        "unclosed text",
        "tab",
        "duplicate key",
        "unknown alias",
        "text",
        "control character",
        "duplicate key further inside",
    ],
)
def test_a_file_that_cannot_be_read_is_refused_with_its_line(text, line, words):
    lines = refusal(text)
    assert len(lines) == 1
    assert lines[0].startswith(f"spec.yaml:{line}: ")
    assert words in lines[0]


def test_aliases_that_unfold_without_end_are_refused():
    bomb = ["a0: &a0 [x, x, x, x, x, x, x, x, x, x]"]
    bomb += [f"a{i}: &a{i} [{', '.join([f'*a{i - 1}'] * 10)}]" for i in range(1, 9)]
    assert "more than 100000 values" in refusal("\n".join(bomb))[0]


def test_a_missing_file_is_refused_with_the_next_step(tmp_path):
    with pytest.raises(SpecError, match="flyball new spec"):
        load(tmp_path / "none.yaml")


def test_a_file_that_is_no_text_is_refused_with_its_line(tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_bytes(b"a: 1\nb: \xff\n")
    with pytest.raises(SpecError, match=r"spec\.yaml:2: found bytes"):
        load(path)


def test_a_file_beyond_the_bound_is_refused_unread(tmp_path):
    path = tmp_path / "spec.yaml"
    path.write_bytes(b"#" * (1 << 20) + b"\n")
    with pytest.raises(SpecError, match="at most 1048576"):
        load(path)


def test_a_pipeline_may_name_a_source_of_the_running_system():
    source, pipeline = TWO.split("---\n")
    known = load_text(source, "source.yaml")
    assert load_text(pipeline, "pipeline.yaml", known).pipelines


@settings(deadline=None)
@given(st.text(alphabet=" \n-:{}[]&*!|>'\"%@`,?#abkindSource:01", max_size=80))
def test_any_text_is_either_a_catalogue_or_refused_with_a_line(text):
    try:
        load_text(text, "f")
    except SpecError as refused:
        lines = refused.lines
    else:
        lines = ()
    assert all(re.match(r"f:\d+: ", line) for line in lines)


@pytest.mark.parametrize("path", PIPELINES, ids=lambda path: path.stem)
def test_a_ready_specification_is_valid_and_explained_as_itself(path):
    catalogue = load(path)
    again = load_text(explain(catalogue), "explained")
    assert again.sources == catalogue.sources
    for pipeline in catalogue.pipelines.values():
        source = catalogue.source_of(pipeline)
        assert again.pipelines[pipeline.name] == complete(pipeline, source)
        assert feature_digest(again.pipelines[pipeline.name], source) == feature_digest(
            pipeline, source
        )


def test_there_are_ready_specifications():
    assert {path.stem for path in PIPELINES} >= {"itu5g_energy", "ran", "host"}


def test_explaining_marks_what_the_file_left_out():
    lines = explain(load_text(MINIMAL, "f")).splitlines()
    assert any("look_back: 32s" in line and "# default" in line for line in lines)
    assert any("horizon: 30s" in line and "default" not in line for line in lines)


def test_documents_from_a_file_equal_documents_from_a_message():
    plain = {
        "apiVersion": "flyball/v1",
        "kind": "Pipeline",
        "metadata": {"name": "congestion"},
        "spec": {
            "source": {"interval": "1s", "metrics": ["load"]},
            "target": {"task": "binary", "expression": "max(load) > 0.9", "horizon": "30s"},
        },
    }
    assert load_text(MINIMAL, "f") == parse_documents([plain])
