"""What the columns of a CSV file may be for: the choices behind `flyball new spec`. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from flyball_local.csvfile.csvfindings import (
    Movement,
    Season,
    Suspect,
    correlation,
    season,
    suspects,
)
from flyball_local.csvfile.csvprofile import Column, CsvError, Profile
from flyball_local.proposing.goals import (
    MAX_INTERVAL_MS,
    Goal,
    goal_of,
    horizon_of,
    target_of,
    truth_of,
)
from flyball_proto.spec import format_duration
from flyball_proto.spec.names import METRIC_MAX_CHARS
from flyball_proto.spec.source import MAX_LABELS

MAX_METRICS: Final = 200
"""Beside the target; of more, those that go along with it most."""
MAX_LABEL_VALUES: Final = 50
MAX_LABEL_CHARS: Final = 64
CHANGE_RATIO: Final = 0.5
"""A target that moves less than this beside its usual distance from its mean: learn its change."""
SAME: Final = 0.99999

Task = Literal["regression", "binary", "multiclass"]


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
    coded: Mapping[str, tuple[str, ...]] = field(default_factory=dict)
    """Metric to the texts of its column, in the order of the numbers that stand for them."""
    season: Season | None = None
    movement: Movement | None = None
    suspects: tuple[Suspect, ...] = ()

    @property
    def target_metric(self) -> str | None:
        """The metric that the target is read from; None when it is published as truth."""
        if self.goal.expression is None:
            return None
        return next((m for m, column in self.metrics.items() if column == self.target), None)


def decide(
    found: Profile, target: str, *, horizon: str | None = None, name: str | None = None
) -> Proposal:
    """Sort the columns by what they may be for, and choose the task from the target's values.

    `target` is a column, or `COLUMN=VALUE`: whether the column says that.

    Raises:
        CsvError: The file does not say enough; names what was found and the next step.
    """
    _check_interval(found)
    target, wanted = target_of(found, target)
    column = found.columns[target]
    horizon_ms = horizon_of(found, horizon)
    labels, left_out = _labels(found, target)
    metrics = _metrics(found, target, left_out)
    metric = next((m for m, c in metrics.items() if c == target), target)
    goal, moves = goal_of(found, column, metric, horizon_ms, wanted)
    truth = truth_of(column, goal, wanted)
    if goal.expression is None:
        metrics = {m: c for m, c in metrics.items() if c != target}
    metrics = _bounded(found, target, truth, metrics, left_out)
    coded = {} if metrics else _coded(found, target)
    if not metrics and not coded:
        why = f"{found.path}: found no column beside {target!r} that numbers could come from"
        raise CsvError(f"{why}; valid: at least one; add columns that may predict it")
    source = _object_name(name or found.path.name.split(".")[0])
    said = f"{target}-{wanted}" if wanted is not None else target
    return Proposal(
        source,
        _object_name(f"{source}-{said}"),
        found,
        target,
        goal,
        metrics or {m: name for m, (name, _) in coded.items()},
        labels,
        left_out,
        {m: texts for m, (_, texts) in coded.items()},
        season(found, truth[: found.places.structured]),
        moves,
        tuple(suspects(found, target, truth, list(metrics.values()))),
    )


def _check_interval(found: Profile) -> None:
    if found.interval_ms > MAX_INTERVAL_MS:
        usual = format_duration(found.interval_ms)
        raise CsvError(
            f"{found.path}: found rows of one element {usual} apart; valid: at most a year; name "
            "another column of the event time with --time"
        )


def _metrics(found: Profile, target: str, left_out: dict[str, str]) -> dict[str, str]:
    metrics: dict[str, str] = {}
    for column in found.columns.values():
        if not column.is_numeric:
            continue
        if column.name != target and (reason := _useless(column, complete=found.complete)):
            left_out[column.name] = reason
        else:
            metrics[_free(_metric_name(column.name), metrics)] = column.name
    return metrics


def _useless(column: Column, *, complete: bool) -> str | None:
    """Why a column of numbers says nothing."""
    if len(column.distinct) == 1:
        more = "" if complete else " in what was read"
        return f"{column.distinct[0][:40]} everywhere{more}"
    values = column.numbers
    whole = len(values) >= 20 and column.missing == 0 and float(values[0]).is_integer()
    if whole and bool((np.diff(values) == 1).all()):
        return "it counts the rows"
    named = re.search(r"(?i)(^|[^a-z])(uu)?id$|^index$|^column_1$", column.name)
    if named and column.many and len(np.unique(values)) > 0.9 * len(values):
        return "an id: another value in nearly every row"
    return None


def _bounded(
    found: Profile,
    target: str,
    truth: NDArray[np.float64],
    metrics: dict[str, str],
    left_out: dict[str, str],
) -> dict[str, str]:
    """Without twins of a truth that is published, and at most `MAX_METRICS` beside the target."""
    strength: dict[str, float] = {}
    for metric, name in metrics.items():
        if name != target:
            values = found.columns[name].values
            both = np.isfinite(values) & np.isfinite(truth)
            alike = correlation(values[both], truth[both]) if both.sum() > 1 else None
            strength[metric] = abs(alike or 0.0)
    own = any(name == target for name in metrics.values())
    for metric in [m for m, s in strength.items() if s >= SAME and not own]:
        left_out[metrics[metric]] = f"it says the same as {target!r}, which is the truth"
        del strength[metric]
    ranked = sorted(strength, key=lambda m: -strength[m])
    for metric in ranked[MAX_METRICS:]:
        left_out[metrics[metric]] = f"{MAX_METRICS} other columns go along with the target more"
    kept = set(ranked[:MAX_METRICS])
    return {m: name for m, name in metrics.items() if m in kept or name == target}


def _coded(found: Profile, target: str) -> dict[str, tuple[str, tuple[str, ...]]]:
    """Columns of few texts as metrics: column and texts; for files that hold no numbers."""
    coded: dict[str, tuple[str, tuple[str, ...]]] = {}
    for name, column in found.columns.items():
        if name != target and not column.is_numeric and not column.many and column.distinct:
            coded[_free(_metric_name(name), coded)] = name, tuple(sorted(column.distinct))
    return coded


def _labels(found: Profile, target: str) -> tuple[dict[str, str], dict[str, str]]:
    labels: dict[str, str] = {}
    left_out: dict[str, str] = {}
    for name, column in found.columns.items():
        if column.is_numeric or name == target:
            continue
        if len(column.distinct) < 2:
            left_out[name] = "empty" if not column.distinct else "the same text everywhere"
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


def _free(name: str, taken: Mapping[str, object]) -> str:
    return next(
        n for n in (name, *(f"{name}_{i}" for i in range(2, len(taken) + 3))) if n not in taken
    )
