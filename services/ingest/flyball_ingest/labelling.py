"""The label of a row from its own value and the values after it. Pure."""

import math
import operator
from collections.abc import Callable, Sequence
from typing import Final

from flyball_proto.spec import Comparison, Expression

Label = Callable[[float, Sequence[float]], float | None]
"""Own value and values of the window, both possibly NaN; None = they do not tell the label."""

_OPERATORS: Final[dict[str, Callable[[float, float], bool]]] = {
    "<": operator.lt,
    "<=": operator.le,
    ">": operator.gt,
    ">=": operator.ge,
}


def _mean(values: Sequence[float]) -> float:
    """Rounded once, so that neither order nor version of Python matters."""
    try:
        return math.fsum(values) / len(values)
    except OverflowError:
        return math.inf


_AGGREGATES: Final[dict[str, Callable[[Sequence[float]], float]]] = {
    "max": max,
    "min": min,
    "mean": _mean,
    "last": lambda values: values[-1],
}


def compile_label(expression: Expression) -> Label:
    """How the label is computed; binary ones are 0 or 1. NaN counts as not measured."""
    aggregate = _AGGREGATES.get(expression.aggregate or "")
    minus_own, compare = expression.minus_own, _comparing(expression.comparison)

    def label(own: float, values: Sequence[float]) -> float | None:
        value = own
        if aggregate is not None:
            known = [v for v in values if v == v]  # noqa: PLR0124 - NaN alone differs from itself
            if not known:
                return None
            value = aggregate(known) - own if minus_own else aggregate(known)
        return compare(value) if math.isfinite(value) else None

    return label


def _comparing(comparison: Comparison | None) -> Callable[[float], float]:
    if comparison is None:
        return float
    is_so, threshold = _OPERATORS[comparison.operator], comparison.threshold
    return lambda value: float(is_so(value, threshold))
