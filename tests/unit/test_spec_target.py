import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from flyball_proto.spec import Comparison, Expression, ExpressionError, Target, parse_expression
from flyball_proto.spec.target import MAX_EXPRESSION_CHARS


@pytest.mark.parametrize(
    ("text", "parsed"),
    [
        ("max(prb_util) > 0.9", Expression("prb_util", "max", False, Comparison(">", 0.9))),
        ("last(Energy)", Expression("Energy", "last")),
        ("last(x) - x", Expression("x", "last", minus_own=True)),
        ("mean(x) - x <= -3", Expression("x", "mean", True, Comparison("<=", -3.0))),
        ("min( RRU.PrbTotDl )<5", Expression("RRU.PrbTotDl", "min", False, Comparison("<", 5.0))),
        ('last("in-rate") - "in-rate"', Expression("in-rate", "last", minus_own=True)),
        ("load", Expression("load", None)),
        ("load >= 1", Expression("load", None, False, Comparison(">=", 1.0))),
        ("  last(x)\n", Expression("x", "last")),
    ],
)
def test_an_expression_is_read_into_its_parts(text, parsed):
    assert parse_expression(text) == parsed


@pytest.mark.parametrize(
    ("text", "column"),
    [
        ("sum(x)", 1),
        ("max(x, y)", 1),
        ("max(x=1)", 1),
        ("max(*x)", 5),
        ("max(x) > y", 10),
        ("max(x) > True", 10),
        ("max(x) > 0.9 > 0.1", 10),
        ("max(x) == 1", 11),
        ("max(x) > 1e999", 10),
        ("max(x) > " + "9" * 400, 10),
        ("max(x) - y", 10),
        ("max(x) - last(x)", 10),
        ("x - 1", 5),
        ("max(x) + 1", 1),
        ("max(in-rate) > 1", 5),
        ("max(x", 4),
        ("__import__('os').system('true')", 1),
        ("(lambda: x)()", 2),
        ("[x for x in y]", 1),
        ("max(x) > 1 and True", 1),
        ("max('')", 5),
        ("3", 1),
        ("", 1),
        ("a\x00b", 1),
    ],
)
def test_what_is_not_in_the_grammar_is_refused_at_its_column(text, column):
    with pytest.raises(ExpressionError) as refused:
        parse_expression(text)
    assert refused.value.column == column
    assert "valid" in str(refused.value)


def test_an_expression_is_bounded():
    with pytest.raises(ExpressionError, match=f"at most {MAX_EXPRESSION_CHARS}"):
        parse_expression("x" * (MAX_EXPRESSION_CHARS + 1))


@settings(deadline=None)
@given(st.text(alphabet="maxlst()<>=-+*/.,'\"_[]{}: 0123456789eE\\\n\t#é", max_size=60))
def test_any_text_is_either_an_expression_or_refused(text):
    try:
        said: object = parse_expression(text).metric
    except ExpressionError as refused:
        said = refused.column
    assert said  # a metric's name, or a column from 1


_METRICS = st.from_regex(r"[A-Za-z_][A-Za-z0-9_.\-]{0,20}", fullmatch=True)


@settings(deadline=None)
@given(
    _METRICS,
    st.sampled_from(["max", "min", "mean", "last"]),
    st.booleans(),
    st.none() | st.floats(-1e9, 1e9),
)
def test_every_expression_of_the_grammar_is_read_back_from_its_text(
    metric, aggregate, minus, limit
):
    text = f'{aggregate}("{metric}")' + (f' - "{metric}"' if minus else "")
    text += "" if limit is None else f" > {limit!r}"
    comparison = None if limit is None else Comparison(">", limit)
    assert parse_expression(text) == Expression(metric, aggregate, minus, comparison)


@pytest.mark.parametrize(
    ("target", "message"),
    [
        ({"task": "binary", "expression": "max(x)", "horizon": "1s"}, "binary with a comparison"),
        ({"task": "regression", "expression": "max(x) > 1", "horizon": "1s"}, "binary with a comp"),
        ({"task": "regression"}, r"max\|min\|mean\|last"),
        ({"task": "multiclass", "expression": "last(x)", "classes": ["a", "b", "c"]}, "feedback"),
        ({"task": "binary", "kind": "feedback"}, "how long a truth"),
        (
            {"task": "binary", "kind": "feedback", "horizon": "1h", "expression": "x"},
            "no expression",
        ),
        ({"task": "binary", "kind": "feedback", "horizon": "1h", "classes": ["a"]}, "classes"),
        ({"task": "multiclass", "kind": "feedback", "horizon": "1h"}, "classes"),
        (
            {"task": "multiclass", "kind": "feedback", "horizon": "1h", "classes": ["a", "a", "b"]},
            "three or more different",
        ),
    ],
)
def test_a_target_that_contradicts_itself_is_refused(target, message):
    with pytest.raises(ValidationError, match=message):
        Target.model_validate(target)


def test_a_feedback_target_has_no_expression():
    target = Target.model_validate({"task": "binary", "kind": "feedback", "horizon": "1h"})
    assert target.parsed is None
    assert target.horizon_ms == 3_600_000
