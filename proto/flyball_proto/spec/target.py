"""What a pipeline predicts: a small expression over the rows that come after a decision.

    expression = value [ ("<" | "<=" | ">" | ">=") number ]
    value      = aggregate "(" metric ")" [ "-" metric ] | metric
    aggregate  = "max" | "min" | "mean" | "last"

An aggregate runs over the rows of the element with event time in (t, t + horizon], t being the
row's own time. A bare metric is the row's own value, so `last(x) - x` is a change, and `x` alone a
target that is known at once. A metric that is no identifier stands in quotes: `max("in-rate")`.
"""

import ast
from dataclasses import dataclass
from typing import Annotated, Final, Literal, Self, cast, get_args

from pydantic import Field, StringConstraints, model_validator

from flyball_proto.spec.base import SpecModel, wrong
from flyball_proto.spec.durations import DurationMs
from flyball_proto.spec.names import is_metric

Aggregate = Literal["max", "min", "mean", "last"]
Operator = Literal["<", "<=", ">", ">="]
GRAMMAR: Final = "max|min|mean|last(metric), optionally `- metric`, optionally `> number`"
MAX_EXPRESSION_CHARS: Final = 512
_OPERATORS: Final[dict[type[ast.cmpop], Operator]] = {
    ast.Lt: "<",
    ast.LtE: "<=",
    ast.Gt: ">",
    ast.GtE: ">=",
}


class ExpressionError(ValueError):
    """A target expression is refused; `column` counts from 1."""

    def __init__(self, column: int, found: str, valid: str = GRAMMAR) -> None:
        super().__init__(f"column {column}: found {found}; valid: {valid}")
        self.column, self.found, self.valid = column, found, valid


@dataclass(frozen=True, slots=True)
class Comparison:
    """`... <operator> <threshold>`, which makes the target binary."""

    operator: Operator
    threshold: float


@dataclass(frozen=True, slots=True)
class Expression:
    """A parsed target expression."""

    metric: str
    aggregate: Aggregate | None
    """None: the row's own value."""
    minus_own: bool = False
    """The row's own value of the same metric is subtracted."""
    comparison: Comparison | None = None


def parse_expression(text: str) -> Expression:
    """Parse by Python's grammar and an allow-list; nothing is ever evaluated.

    Raises:
        ExpressionError: With the column of what does not belong there.
    """
    if len(text) > MAX_EXPRESSION_CHARS:
        raise ExpressionError(1, f"{len(text)} characters", f"at most {MAX_EXPRESSION_CHARS}")
    text = text.strip()
    try:
        node: ast.expr = ast.parse(text, mode="eval").body
    except (SyntaxError, ValueError) as error:
        column = getattr(error, "offset", None) or 1
        hint = f'{GRAMMAR}; quote a metric that is no identifier: max("in-rate")'
        raise ExpressionError(column, f"{text[column - 1 : column + 19]!r}", hint) from error
    comparison = minus = None
    if isinstance(node, ast.Compare):
        comparison = _comparison(node, text)
        node = node.left
    if isinstance(node, ast.BinOp) and isinstance(node.op, ast.Sub):
        minus = node.right
        node = node.left
    metric, aggregate = _value(node, text)
    if minus is not None:
        _same_metric(minus, metric, aggregate, text)
    return Expression(metric, aggregate, minus is not None, comparison)


def _comparison(node: ast.Compare, text: str) -> Comparison:
    operator = _OPERATORS.get(type(node.ops[0]))
    if operator is None or len(node.ops) > 1:
        raise _refused(node.comparators[0], text, "one of < <= > >= and one number")
    right, sign = node.comparators[0], 1
    if isinstance(right, ast.UnaryOp) and isinstance(right.op, ast.USub):
        right, sign = right.operand, -1
    if not isinstance(right, ast.Constant) or type(right.value) not in (int, float):
        raise _refused(right, text, "a number")
    value = cast("float", right.value)
    if not abs(value) < 1e300:
        raise _refused(right, text, "a number below 1e300")
    threshold = sign * float(value)
    return Comparison(operator, threshold)


