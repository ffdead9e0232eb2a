"""Can a report be trusted? What a Source declares, compiled to judge reports and samples by value.

A report is refused as a whole (`ReportError` with one code) or sample by sample (codes that name
the metric). Nothing is repaired silently: a clipped or dropped value leaves its mark in the row's
quality.
"""

import json
import math
import re
from collections.abc import Callable, Mapping, Sequence
from operator import itemgetter
from typing import Any, Final, NamedTuple

from flyball_ingest.rows import Row, Values
from flyball_proto import subjects
from flyball_proto.columns import Quality
from flyball_proto.report import Report, ReportError, decode_report
from flyball_proto.spec.source import MAX_LABELS, Metric, Source

MAX_LABEL_CHARS: Final = 64
MAX_CODES: Final = 8
"""Reason codes kept of one report; further ones are not named."""

NAN: Final = math.nan
_row: Final[Any] = tuple.__new__
"""Makes a `Row` in half the time of its constructor; one is made for every sample."""
_UNSAFE = re.compile(r"[^A-Za-z0-9_.:\-]")

Pick = Callable[[Mapping[str, float | None]], tuple[float | None, ...]]


class Judged(NamedTuple):
    """The samples of a report that are accepted; how many are not, and why."""

    rows: list[Row]
    refused: int
    codes: set[str]


class Rules:
    """A Source compiled for one pipeline.

    `columns` are the metrics whose values are passed on, in that order; the first `features` of
    them feed features, so that a missing one is worth a mark.
    """

    def __init__(self, source: Source, columns: Sequence[str], features: int) -> None:
        self.max_future_ms = source.spec.max_future_ms
        self.labels = frozenset(source.spec.labels)
        self._columns = tuple(columns)
        self._width, self._features = len(self._columns), features
        declared = {metric.name: metric for metric in source.spec.metrics}
        self._metrics = [declared[name] for name in columns]
        self._metrics += [m for m in source.spec.metrics if m.name not in self._columns]
        self._names = frozenset(declared)
        self._bounds = [_bounds(metric) for metric in self._metrics]
        self._pick = _picker([metric.name for metric in self._metrics])

    def judge(self, report: Report, sequence: int, arrival_ms: int) -> Judged:
        """Judge each sample of the report that METRICS stored as `sequence` at `arrival_ms`."""
        rows: list[Row] = []
        codes: set[str] = set()
        latest_ms, count = arrival_ms + self.max_future_ms, len(self._metrics)
        for index, sample in enumerate(report.samples):
            found, time_ms = sample.values, sample.time_ms
            if len(found) == count and time_ms <= latest_ms:
                known = self._judge_quickly(found)
                if known is not None:
                    rows.append(_row(Row, (time_ms, sequence, index, *known)))
                    continue
            values, quality, refused = self._judge_slowly(found)
            if time_ms > latest_ms:
                refused.add("future-time")
            if refused:
                codes |= refused
            else:
                rows.append(Row(time_ms, sequence, index, quality, values))
        return Judged(rows, len(report.samples) - len(rows), codes)

    def _judge_quickly(self, found: Mapping[str, float | None]) -> tuple[int, Values] | None:
        """Quality and values of a sample that needs no mending; None = look closer."""
        try:
            picked = self._pick(found)
        except KeyError:
            return None
        # No `strict`: it costs more than the comparisons.
        for value, (low, high) in zip(picked, self._bounds):  # noqa: B905
            if value is None or not low <= value <= high:
                break
        else:
            return 0, picked[: self._width]  # type: ignore[return-value] # none is None
        for value, (low, high) in zip(picked, self._bounds, strict=True):
            if value is not None and not low <= value <= high:
                return None
        missing = None in picked[: self._features]
        values = tuple(NAN if value is None else value for value in picked[: self._width])
        return Quality.NULL if missing else 0, values

    def _judge_slowly(self, found: Mapping[str, float | None]) -> tuple[Values, int, set[str]]:
        """Values in column order (NaN = missing), their quality, and why they are refused."""
        codes = {f"unknown-metric:{_safe(name)}" for name in found.keys() - self._names}
        values, quality = [], 0
        for at, metric in enumerate(self._metrics):
            if metric.required and metric.name not in found:
                codes.add(f"missing-metric:{metric.name}")
            value, mark = _admit(metric, found.get(metric.name))
            if value is None:
                codes.add(f"out-of-range:{metric.name}")
                continue
            if at < self._width:
                values.append(value)
                quality |= mark
                if at < self._features and math.isnan(value):
                    quality |= Quality.NULL
        return tuple(values), int(quality), codes


