"""What the columns of a CSV file may be for: the choices behind `flyball new spec`. Pure."""

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from flyball_local.csvdialect import pick_column, to_number
from flyball_local.csvfindings import (
    Movement,
    Season,
    Suspect,
    correlation,
    movement,
    season,
    suspects,
)
from flyball_local.csvprofile import MAX_DISTINCT, Column, CsvError, Profile
from flyball_proto.spec import ExpressionError, format_duration, parse_duration_ms, parse_expression
from flyball_proto.spec.crosscheck import MAX_HORIZON_ROWS
from flyball_proto.spec.names import METRIC_MAX_CHARS, nearest
from flyball_proto.spec.source import MAX_LABELS

MAX_METRICS: Final = 200
"""Beside the target; of more, those that go along with it most."""
MAX_LABEL_VALUES: Final = 50
MAX_LABEL_CHARS: Final = 64
MAX_INTERVAL_MS: Final = 366 * 86_400_000
CHANGE_RATIO: Final = 0.5
"""A target that moves less than this beside its usual distance from its mean: learn its change."""
SAME: Final = 0.99999

Task = Literal["regression", "binary", "multiclass"]


@dataclass(frozen=True, slots=True)
class Goal:
    """What the target column asks for. Feedback goals have no expression."""

    task: Task
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
    target, wanted = _target(found, target)
    column = found.columns[target]
    horizon_ms = _horizon_ms(found, horizon)
    labels, left_out = _labels(found, target)
    metrics = _metrics(found, target, left_out)
    metric = next((m for m, c in metrics.items() if c == target), target)
    goal, moves = _goal(found, column, metric, horizon_ms, wanted)
    truth = _truth(column, goal, wanted)
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


def _target(found: Profile, target: str) -> tuple[str, str | None]:
    """The column, and the value of it that is asked for."""
    taken = [n for n in (found.time, found.element) if n]
    names = [*taken, *found.columns]
    wanted = None
    if target not in names:
        alike = [n for n in names if n.casefold() == target.strip().casefold()]
        stem, separator, value = target.rpartition("=")
        if len(alike) == 1:
            target = alike[0]
        elif separator and stem in found.columns:
            target, wanted = stem, value
    pick_column(found.path, names, target, "target")
    if target in taken:
        what = "time" if target == found.time else "element"
        raise CsvError(
            f"{found.path}: found {target!r} as the time or element column; valid: another column; "
            f"choose what to predict, or say with --{what} which column that is"
        )
    if wanted is not None and wanted not in found.columns[target].distinct:
        texts = found.columns[target].distinct
        close = nearest(wanted, texts)
        step = f"did you mean {target}={close[0]}?" if close else "choose one of them"
        some = ", ".join(map(repr, texts[:10])) or "none"
        raise CsvError(f"{found.path}: found no {wanted!r} in {target!r}; valid: {some}; {step}")
    return target, wanted


def _horizon_ms(found: Profile, horizon: str | None) -> int | None:
    if horizon is None:
        return None
    try:
        ms = parse_duration_ms(horizon)
    except ValueError as error:
        raise CsvError(f"horizon: found {horizon!r}; valid: {error}") from error
    usual, span_ms = format_duration(found.interval_ms), found.last_ms - found.first_ms
    where = f"the interval in {found.path}"
    if ms < found.interval_ms:
        raise CsvError(f"horizon: found {horizon}; valid: at least {usual}, {where}")
    if found.complete and ms > span_ms / 2:
        whole = format_duration(round(span_ms / 1_000) * 1_000)
        raise CsvError(
            f"horizon: found {horizon}, and {found.path} spans {whole}: hardly a row would ever "
            f"get its truth; valid: {usual} to half of that; choose a tenth or less"
        )
    if ms > min(MAX_INTERVAL_MS, MAX_HORIZON_ROWS * found.interval_ms):
        raise CsvError(
            f"horizon: found {horizon}; valid: at most a year and {MAX_HORIZON_ROWS} times "
            f"{usual}, {where}"
        )
    return ms


