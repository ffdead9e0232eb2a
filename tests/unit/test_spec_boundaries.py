"""What boundaries may say, checked before anything is applied; the interpreter is the oracle."""

from typing import Any

import cel
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from flyball_kit.specyaml import load_text
from flyball_proto.spec import SpecError, parse_documents
from flyball_proto.spec.boundaries import facts, mistake_in, place_words

SPEC = """\
apiVersion: flyball/v1
kind: Source
metadata: {name: ran}
spec:
  interval: 1s
  labels: [site, zone, in]
  metrics: [load]
---
apiVersion: flyball/v1
kind: Pipeline
metadata: {name: p}
spec:
  source: ran
  target: {task: binary, expression: "max(load) > 0.9", horizon: 30s}
  decisions:
    - {action: offload, score_at_least: 0.5, parameter: tilt}
    - {action: page, score_at_least: 0.3}
  risk:
    boundaries:
"""
CLASSES = {"task": "multiclass", "kind": "feedback", "horizon": "1h", "classes": ["a", "b", "c"]}

WHOLE: dict[str, Any] = {
    "element": {"name": "cell-7", "labels": {"site": "s1", "zone": "hospital", "in": "1"}},
    "decision": {
        "action": "offload",
        "parameter": "tilt",
        "severity": "medium",
        "score": 0.83,
        "risk": 0.04,
        "category": "low",
        "error": 0.17,
        "confidence": 0.9,
        "credibility": 0.4,
        "novelty": 0.3,
        "disagreement": 0.1,
        "clipped": False,
        "missing": False,
        "stale": True,
        "repaired": False,
    },
    "time": {"hour": 23, "minute": 59, "weekday": 7},
    "model": {"trainer": "recent", "stage": "active", "age_s": 61.5},
}


def spec(*boundaries: str) -> str:
    return SPEC + "".join(f"      {line}\n" for line in boundaries)


def written(when: str) -> str:
    return spec("- name: b", f"  when: {when}", "  verdict: hold")


CATALOGUE = load_text(written('"true"'), "f")
KNOWN = facts(CATALOGUE.pipelines["p"], CATALOGUE.sources["ran"])


def refused(text: str) -> str:
    with pytest.raises(SpecError) as caught:
        load_text(text, "f.yaml")
    return str(caught.value)


GOOD = [
    "true",
    'element.labels.zone == "hospital" && decision.action != "page"',
    "time.hour >= 22 || time.hour < 6",
    "time.weekday in [6, 7]",
    "has(decision.novelty) && decision.novelty < 0.05",
    "model.age_s > 3600",
    "decision.score > 1",
    'element.labels["in"] == "1"',
    '"site" in element.labels',
    "decision.stale || decision.missing",
    "!(decision.stale && !decision.clipped)",
    'element.name.startsWith("gnb-") || element.name.matches("^cell-[0-9]+$")',
    "decision.risk * 2.0 - 0.1 >= -decision.error",
    'decision.score > 0.9 ? element.labels.zone == "hospital" : decision.severity == "high"',
    "(time.hour * 60 + time.minute) / 15 == 4 // the second quarter past one",
    "size(element.name) > 3 && string(time.hour) != '7'",
    "double(time.hour) / 2.0 > decision.score",
    'model.trainer == "baseline" || model.stage == "canary"',
    'decision.category in ["high", "critical"]',
]


@pytest.mark.parametrize("when", GOOD)
def test_what_an_expert_would_write_is_accepted_and_gives_true_or_false(when: str) -> None:
    assert mistake_in(when, KNOWN) is None
    assert isinstance(cel.compile(when).execute(WHOLE), bool)


