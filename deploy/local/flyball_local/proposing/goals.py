"""What a target column asks for: a task, its horizon, and where the truth stands. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from flyball_local.csvfile.csvdialect import CsvError, pick_column, to_number
from flyball_local.csvfile.csvfindings import Movement, movement
from flyball_local.csvfile.csvprofile import MAX_DISTINCT, Column, Profile
from flyball_proto.spec import ExpressionError, format_duration, parse_duration_ms, parse_expression
from flyball_proto.spec.crosscheck import MAX_HORIZON_ROWS
from flyball_proto.spec.names import nearest

MAX_CLASS_CHARS: Final = 64
MAX_INTERVAL_MS: Final = 366 * 86_400_000
CHANGE_RATIO: Final = 0.5
"""A target that moves less than this beside its usual distance from its mean: learn its change."""

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


def target_of(found: Profile, target: str) -> tuple[str, str | None]:
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


def horizon_of(found: Profile, horizon: str | None) -> int | None:
    """The horizon that was asked for, in milliseconds; None = none was.

    Raises:
        CsvError: It is no duration, or the file's rows cannot give truth that far ahead.
    """
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


def goal_of(
    found: Profile, column: Column, metric: str, horizon_ms: int | None, wanted: str | None
) -> tuple[Goal, Movement | None]:
    """The task that the target's values ask for, and how far a measure moves within the horizon.

    Raises:
        CsvError: The column does not vary, or has too many texts to be classes.
    """
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
    if long := next((t for t in column.distinct if len(t) > MAX_CLASS_CHARS), None):
        why = f"{found.path}: found a class of {len(long)} characters in {column.name!r}"
        raise CsvError(f"{why}; valid: at most {MAX_CLASS_CHARS}; choose another column")
    texts = tuple(sorted(column.distinct))
    if len(texts) == 2:
        counts = dict(zip(column.distinct, column.counts, strict=True))
        rare = texts[1] if counts[texts[1]] <= counts[texts[0]] else texts[0]
        codes = {text: int(text == rare) for text in texts}
        return Goal("binary", ahead, codes=codes, why=f"1 = {rare!r}, the rarer")
    codes = {text: i for i, text in enumerate(texts)}
    return Goal("multiclass", ahead, classes=texts, codes=codes, why="found texts")


def truth_of(column: Column, goal: Goal, wanted: str | None) -> NDArray[np.float64]:
    """The target as numbers, one a row; NaN = missing."""
    if column.is_numeric and wanted is None:
        return column.values
    if column.is_numeric and wanted is not None:
        number = to_number(wanted)
        known = np.isfinite(column.values)
        return np.where(known, (column.values == number).astype(np.float64), np.nan)
    coded = np.array([*(goal.codes.get(t, 0) for t in column.distinct), np.nan], np.float64)
    return coded[column.codes]


def _quoted_metric(metric: str) -> str:
    try:
        return metric if parse_expression(f"last({metric})").metric == metric else f'"{metric}"'
    except ExpressionError:
        return f'"{metric}"'