def _goal(
    found: Profile, column: Column, metric: str, horizon_ms: int | None, wanted: str | None
) -> tuple[Goal, Movement | None]:
    ahead, texts = horizon_ms or found.interval_ms, column.distinct
    if len(texts) < 2:
        what = "no value" if not texts else f"only the value {texts[0]!r}"
        raise CsvError(
            f"{found.path}: found {what} in {column.name!r}; valid: a column that varies"
        )
    if wanted is not None:
        return _one_of(column, wanted, ahead), None
    if not column.is_numeric:
        return _text_goal(found, column, ahead), None
    quoted = _quoted_metric(metric)
    few = _few_numbers(column, quoted, ahead, horizon_ms)
    if few is not None:
        return few, None
    moves = movement(found, found.aligned(column.name), max(1, round(ahead / found.interval_ms)))
    if moves is not None and moves.change < CHANGE_RATIO * moves.spread:
        expression = f"last({quoted}) - {quoted}"
        return Goal("regression", ahead, expression, why="its change: it moves slowly"), moves
    return Goal("regression", ahead, f"last({quoted})", why="found many different numbers"), moves


def _few_numbers(column: Column, quoted: str, ahead: int, horizon_ms: int | None) -> Goal | None:
    """What a column of few different numbers asks for; None = it is a measure."""
    values = set(np.unique(column.numbers).tolist()) if not column.many else set()
    if values == {0.0, 1.0} and horizon_ms is not None:
        return Goal("binary", ahead, f"max({quoted}) > 0.5", why="found only 0 and 1")
    if values == {0.0, 1.0}:
        why = "found only 0 and 1: taken as truth, never as a feature"
        return Goal("binary", ahead, why=why)
    if 3 <= len(values) <= 10 and values == set(map(float, range(len(values)))):
        classes = tuple(str(i) for i in range(len(values)))
        why = f"found 0..{len(values) - 1} only"
        return Goal("multiclass", ahead, classes=classes, why=why)
    return None


def _one_of(column: Column, wanted: str, ahead: int) -> Goal:
    if column.many:
        raise CsvError(
            f"found more than {MAX_DISTINCT} values in {column.name!r}; valid: one of at most "
            f"{MAX_DISTINCT}, which the specification lists; choose another column"
        )
    number = to_number(wanted) if column.is_numeric else None
    codes = {
        text: int(text == wanted or (number is not None and to_number(text) == number))
        for text in column.distinct
    }
    return Goal("binary", ahead, codes=codes, why=f"whether it says {wanted!r}")


def _text_goal(found: Profile, column: Column, ahead: int) -> Goal:
    if column.many:
        why = f"{found.path}: found more than {MAX_DISTINCT} texts in {column.name!r}"
        raise CsvError(f"{why}; valid: a numeric column, or 2 to {MAX_DISTINCT} classes")
    if long := next((t for t in column.distinct if len(t) > MAX_LABEL_CHARS), None):
        why = f"{found.path}: found a class of {len(long)} characters in {column.name!r}"
        raise CsvError(f"{why}; valid: at most {MAX_LABEL_CHARS}; choose another column")
    texts = tuple(sorted(column.distinct))
    if len(texts) == 2:
        counts = dict(zip(column.distinct, column.counts, strict=True))
        rare = texts[1] if counts[texts[1]] <= counts[texts[0]] else texts[0]
        codes = {text: int(text == rare) for text in texts}
        return Goal("binary", ahead, codes=codes, why=f"1 = {rare!r}, the rarer")
    codes = {text: i for i, text in enumerate(texts)}
    return Goal("multiclass", ahead, classes=texts, codes=codes, why="found texts")


def _truth(column: Column, goal: Goal, wanted: str | None) -> NDArray[np.float64]:
    """The target as numbers, one a row; NaN = missing."""
    if column.is_numeric and wanted is None:
        return column.values
    if column.is_numeric and wanted is not None:
        number = to_number(wanted)
        known = np.isfinite(column.values)
        return np.where(known, (column.values == number).astype(np.float64), np.nan)
    coded = np.array([*(goal.codes.get(t, 0) for t in column.distinct), np.nan], np.float64)
    return coded[column.codes]


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


def _quoted_metric(metric: str) -> str:
    try:
        return metric if parse_expression(f"last({metric})").metric == metric else f'"{metric}"'
    except ExpressionError:
        return f'"{metric}"'