def _value(node: ast.expr, text: str) -> tuple[str, Aggregate | None]:
    if not isinstance(node, ast.Call):
        return _metric(node, text), None
    name = node.func.id if isinstance(node.func, ast.Name) else ""
    if name not in get_args(Aggregate):
        raise _refused(node.func, text, f"one of {', '.join(get_args(Aggregate))}")
    if len(node.args) != 1 or node.keywords:
        raise _refused(node, text, f"{name}(metric)")
    return _metric(node.args[0], text), cast("Aggregate", name)


def _metric(node: ast.expr, text: str) -> str:
    name = ast.unparse(node) if isinstance(node, ast.Name | ast.Attribute) else ""
    if isinstance(node, ast.Constant) and isinstance(node.value, str):
        name = node.value
    if not is_metric(name):
        raise _refused(node, text, 'the name of a metric, in quotes if it has a dash: "in-rate"')
    return name


def _same_metric(node: ast.expr, metric: str, aggregate: str | None, text: str) -> None:
    if aggregate is None or not isinstance(node, ast.Name | ast.Attribute | ast.Constant):
        raise _refused(node, text, "aggregate(metric) - metric")
    if _metric(node, text) != metric:
        raise _refused(node, text, f"{metric}: the metric that is aggregated")


def _refused(node: ast.expr, text: str, valid: str) -> ExpressionError:
    found = ast.get_source_segment(text, node) or text
    return ExpressionError(node.col_offset + 1, f"{found[:40]!r}", valid)


class Target(SpecModel):
    """What is predicted, and when the truth about it is known."""

    task: Literal["regression", "binary", "multiclass"] = Field(
        description="regression: a value; binary: the probability of the comparison; multiclass: "
        "of each class."
    )
    kind: Literal["future", "feedback"] = Field(
        default="future",
        description="future: the label is the expression over later rows; feedback: it is "
        "published on labels.<pipeline>.<element>.",
    )
    expression: str | None = Field(
        default=None,
        description="future only: aggregate(metric), `- metric` for a change, and for binary a "
        "comparison, e.g. max(prb_util) > 0.9.",
    )
    horizon_ms: DurationMs = Field(
        default=0,
        alias="horizon",
        description="future: how far the expression looks ahead; feedback: how long a truth is "
        "waited for.",
    )
    classes: tuple[Annotated[str, StringConstraints(min_length=1, max_length=64)], ...] = Field(
        default=(), max_length=64, description="multiclass only: the classes, in score order."
    )

    @property
    def parsed(self) -> Expression | None:
        """The expression in parts; None for feedback."""
        return parse_expression(self.expression) if self.expression is not None else None

    @model_validator(mode="after")
    def _is_consistent(self) -> Self:
        if (self.task == "multiclass") != bool(self.classes):
            raise wrong("classes beside task: multiclass, and only there", found=self._found())
        if self.kind == "feedback":
            return self._feedback_is_consistent()
        if self.task == "multiclass":
            raise wrong("kind: feedback for multiclass", found=self._found())
        if self.expression is None:
            raise wrong(
                GRAMMAR, found="no expression", next_step='add e.g. expression: "max(load) > 0.9"'
            )
        try:
            parsed = parse_expression(self.expression)
        except ExpressionError as error:
            raise wrong(
                error.valid, found=f"{error.found} in column {error.column} of the expression"
            ) from error
        if (parsed.comparison is not None) != (self.task == "binary"):
            raise wrong(
                "binary with a comparison, regression without one",
                found=self._found(),
                next_step="add `> number` to the expression or change the task",
            )
        return self

    def _feedback_is_consistent(self) -> Self:
        if self.expression is not None:
            raise wrong("no expression beside kind: feedback", found=self._found())
        if self.horizon_ms == 0:
            raise wrong(
                "a horizon: how long a truth is waited for",
                found="no horizon",
                next_step="add e.g. horizon: 1h",
            )
        if self.task == "multiclass" and len(set(self.classes)) < max(3, len(self.classes)):
            raise wrong("three or more different classes", found=str(list(self.classes)))
        return self

    def _found(self) -> str:
        return f"task {self.task}, kind {self.kind}, expression {self.expression!r}"
