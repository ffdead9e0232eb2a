"""A first specification from data: `flyball new spec --csv FILE --target COLUMN`.

What a file can tell is filled in; what only a person knows stands in a list on top.
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from textwrap import wrap
from typing import Final

from flyball_local.csvfile.csvdialect import Dialect
from flyball_local.csvfile.csvprofile import Column, profile
from flyball_local.invalid import InvalidInputError
from flyball_local.proposing.checks import checks, quoted
from flyball_local.proposing.proposal import Proposal, decide
from flyball_local.proposing.specnumbers import (
    Cadence,
    bounds,
    cadence,
    lateness_ms,
    sorted_by_time,
)
from flyball_local.specfile import load_text
from flyball_proto.spec import format_duration
from flyball_proto.spec.source import MISSING

MANY_METRICS: Final = 50
_YAML_WORDS: Final = {"null", "true", "false", "yes", "no", "on", "off", "y", "n"}


@dataclass(frozen=True, slots=True)
class Proposed:
    """A specification as YAML that validates, and what a person should check."""

    text: str
    pipeline: str
    summary: str
    checks: tuple[str, ...]


def propose(
    csv_path: Path,
    target: str,
    *,
    time: str | None = None,
    element: str | None = None,
    horizon: str | None = None,
    name: str | None = None,
) -> Proposed:
    """A commented specification, as YAML that validates.

    Args:
        csv_path: CSV or gzipped CSV with a header.
        target: Column to predict, or `COLUMN=VALUE`: whether it says that.
        time: Column of the event time; found when None.
        element: Column of the element's name; found when None.
        horizon: How far ahead, e.g. `1h`; one usual interval when None.
        name: Name of the source; made from the file's when None.

    Raises:
        CsvError: The file does not say enough; names what was found and the next step.
    """
    found = profile(
        csv_path, time=time, element=element, target=target.rpartition("=")[0] or target
    )
    proposal = decide(found, target, horizon=horizon, name=name)
    figures = cadence(proposal)
    told = tuple(checks(proposal, figures))
    lines = [
        *_head_lines(proposal, told),
        *_source_lines(proposal),
        "---",
        *_pipeline_lines(proposal, figures),
    ]
    text = "\n".join(lines) + "\n"
    load_text(text, "proposal")
    return Proposed(text, proposal.pipeline, _summary(proposal), told)


def write(proposed: Proposed, path: Path) -> None:
    """Write the specification to a file that does not exist, or says the same already.

    Raises:
        InvalidInputError: Another specification stands there.
    """
    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(proposed.text)
    except FileExistsError as error:
        if _says(path, proposed):
            return
        raise InvalidInputError(
            f"{path}: found a file that says something else; valid: a new file; choose another "
            "name with --out, or remove it"
        ) from error
    except OSError as error:
        raise InvalidInputError(
            f"{path}: found no place to write ({error.strerror}); valid: a file in a folder that "
            "exists; choose another with --out"
        ) from error


def free_path(proposed: Proposed, folder: Path) -> Path:
    """`<pipeline>.yaml`, or the first of `-2`, `-3`, ... that is free or says the same already."""
    path, count = folder / f"{proposed.pipeline}.yaml", 2
    while path.exists() and not _says(path, proposed):
        path, count = folder / f"{proposed.pipeline}-{count}.yaml", count + 1
    return path


def _says(path: Path, proposed: Proposed) -> bool:
    return path.is_file() and path.read_bytes() == proposed.text.encode()


def _summary(p: Proposal) -> str:
    found = p.profile
    more = "" if found.complete else " or more"
    span = f"{_iso(found.first_ms)} to {_iso(found.last_ms)}"
    count = len(found.elements)
    return f"{found.rows} rows{more} of {count} element{'s' * (count != 1)}, {span}"


def _head_lines(p: Proposal, told: Sequence[str]) -> Iterator[str]:
    yield f"# Proposed from {quoted(p.profile.path.name)}: {_summary(p)}."
    yield "# Check these; the rest follows from the file."
    for number, sentence in enumerate(told, start=1):
        for i, line in enumerate(wrap(sentence, 92, break_long_words=False)):
            yield f"# {number:2}. {line}" if not i else f"#     {line}"


def _source_lines(p: Proposal) -> Iterator[str]:
    found = p.profile
    season_ms = p.season.season_ms if p.season else 0
    yield from ("apiVersion: flyball/v1", "kind: Source", f"metadata: {{name: {_plain(p.source)}}}")
    yield "spec:"
    yield _line("element", _plain(_what(found.element)), "what one is, e.g. cell")
    yield _line("interval", format_duration(found.interval_ms), "median step of one element")
    yield _line("max_lateness", format_duration(lateness_ms(found)), "older rows get no decision")
    why = "as the data show" if p.season else "the data show none"
    yield _line("season", format_duration(season_ms), why)
    yield "  metrics:                        # ranges: what was found, widened"
    for metric, name in p.metrics.items():
        if metric in p.coded:
            yield f'    - {{name: {_plain(metric)}, unit: "1"}}  # numbers stand for texts'
            continue
        yield _metric_line(metric, found.columns[name], required=metric == p.target_metric)
    if p.labels:
        yield f"  labels: [{', '.join(map(_plain, p.labels))}]"
    yield from _csv_lines(p)


def _line(key: str, value: str, comment: str) -> str:
    start = f"  {key}: {value}"
    return f"{start:<33} # {comment}"


def _what(element: str | None) -> str:
    word = "".join(c for c in (element or "element") if c.isalnum() or c in " _-").strip()
    return word[:40] or "element"


def _metric_line(metric: str, column: Column, *, required: bool) -> str:
    limits = bounds(column)
    extra = ", required: true" if required and not column.missing else ""
    missing = f", {column.missing} missing" if column.missing else ""
    numbers = column.numbers
    seen = f"{numbers.min():.6g} .. {numbers.max():.6g}{missing}"
    said = "" if limits is None else f", range: [{_number(limits.low)}, {_number(limits.high)}]"
    return f'    - {{name: {_plain(metric)}, unit: "1"{said}{extra}}}  # found {seen}'


def _csv_lines(p: Proposal) -> Iterator[str]:
    found = p.profile
    yield "  csv:                            # how `flyball replay` reads the file"
    if found.time:
        yield f"    time: {quoted(found.time)}"
    yield f"    time_format: {quoted(found.time_format)}"
    if found.element is None:
        yield f"    one_element: {_plain(p.source)}"
    else:
        yield f"    element: {quoted(found.element)}"
    for key in ("separator", "decimal", "encoding"):
        if (value := getattr(found.dialect, key)) != getattr(Dialect(), key):
            yield f"    {key}: {quoted(value)}"
    if not found.dialect.header:
        yield "    header: false"
    if sorted_by_time(found):
        yield "    order: time"
    yield from _cell_lines(p)


def _cell_lines(p: Proposal) -> Iterator[str]:
    """How names and texts of the file are to be read."""
    found = p.profile
    odd = dict.fromkeys(t for n in p.metrics.values() for t in found.columns[n].odd)
    if odd:
        texts = [*MISSING, *odd][:32]
        yield f"    missing: [{', '.join(map(quoted, texts))}]"
    for block, names in (("columns", p.metrics), ("labels", p.labels)):
        renamed = {name: column for name, column in names.items() if name != column}
        if renamed:
            yield f"    {block}:"
            yield from (f"      {_plain(n)}: {quoted(column)}" for n, column in renamed.items())
    if p.coded:
        yield "    codes:"
        for metric, classes in p.coded.items():
            codes = _mapping({text: i for i, text in enumerate(classes)})
            yield f"      {_plain(metric)}: {codes}"
    if p.goal.expression is None:
        coded = f", codes: {_mapping(p.goal.codes)}" if p.goal.codes else ""
        yield f"    truth: {{column: {quoted(p.target)}{coded}}}"


def _mapping(codes: Mapping[str, int]) -> str:
    return "{" + ", ".join(f"{quoted(text)}: {code}" for text, code in codes.items()) + "}"


def _pipeline_lines(p: Proposal, figures: Cadence) -> Iterator[str]:
    yield from ("apiVersion: flyball/v1", "kind: Pipeline")
    yield f"metadata: {{name: {_plain(p.pipeline)}}}"
    yield from ("spec:", f"  source: {_plain(p.source)}")
    yield from _feature_lines(p, figures)
    yield _line("look_back", format_duration(figures.look_back_ms), "older rows do not count")
    yield _line("warm_up_rows", "1", "decide from the first row of an element on")
    yield from _target_lines(p)
    yield from _learning_lines(p, figures)
    yield "  # Nothing is proposed to an element until you add decisions, for example:"
    threshold = "<value>" if p.goal.task == "regression" else "0.85"
    label = f"label: {quoted(p.goal.classes[-1])}, " if p.goal.classes else ""
    yield "  # decisions:"
    yield f"  #   - {{action: offload, {label}score_at_least: {threshold}, severity: medium}}"


def _feature_lines(p: Proposal, figures: Cadence) -> Iterator[str]:
    own, small, large = p.target_metric, figures.small, figures.large
    others = [m for m in p.metrics if m != own]
    yield "  features:                       # nothing here may be known only after the target"
    if own:
        yield f"    - {{metric: {_plain(own)}, windows: [{_windows(small, large)}]}}"
    if others:
        kinds = "[last, mean]" if len(others) > MANY_METRICS else "[last, mean, slope]"
        yield from _wrapped("    - metrics: [", [_plain(m) for m in others], "]")
        yield from (f"      windows: [{small}]", f"      aggregates: {kinds}")
    if p.goal.expression is None and p.goal.task == "multiclass":
        yield "    - {truth: [1, 2]}             # which classes were true before"
    elif p.goal.expression is None:
        yield f"    - {{truth: [1, 2], truth_means: [{max(2, large)}]}}  # what was true before"


def _windows(small: int, large: int) -> str:
    return str(large) if small == large else f"{small}, {large}"


def _target_lines(p: Proposal) -> Iterator[str]:
    goal = p.goal
    yield "  target:"
    yield f"    task: {goal.task}"
    horizon = f"    horizon: {format_duration(goal.horizon_ms)}"
    if goal.expression is None:
        yield "    kind: feedback                # truth is published on labels.<pipeline>.<element>"
        yield f"{horizon:<33} # how late truth may come"
    else:
        yield f"    expression: '{goal.expression}'"
        yield f"{horizon:<33} # how far ahead"
    if goal.classes:
        yield f"    classes: [{', '.join(map(quoted, goal.classes))}]"


def _learning_lines(p: Proposal, figures: Cadence) -> Iterator[str]:
    regression = p.goal.task == "regression"
    robust = ", parameters: {objective: regression_l1}" if regression else ""
    often, seldom = figures.often, figures.seldom
    yield "  trainers:                       # the built-in baseline is always there"
    for name, kind, window, rows, every, more in (
        ("recent", "lightgbm", figures.recent, 20_000, often, ", retrain_on_drift: true"),
        ("long", "lightgbm", figures.long, 100_000, seldom, robust),
        ("linear", "ridge" if regression else "logistic", figures.recent, 20_000, seldom, ""),
    ):
        yield (
            f"    - {{name: {name}, kind: {kind}, window: {window}, max_rows: {rows}, "
            f"retrain_every: {every}{more}}}"
        )
    block = format_duration(figures.block_ms)
    yield "  promotion:"
    yield f"    block: {block:<22} # rows of so much event time are one number in a comparison"
    if regression:
        yield "    performance_gain_threshold: 0.001  # of an error at the 99th percentile"
    yield f"    refresh: {{gate_rows: {figures.gate_rows}, not_worse_by: 0.01}}"
    yield f"    canary: [{', '.join(map(str, figures.canary))}]  # percent of the elements"


def _number(value: float) -> str:
    rounded = float(f"{value:.12g}")
    return str(int(rounded)) if rounded.is_integer() and abs(rounded) < 1e15 else _decimal(rounded)


def _decimal(value: float) -> str:
    """With a point before the exponent: without one YAML reads a text."""
    text = repr(value)
    mantissa, separator, exponent = text.partition("e")
    return text if not separator or "." in mantissa else f"{mantissa}.0e{exponent}"


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
    safe = name[:1].isalpha() and name.isascii() and name.lower() not in _YAML_WORDS
    return name if safe and set(name) <= _SAFE else quoted(name)


_SAFE: Final = set("ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789_.-")


def _iso(ms: int) -> str:
    return datetime.fromtimestamp(ms / 1000, UTC).isoformat().replace("+00:00", "Z")