BAD = [
    # expression, character it is about, part of what is found, of what is valid, of the next step
    ("element.lable == 'x'", 9, "'element.lable'", "element.labels", "mean element.labels"),
    ("element.labels.sit == 'x'", 16, "label 'sit'", "element.labels.site", "element.labels.site"),
    ("decision.score > '0.8'", 1, "a number > a text", "two numbers", "remove the quotes"),
    ("decision.score", 1, "a number, as the result", "true or false", "decision.score > 0.8"),
    ("decision.action == 'ofload'", 20, "'ofload'", "offload, page", "mean 'offload'"),
    ("decision.category in ['hgh']", 23, "'hgh'", "negligible", "mean 'high'"),
    ("decision.score > 80", 18, "80", "0 to 1", ""),
    ("time.hour == 24", 14, "24", "0 to 23", ""),
    ("time.weekday in [0]", 18, "0", "1 to 7", ""),
    ("time.hour > 1 or time.hour < 0", 15, "'or'", "||", "write ||"),
    ("time.hour = 3", 11, "'='", "==", "write =="),
    ("foo(1) > 2", 1, "function 'foo'", "size()", ""),
    ("element.name.startswith('x')", 14, "'startswith'", ".startsWith()", "mean startsWith"),
    ("startsWith(element.name, 'x')", 1, "'startsWith'", "", "element.name.startsWith"),
    ("decision.score * 2 > 1.0", 1, "* with a number and a whole", "one kind", "2.0 for 2"),
    ("time.hour / time.minute > 1", 13, "can be 0", "other than 0", "double"),
    ("decision.stale &&", 18, "the end of the expression", "a fact", ""),
    ("element == 'x'", 1, "which has parts", "element.name", "element.name"),
    ("has(decision)", 1, "no fact", "has(element.labels.site)", ""),
    ("decision.class == 'a'", 10, "'decision.class'", "decision.action", "multiclass"),
    ("element.labels.in == '1'", 16, "'in'", '["in"]', ""),
    ("element.name.matches('(')", 22, "pattern '('", "regular expression", "contains"),
    ("element.name == 'x", 17, "does not end", "between '", "close the quote"),
    ("[1, 2].exists(x, x > 1)", 8, "function 'exists'", ".contains()", ""),
    ("decision.score > 0.8 ? 1 : true", 28, "whole number or true", "same kind", ""),
    ("(" * 30 + "true" + ")" * 30, 25, "too deep", "at most 24", "several boundaries"),
]


@pytest.mark.parametrize(("when", "column", "found", "valid", "step"), BAD)
def test_a_mistake_says_where_it_is_what_was_found_what_is_valid_and_what_to_do(
    when: str, column: int, found: str, valid: str, step: str
) -> None:
    mistake = mistake_in(when, KNOWN)
    assert mistake is not None
    assert mistake.at + 1 == column
    assert found in mistake.found
    assert valid in mistake.valid
    assert step in mistake.step


def test_a_mistake_is_told_with_line_and_column_of_the_file_and_the_boundary_s_name() -> None:
    assert refused(written("""'element.name == "a" && decision.scor > 1'""")).startswith(
        "f.yaml:21:48: spec.risk.boundaries.0.when: found unknown fact 'decision.scor' (boundary b, "
        "column 33 of the expression); valid: decision.action, "
    )


@pytest.mark.parametrize(
    ("lines", "place"),
    [
        (("- name: b", "  verdict: hold", "  when: decision.scor > 1"), "22:24"),
        (("- {name: b, verdict: hold, when: 'decision.scor > 1'}",), "20:50"),
        (
            ("- name: b", "  verdict: hold", "  when: >-", "    true &&", "    decision.scor > 1"),
            "24:20",
        ),
        (
            ("- name: b", "  verdict: hold", "  when: |", "    true &&", "    decision.scor > 1"),
            "24:20",
        ),
        (("- name: b", "  verdict: hold", "  when: true &&", "    decision.scor > 1"), "23:20"),
    ],
)
def test_the_column_is_found_however_the_expression_is_written(
    lines: tuple[str, ...], place: str
) -> None:
    assert refused(spec(*lines)).startswith(f"f.yaml:{place}: spec.risk.boundaries.0.when: ")


def test_every_boundary_is_checked_and_the_mistakes_come_in_order() -> None:
    told = refused(
        spec(
            "- {name: b, verdict: hold, when: 'decision.scor > 1'}",
            "- {name: c, verdict: hold, when: 'true'}",
            "- {name: d, verdict: hold, when: '1'}",
        )
    ).split("\n")
    assert [line.split(":")[1] for line in told] == ["20", "22"]


def test_a_source_that_loses_a_label_that_a_boundary_reads_is_refused() -> None:
    known = load_text(written("'element.labels.zone == \"x\"'"), "f")
    without = SPEC.partition("---")[0].replace("zone, ", "")
    with pytest.raises(SpecError, match=r"breaks pipeline p: .*label 'zone'"):
        load_text(without, "f", known)


