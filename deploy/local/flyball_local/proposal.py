"""What the columns of a CSV file may be for: the choices behind `flyball new spec`. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Literal

import numpy as np

from flyball_local.csvprofile import MAX_DISTINCT, Column, CsvError, Profile, pick_column
from flyball_proto.spec import ExpressionError, format_duration, parse_duration_ms, parse_expression
from flyball_proto.spec.names import METRIC_MAX_CHARS
from flyball_proto.spec.source import MAX_LABELS

MAX_METRICS: Final = 500
MAX_LABEL_VALUES: Final = 50
MAX_LABEL_CHARS: Final = 64


@dataclass(frozen=True, slots=True)
class Goal:
    """What the target column asks for. Feedback goals have no expression."""

    task: Literal["regression", "binary", "multiclass"]
    horizon_ms: int
    expression: str | None = None
    classes: tuple[str, ...] = ()
    codes: Mapping[str, int] = field(default_factory=dict)
    why: str = ""


@dataclass(frozen=True, slots=True)
class Proposal:
    """Columns sorted by what they are for; names as they may stand in a specification."""

    source: str
    pipeline: str
    profile: Profile
    target: str
    goal: Goal
    metrics: Mapping[str, str]
    """Metric to column."""
    labels: Mapping[str, str]
    """Label to column."""
    left_out: Mapping[str, str]
    """Column to the reason."""

    @property
    def target_metric(self) -> str | None:
        """The metric that the target is read from; None when it is published as truth."""
        return next((m for m, column in self.metrics.items() if column == self.target), None)


def decide(
    found: Profile, target: str, *, horizon: str | None = None, name: str | None = None
) -> Proposal:
    """Sort the columns by what they may be for, and choose the task from the target's values.

    Raises:
        CsvError: The file does not say enough; names what was found and the next step.
    """
    taken = [found.time, *([found.element] if found.element else [])]
    pick_column(found.path, [*taken, *found.columns], target, "target")
    if target not in found.columns:
        why = f"{found.path}: found {target!r} as the time or element column"
        raise CsvError(f"{why}; valid: another column; choose what to predict")
    source = _object_name(name or found.path.name.split(".")[0])
    labels, left_out = _labels(found, target)
    metrics = _metrics(found)
    metric = next((m for m, column in metrics.items() if column == target), target)
    goal = _goal(found, found.columns[target], metric, _horizon_ms(found.path, found, horizon))
    if goal.expression is None:
        metrics = {m: column for m, column in metrics.items() if column != target}
    for surplus in [m for m, column in metrics.items() if column != target][MAX_METRICS:]:
        left_out[metrics.pop(surplus)] = f"more than {MAX_METRICS} numeric columns"
    if goal.task != "regression" and not set(metrics) - {metric}:
        why = f"{found.path}: found no numeric column beside {target!r}"
        raise CsvError(f"{why}; valid: at least one; add columns that may predict it")
    pipeline = _object_name(f"{source}-{target}")
    return Proposal(source, pipeline, found, target, goal, metrics, labels, left_out)


def _horizon_ms(path: Path, found: Profile, horizon: str | None) -> int | None:
    if horizon is None:
        return None
    try:
        ms = parse_duration_ms(horizon)
    except ValueError as error:
        raise CsvError(f"horizon: found {horizon!r}; valid: {error}") from error
    if ms < found.interval_ms:
        usual = format_duration(found.interval_ms)
        raise CsvError(f"horizon: found {horizon}; valid: at least {usual}, the interval in {path}")
    return ms


def _goal(found: Profile, column: Column, metric: str, horizon_ms: int | None) -> Goal:
    ahead, texts = horizon_ms or found.interval_ms, column.distinct
    if len(texts) < 2:
        what = "no value" if not texts else f"only the value {texts[0]!r}"
        raise CsvError(
            f"{found.path}: found {what} in {column.name!r}; valid: a column that varies"
        )
    if not column.is_numeric:
        return _text_goal(found, column, ahead)
    values = set(np.unique(column.numbers[:1_000_000])) if not column.many else set()
    quoted = _quoted_metric(metric)
    if values == {0.0, 1.0} and horizon_ms is not None:
        return Goal("binary", ahead, f"max({quoted}) > 0.5", why="found only 0 and 1")
    if values == {0.0, 1.0}:
        return Goal("binary", ahead, why="found only 0 and 1: taken as truth, never as a feature")
    if 3 <= len(values) <= 10 and values == set(map(float, range(len(values)))):
        classes = tuple(str(i) for i in range(len(values)))
        return Goal("multiclass", ahead, classes=classes, why=f"found 0..{len(values) - 1} only")
    return Goal("regression", ahead, f"last({quoted})", why="found many different numbers")


def _text_goal(found: Profile, column: Column, ahead: int) -> Goal:
    if column.many:
        why = f"{found.path}: found more than {MAX_DISTINCT} texts in {column.name!r}"
        raise CsvError(f"{why}; valid: a numeric column, or 2 to {MAX_DISTINCT} classes")
    codes = {text: i for i, text in enumerate(column.distinct)}
    if len(codes) == 2:
        return Goal("binary", ahead, codes=codes, why=f"1 = {column.distinct[1]!r}")
    return Goal("multiclass", ahead, classes=column.distinct, codes=codes, why="found texts")


def _metrics(found: Profile) -> dict[str, str]:
    metrics: dict[str, str] = {}
    for column in found.columns.values():
        if column.is_numeric:
            metrics[_free(_metric_name(column.name), metrics)] = column.name
    return metrics


def _labels(found: Profile, target: str) -> tuple[dict[str, str], dict[str, str]]:
    labels: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for name, column in found.columns.items():
        if column.is_numeric or name == target:
            continue
        if len(column.distinct) < 2:
            left_out[name] = "empty" if not column.distinct else "the same everywhere"
        elif column.many or len(column.distinct) > MAX_LABEL_VALUES:
            left_out[name] = f"text with more than {MAX_LABEL_VALUES} values"
        elif max(map(len, column.distinct)) > MAX_LABEL_CHARS:
            left_out[name] = f"text longer than {MAX_LABEL_CHARS} characters"
        elif len(labels) == MAX_LABELS:
            left_out[name] = f"more than {MAX_LABELS} labels"
        else:
            labels[_free(_label_name(name), labels)] = name
    return labels, left_out


def _object_name(text: str) -> str:
    name = re.sub(r"[^a-z0-9]+", "-", text.lower()).strip("-")[:63].rstrip("-")
    return name or "source"


def _metric_name(column: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_.\-]+", "_", column)
    return (name if re.match(r"[A-Za-z_]", name) else f"_{name}")[: METRIC_MAX_CHARS - 4]


def _label_name(column: str) -> str:
    name = re.sub(r"[^A-Za-z0-9_]+", "_", column)
    return (name if re.match(r"[A-Za-z_]", name) else f"_{name}")[:60]


def _free(name: str, taken: Mapping[str, str]) -> str:
    return next(
        n for n in (name, *(f"{name}_{i}" for i in range(2, len(taken) + 3))) if n not in taken
    )


def _quoted_metric(metric: str) -> str:
    try:
        return metric if parse_expression(f"last({metric})").metric == metric else f'"{metric}"'
    except ExpressionError:
        return f'"{metric}"'
