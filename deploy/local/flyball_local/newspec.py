"""A first specification from data: `flyball new spec --csv FILE --target COLUMN`.

What a file can tell is filled in; what only a person knows is a comment that says `check`.
"""

import json
import math
from collections.abc import Iterator, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

import numpy as np

from flyball_local.csvprofile import Column, Profile, profile
from flyball_local.proposal import Proposal, decide
from flyball_local.specfile import load_text
from flyball_proto import subjects
from flyball_proto.spec import format_duration, parse_duration_ms

DAY_MS: Final = 86_400_000
_YAML_WORDS: Final = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


def propose(
    csv_path: Path,
    target: str,
    *,
    time: str | None = None,
    element: str | None = None,
    horizon: str | None = None,
    name: str | None = None,
) -> str:
    """A commented specification, as YAML that validates.

    Args:
        csv_path: CSV or gzipped CSV with a header.
        target: Column to predict.
        time: Column of the event time; found when None.
        element: Column of the element's name; found when None.
        horizon: How far ahead, e.g. `1h`; one usual interval when None.
        name: Name of the source; made from the file's when None.

    Raises:
        CsvError: The file does not say enough; names what was found and the next step.
    """
    found = profile(csv_path, time=time, element=element)
    proposal = decide(found, target, horizon=horizon, name=name)
    text = "\n".join([*_source_lines(proposal), "---", *_pipeline_lines(proposal)]) + "\n"
    load_text(text, "proposal")
    return text


def _source_lines(p: Proposal) -> Iterator[str]:
    found = p.profile
    more = "" if found.complete else " (its beginning; the file is longer)"
    counts = f"{found.rows} rows of {len(found.elements)} element(s){more}"
    yield f"# From {_quoted(found.path.name)}: {counts},"
    yield f"# {_iso(found.first_ms)} to {_iso(found.last_ms)}. Go through every `check` below."
    yield from ("apiVersion: flyball/v1", "kind: Source", f"metadata: {{name: {_plain(p.source)}}}")
    yield from ("spec:", "  element: element                # check: what is one, e.g. cell")
    yield f"  interval: {format_duration(found.interval_ms):<22}# median gap between rows of one"
    if found.repeated:
        yield f"  # {found.repeated} rows repeat the time of another row of their element: doubles."
    if bad := [e for e in found.elements if found.element and not subjects.is_element(e)]:
        yield f"  # check: {len(bad)} element names that NATS cannot carry, e.g. {_quoted(bad[0])}"
    if found.last_ms - found.first_ms >= 2 * DAY_MS:
        yield "  season: 24h                     # check: does the day repeat itself?"
    else:
        yield "  season: 0s                      # less than two days of data; check: 24h when live"
    yield "  metrics:                        # check units, and ranges: found values, widened"
    for metric, name in p.metrics.items():
        yield _metric_line(metric, found.columns[name], required=metric == p.target_metric)
    if p.labels:
        yield f"  labels: [{', '.join(map(_plain, p.labels))}]"
    for name, reason in p.left_out.items():
        yield f"  # left out: column {_quoted(name)}, {reason}"
    yield from _csv_lines(p)


def _metric_line(metric: str, column: Column, *, required: bool) -> str:
    low, high = _range(column)
    extra = ", required: true" if required and not column.missing else ""
    missing = f", {column.missing} missing" if column.missing else ""
    seen = f"{column.numbers.min():.6g} .. {column.numbers.max():.6g}{missing}"
    if set(column.distinct) <= {"0", "1"}:
        seen += "; check: a label? then remove it here and below"
    bounds = f"[{_number(low)}, {_number(high)}]"
    return f'    - {{name: {_plain(metric)}, unit: "1", range: {bounds}{extra}}}  # found {seen}'


def _csv_lines(p: Proposal) -> Iterator[str]:
    found = p.profile
    yield "  csv:                            # how `flyball replay` reads the file"
    yield f"    time: {_quoted(found.time)}"
    yield f"    time_format: {found.time_format}"
    if found.element is None:
        yield f"    one_element: {_plain(p.source)}        # no column names the element"
    else:
        yield f"    element: {_quoted(found.element)}"
    for block, names in (("columns", p.metrics), ("labels", p.labels)):
        renamed = {name: column for name, column in names.items() if name != column}
        if renamed:
            yield f"    {block}:"
            yield from (f"      {_plain(n)}: {_quoted(column)}" for n, column in renamed.items())
    if p.goal.expression is None:
        codes = ", ".join(f"{_quoted(text)}: {code}" for text, code in p.goal.codes.items())
        yield f"    truth: {{column: {_quoted(p.target)}, codes: {{{codes}}}}}"