def test_only_classes_of_a_multiclass_target_may_be_named() -> None:
    documents: list[Any] = [
        {
            "apiVersion": "flyball/v1",
            "kind": "Pipeline",
            "metadata": {"name": "p"},
            "spec": {
                "source": {"interval": "1s", "metrics": ["load"]},
                "target": CLASSES,
                "decisions": [{"action": "x", "score_at_least": 0.5, "label": "a"}],
            },
        }
    ]
    found = parse_documents(documents)
    known = facts(found.pipelines["p"], found.sources["p"])
    assert mistake_in('decision.class == "a"', known) is None
    mistake = mistake_in('decision.class == "d"', known)
    assert mistake is not None
    assert mistake.valid == "a, b, c"


def test_a_place_in_several_lines_is_told_by_line_and_column() -> None:
    assert place_words("true &&\n  foo", 10) == "line 2, column 3 of the expression"


def choices(*texts: str) -> st.SearchStrategy[str]:
    return st.sampled_from(texts)


NUMBERS = st.recursive(
    choices(
        "decision.score", "decision.risk", "decision.novelty", "model.age_s", "0.5", "1e2", "3.25"
    ),
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, choices("+", "-", "*", "/"), inner),
        st.builds("-{}".format, choices("decision.score", "0.5")),
    ),
    max_leaves=4,
)
WHOLES = st.recursive(
    choices("time.hour", "time.minute", "time.weekday", "2", "0", "size(element.name)", "int(1.5)"),
    lambda inner: st.builds("({} {} {})".format, inner, choices("+", "-", "%", "/"), inner),
    max_leaves=4,
)
TEXTS = choices(
    "element.name", "element.labels.zone", "decision.action", '"offload"', "'a\\'b'", 'r"\\d"',
    'element.labels["in"]', "string(time.hour)", '(element.name + "x")', "element.labels.none",
)  # fmt: skip
TRUTHS = st.recursive(
    st.one_of(
        choices("true", "decision.stale", "has(decision.novelty)", '"zone" in element.labels'),
        st.builds("{} {} {}".format, NUMBERS, choices("<", ">=", "==", "!="), NUMBERS),
        st.builds("{} {} {}".format, WHOLES, choices("<", "<=", ">", "=="), WHOLES),
        st.builds("{} {} {}".format, WHOLES, choices("<", "=="), NUMBERS),
        st.builds("{} {} {}".format, TEXTS, choices("==", "!=", "<", "in", ">"), TEXTS),
        st.builds("{} in [{}, {}]".format, TEXTS, TEXTS, TEXTS),
        st.builds("{}.{}({})".format, TEXTS, choices("startsWith", "contains", "endsWith"), TEXTS),
    ),
    lambda inner: st.one_of(
        st.builds("({} {} {})".format, inner, choices("&&", "||", "==", "<", "+"), inner),
        st.builds("!({})".format, inner),
        st.builds("({} ? {} : {})".format, inner, inner, inner),
    ),
    max_leaves=6,
)
SOUP = st.lists(
    choices(
        "decision", ".", "score", "stale", "element", "labels", "zone", "(", ")", "[", "]", '"zone"',
        "'", "1", "0.5", ".5", "1.", "<", "==", "=", "&&", "&", "||", "!", "-", "?", ":", "in", "true",
        "has", ",", " ", "\\", "//", "\n", "not", "r'", "1u", "0x1", "{", "}", "null", "e5", "as", "..",
    ),
    max_size=12,
).map("".join)  # fmt: skip


@settings(max_examples=500, deadline=None)
@given(st.one_of(TRUTHS, NUMBERS, WHOLES, TEXTS))
@example("1 == 1.0")
@example("2147483647 * 2 > 1")
def test_whatever_is_accepted_gives_true_or_false_where_every_fact_is_known(when: str) -> None:
    if mistake_in(when, KNOWN) is None:
        assert isinstance(cel.compile(when).execute(WHOLE), bool)


@settings(max_examples=800, deadline=None)
@given(
    st.one_of(
        SOUP, st.text(max_size=12), TRUTHS.flatmap(lambda t: st.permutations(t[:12]).map("".join))
    )
)
def test_whatever_the_interpreter_cannot_read_is_refused(when: str) -> None:
    try:
        cel.compile(when)
    except ValueError:
        assert mistake_in(when, KNOWN) is not None