def element_of(subject: str, partition: int, kind: str = "metrics") -> str:
    """The element that a stored subject of `metrics` or `labels` names.

    Raises:
        ReportError: `bad-subject` when the stream's transform did not apply, because the name has a
            dot; `bad-element` when the name is not one that an element may have.
    """
    stored = subjects.parse_stored(subject)
    if stored is None or stored.partition != partition or stored.kind != kind:
        owner = "source" if kind == "metrics" else "pipeline"
        raise ReportError("bad-subject", f"{subject[:160]!r}; valid: {kind}.<{owner}>.<element>")
    if not subjects.is_element(stored.element):
        raise ReportError("bad-element", f"{stored.element[:160]!r} may not name an element")
    return stored.element


def read_report(element: str, data: bytes, content_type: str | None, rules: Rules) -> Report:
    """Decode a report and judge what concerns it as a whole.

    Raises:
        ReportError: As `decode_report`; `bad-element`, `element-mismatch`, `unknown-label`,
            `too-many-labels`, `label-too-long`.
    """
    report = decode_report(data, content_type)
    if report.element != element:
        if not subjects.is_element(report.element):
            raise ReportError("bad-element", f"{report.element[:160]!r} may not name an element")
        raise ReportError("element-mismatch", f"{report.element!r} published as {element!r}")
    if report.labels:
        _check_labels(report.labels, rules)
    return report


def canonical_labels(labels: Mapping[str, str]) -> str:
    """Labels as the one JSON text that equal labels share."""
    return json.dumps(labels, sort_keys=True, separators=(",", ":"), ensure_ascii=False)


def join_codes(codes: set[str]) -> str:
    """Reason codes of one report, sorted, in one text."""
    return ",".join(sorted(codes)[:MAX_CODES])


def _check_labels(labels: Mapping[str, str], rules: Rules) -> None:
    if len(labels) > MAX_LABELS:
        raise ReportError("too-many-labels", f"{len(labels)}; at most {MAX_LABELS}")
    for name, value in labels.items():
        if name not in rules.labels:
            valid = ", ".join(sorted(rules.labels)) or "none"
            raise ReportError("unknown-label", f"{name[:64]!r}; valid: {valid}")
        if len(value) > MAX_LABEL_CHARS:
            found = f"{name}: {len(value)} characters; at most {MAX_LABEL_CHARS}"
            raise ReportError("label-too-long", found)


def _bounds(metric: Metric) -> tuple[float, float]:
    if metric.range is None or metric.privacy != "none":
        return -math.inf, math.inf
    return metric.range


def _admit(metric: Metric, value: float | None) -> tuple[float | None, Quality]:
    """The value that counts and its mark; None = the sample is refused."""
    if value is None:
        return NAN, Quality.OK
    low, high = _bounds(metric)
    if low <= value <= high:
        return value, Quality.OK
    if metric.on_invalid == "clip":
        return min(max(value, low), high), Quality.CLIPPED
    if metric.on_invalid == "null":
        return NAN, Quality.OK
    return None, Quality.OK


def _picker(names: Sequence[str]) -> Pick:
    if len(names) == 1:
        name = names[0]
        return lambda found: (found[name],)
    return itemgetter(*names)


def _safe(name: str) -> str:
    """A name from a payload, made fit for a header."""
    return _UNSAFE.sub("?", name)[:64]
