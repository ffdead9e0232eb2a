"""`MetricReport`: the one message an element sends, as JSON or protobuf.

JSON, one sample: `{"element": "cell-1", "time_ms": 1767225600000, "values": {"load": 0.7}}`;
several: `{"element": "cell-1", "samples": [{"time_ms": ..., "values": {...}}, ...]}`. `time` with
an RFC 3339 text and a zone may stand in place of `time_ms`; `labels` is optional; `null` says that
a value could not be measured. Protobuf is `data_plane.proto`'s `MetricReport`, with the header
`Content-Type: application/x-protobuf`.
"""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Final

import msgspec
from google.protobuf.message import DecodeError

from flyball_proto import data_plane_pb2 as pb
from flyball_proto.streams import MAX_FIELDS_PER_SAMPLE, MAX_REPORT_BYTES, MAX_SAMPLES_PER_REPORT

JSON: Final = "application/json"
PROTOBUF: Final = "application/x-protobuf"
MIN_TIME_MS: Final = 0
MAX_TIME_MS: Final = 253_402_300_799_999
"""The last millisecond of the year 9999."""


class ReportError(ValueError):
    """A report is refused as a whole; `code` is one stable word, the text says what was found."""

    def __init__(self, code: str, found: str) -> None:
        super().__init__(f"{code}: {found}")
        self.code, self.found = code, found


@dataclass(frozen=True, slots=True)
class Sample:
    """One measurement of one element: finite values by metric name, None = not measured."""

    time_ms: int
    values: Mapping[str, float | None]


@dataclass(frozen=True, slots=True)
class Report:
    """What an element said. `labels` is empty when the report does not repeat them."""

    element: str
    labels: Mapping[str, str]
    samples: Sequence[Sample]


class _JsonSample(msgspec.Struct, forbid_unknown_fields=True):
    time_ms: int | None = None
    time: str | None = None
    values: dict[str, float | None] | None = None


class _JsonReport(msgspec.Struct, forbid_unknown_fields=True):
    element: str
    time_ms: int | None = None
    time: str | None = None
    values: dict[str, float | None] | None = None
    labels: dict[str, str] | None = None
    samples: list[_JsonSample] | None = None


class _Counted(msgspec.Struct):
    samples: list[msgspec.Raw] | None = None


_decode_json: Final = msgspec.json.Decoder(_JsonReport).decode
_decode_count: Final = msgspec.json.Decoder(_Counted).decode
_NO_LABELS: Final[Mapping[str, str]] = {}


def decode_report(data: bytes, content_type: str | None = None) -> Report:
    """Decode a report of either content type.

    Raises:
        ReportError: With one of the codes `report-too-large`, `unknown-content-type`, `not-json`,
            `not-protobuf`, `bad-shape`, `no-samples`, `too-many-samples`, `too-many-fields`,
            `no-values`, `no-time`, `bad-time`, `not-finite`.
    """
    if len(data) > MAX_REPORT_BYTES:
        raise ReportError("report-too-large", f"{len(data)} bytes; at most {MAX_REPORT_BYTES}")
    if content_type is None or content_type == JSON:
        return _from_json(data)
    if content_type == PROTOBUF:
        return _from_protobuf(data)
    raise ReportError("unknown-content-type", f"{content_type!r}; valid: {JSON}, {PROTOBUF}")


def row_count(data: bytes, content_type: str | None = None) -> int:
    """How many rows a report counts as in every account: its samples, or 1 if it has none to count.

    Never raises: a report that cannot be decoded, is too large, or has an impossible number of
    samples counts as one row.
    """
    if len(data) > MAX_REPORT_BYTES:
        return 1
    try:
        if content_type == PROTOBUF:
            found = len(pb.MetricReport.FromString(data).samples)
        elif b'"samples"' in data:
            found = len(_decode_count(data).samples or ())
        else:
            return 1
    except (msgspec.DecodeError, DecodeError, UnicodeDecodeError):
        return 1
    return found if 1 <= found <= MAX_SAMPLES_PER_REPORT else 1


def parse_time_ms(text: str) -> int:
    """An RFC 3339 time with a zone as Unix milliseconds.

    Raises:
        ReportError: `bad-time`; a time without a zone is refused, not guessed.
    """
    try:
        at = datetime.fromisoformat(text)
    except ValueError:
        at = None
    if at is None or at.tzinfo is None:
        raise ReportError("bad-time", f"{text[:64]!r}; valid: 2026-01-01T00:00:00Z, with a zone")
    return round(at.timestamp() * 1000)


def event_time_ms(time_ms: int | None, time: str | None) -> int:
    """The event time of one sample, which stands in one of two fields.

    Raises:
        ReportError: `no-time`; `bad-time` when both are given, or it is no time.
    """
    if time_ms is None:
        if time is None:
            raise ReportError("no-time", "a sample needs `time_ms` or `time`")
        time_ms = parse_time_ms(time)
    elif time is not None:
        raise ReportError("bad-time", "`time_ms` beside `time`; give one of them")
    if not MIN_TIME_MS <= time_ms <= MAX_TIME_MS:
        raise ReportError("bad-time", f"{time_ms} is no Unix time in milliseconds")
    return time_ms


def _from_json(data: bytes) -> Report:
    try:
        found = _decode_json(data)
    except msgspec.ValidationError as error:
        raise ReportError("bad-shape", str(error)) from error
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ReportError("not-json", str(error)) from error
    if found.samples is None:
        samples = [_sample(found.time_ms, found.time, found.values)]
    elif found.values is not None or found.time_ms is not None or found.time is not None:
        raise ReportError("bad-shape", "`samples` beside `values` or a time; give one or the other")
    else:
        _bound_samples(len(found.samples))
        samples = [_sample(s.time_ms, s.time, s.values) for s in found.samples]
    return Report(found.element, found.labels or _NO_LABELS, samples)


def _sample(
    time_ms: int | None, time: str | None, values: dict[str, float | None] | None
) -> Sample:
    if not values:
        raise ReportError("no-values", "a sample without values")
    if len(values) > MAX_FIELDS_PER_SAMPLE:
        raise ReportError("too-many-fields", f"{len(values)}; at most {MAX_FIELDS_PER_SAMPLE}")
    return Sample(event_time_ms(time_ms, time), values)


def _from_protobuf(data: bytes) -> Report:
    try:
        found = pb.MetricReport.FromString(data)
    except DecodeError as error:
        raise ReportError("not-protobuf", str(error)) from error
    _bound_samples(len(found.samples))
    samples = []
    for s in found.samples:
        values: dict[str, float | None] = dict(s.values)
        bad = [k for k, v in s.values.items() if not math.isfinite(v)]
        if bad:
            raise ReportError("not-finite", f"{bad[0]} is {s.values[bad[0]]}; send it in `nulls`")
        values.update(dict.fromkeys(s.nulls))
        samples.append(_sample(s.time_ms, None, values))
    return Report(found.element, dict(found.labels), samples)


def _bound_samples(found: int) -> None:
    if found == 0:
        raise ReportError("no-samples", "an empty list of samples")
    if found > MAX_SAMPLES_PER_REPORT:
        raise ReportError("too-many-samples", f"{found}; at most {MAX_SAMPLES_PER_REPORT}")