def _pipeline_lines(p: Proposal) -> Iterator[str]:
    goal, metric = p.goal, p.target_metric
    small, large = _windows(p.profile)
    yield from (
        "apiVersion: flyball/v1",
        "kind: Pipeline",
        f"metadata: {{name: {_plain(p.pipeline)}}}",
    )
    yield from ("spec:", f"  source: {_plain(p.source)}", "  features:")
    own = metric if goal.task == "regression" else None
    others = [m for m in p.metrics if m != metric]
    if own:
        yield f"    - {{metric: {_plain(own)}, windows: [{small}, {large}]}}"
    if others:
        kinds = "[last, mean, slope]" if len(others) <= 100 else "[last, mean]"
        yield "    # check: nothing here may be known only after the target"
        yield from _wrapped("    - metrics: [", [_plain(m) for m in others], "]")
        yield from (f"      windows: [{small}]", f"      aggregates: {kinds}")
    look_back = format_duration(4 * large * p.profile.interval_ms)
    yield f"  look_back: {look_back:<21}# older rows of an element do not count"
    yield from _target_lines(p)
    yield from _trainer_lines(p)
    yield "  # Nothing is proposed to an element until you add decisions, for example:"
    threshold = "<value>" if goal.task == "regression" else "0.85"
    label = f"label: {_quoted(goal.classes[-1])}, " if goal.classes else ""
    yield "  # decisions:"
    yield f"  #   - {{action: offload, {label}score_at_least: {threshold}, severity: medium}}"


def _target_lines(p: Proposal) -> Iterator[str]:
    goal = p.goal
    yield f"  target:                         # {goal.why}"
    yield f"    task: {goal.task}"
    if goal.expression is None:
        yield "    kind: feedback                # truth is published on labels.<pipeline>.<element>"
        yield f"    horizon: {format_duration(goal.horizon_ms):<21}# check: how late truth may come"
    else:
        yield f"    expression: '{goal.expression}'"
        yield f"    horizon: {format_duration(goal.horizon_ms):<21}# check: how far ahead"
    if goal.classes:
        yield f"    classes: [{', '.join(map(_quoted, goal.classes))}]"


def _trainer_lines(p: Proposal) -> Iterator[str]:
    found = p.profile
    span = max(found.last_ms - found.first_ms, 8 * found.interval_ms)
    linear = "ridge" if p.goal.task == "regression" else "logistic"
    least_ms = 10 * p.goal.horizon_ms  # a shorter window is refused
    recent = _window(span // 4, least_ms)
    every = _nice(max(span // 40, found.interval_ms))
    yield "  trainers:                       # the built-in baseline is always there"
    for name, kind, window in (
        ("recent", "lightgbm", recent),
        ("long", "lightgbm", _window(span, least_ms)),
        ("linear", linear, recent),
    ):
        yield (
            f"    - {{name: {name}, kind: {kind}, window: {window}, "
            f"max_rows: {20_000 if window == recent else 200_000}, retrain_every: {every}}}"
        )


def _windows(found: Profile) -> tuple[int, int]:
    """A small and a large window that elements of this file fill several times."""
    rows = found.rows / max(1, len(found.elements))
    large = next((w for w in (32, 16, 8) if rows >= 10 * w), 4)
    return large // 4 if large > 4 else 2, large


def _range(column: Column) -> tuple[float, float]:
    """Bounds that hold every value found and leave room beyond the usual ones."""
    values = column.numbers
    low, high = float(values.min()), float(values.max())
    if low >= 0 and high <= 1:
        return 0.0, 1.0
    usual_low, usual_high = np.quantile(values, (0.001, 0.999))
    room = max(float(usual_high - usual_low) / 2, abs(high) / 2, abs(low) / 2)
    step = 10.0 ** (math.floor(math.log10(room)) - 1)
    lowest = math.floor(min(low, usual_low - room) / step) * step
    highest = math.ceil(max(high, usual_high + room) / step) * step
    return (0.0 if low >= 0 else min(lowest, low)), max(highest, high)


def _number(value: float) -> str:
    rounded = float(f"{value:.12g}")
    return str(int(rounded)) if rounded.is_integer() and abs(rounded) < 1e15 else repr(rounded)


def _window(ms: int, least_ms: int) -> str:
    """A round duration that is no less than `least_ms`."""
    text = _nice(max(ms, least_ms))
    return text if parse_duration_ms(text) >= least_ms else format_duration(least_ms)


def _nice(ms: int) -> str:
    for unit_ms in (DAY_MS, 3_600_000, 60_000, 1_000):
        if ms >= 2 * unit_ms:
            return format_duration(round(ms / unit_ms) * unit_ms)
    return format_duration(max(1, ms))


def _wrapped(head: str, words: Sequence[str], tail: str) -> Iterator[str]:
    line = head
    for i, word in enumerate(words):
        piece = word + (tail if i == len(words) - 1 else ", ")
        if len(line) + len(piece) > 99:
            yield line.rstrip()
            line = " " * len(head)
        line += piece
    yield line


def _plain(name: str) -> str:
    """`name` as YAML reads it back: in quotes where it would be a number or a truth value."""
    safe = name[:1].isalpha() and name.lower() not in _YAML_WORDS
    return name if safe else _quoted(name)


def _quoted(text: str) -> str:
    """`text` in double quotes, as YAML reads it back."""
    shown = json.dumps(text, ensure_ascii=False)
    return "".join(c if c.isprintable() else f"\\U{ord(c):08X}" for c in shown)


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat().replace("+00:00", "Z")
