"""Confirmed truth about an element's rows, as it is published on `labels.<pipeline>.<element>`.

JSON, about one row: `{"time_ms": 1767225600000, "value": 1}`; about several:
`{"samples": [{"time_ms": ..., "value": ...}, ...]}`. `time` with an RFC 3339 text and a zone may
stand in place of `time_ms`; `element` is optional and says again what the subject says. What a
value may be depends on the pipeline's task, so it is judged by whoever knows that.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

import msgspec

from flyball_proto.report import ReportError, event_time_ms
from flyball_proto.streams import MAX_REPORT_BYTES, MAX_SAMPLES_PER_REPORT


class Truth(NamedTuple):
    """What was true of one row of an element; `value` is any JSON value, not judged yet."""

    time_ms: int
    value: Any


@dataclass(frozen=True, slots=True)
class LabelReport:
    """What somebody confirmed. `element` is None when only the subject says whose rows they are."""

    element: str | None
    truths: Sequence[Truth]


class _JsonTruth(msgspec.Struct, forbid_unknown_fields=True):
    time_ms: int | None = None
    time: str | None = None
    value: Any = msgspec.UNSET


class _JsonReport(msgspec.Struct, forbid_unknown_fields=True):
    element: str | None = None
    time_ms: int | None = None
    time: str | None = None
    value: Any = msgspec.UNSET
    samples: list[_JsonTruth] | None = None


_decode: Final = msgspec.json.Decoder(_JsonReport).decode


def decode_labels(data: bytes) -> LabelReport:
    """Decode a label report; its values may still be of any kind.

    Raises:
        ReportError: With one of the codes `label-too-large`, `bad-label`, `no-time`, `bad-time`.
    """
    if len(data) > MAX_REPORT_BYTES:
        raise ReportError("label-too-large", f"{len(data)} bytes; at most {MAX_REPORT_BYTES}")
    try:
        found = _decode(data)
    except (msgspec.DecodeError, UnicodeDecodeError) as error:
        raise ReportError("bad-label", str(error)) from error
    if found.samples is None:
        return LabelReport(found.element, (_truth(found),))
    if found.value is not msgspec.UNSET or found.time_ms is not None or found.time is not None:
        raise ReportError("bad-label", "`samples` beside `value` or a time; give one or the other")
    if not 1 <= len(found.samples) <= MAX_SAMPLES_PER_REPORT:
        valid = f"1 to {MAX_SAMPLES_PER_REPORT}"
        raise ReportError("bad-label", f"{len(found.samples)} samples; valid: {valid}")
    return LabelReport(found.element, [_truth(sample) for sample in found.samples])


def _truth(found: _JsonTruth | _JsonReport) -> Truth:
    if found.value is msgspec.UNSET:
        raise ReportError("bad-label", "a time without `value`")
    return Truth(event_time_ms(found.time_ms, found.time), found.value)
