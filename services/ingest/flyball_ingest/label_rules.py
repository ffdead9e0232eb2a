"""Which confirmed truth is believed: what the target of a pipeline allows. Pure.

A label report is refused as a whole (`ReportError` with one code) or row by row: what can be used
of it is used, and the whole report is kept in quarantine with the codes of the rest.
"""

from typing import NamedTuple

from flyball_proto.report import JSON, ReportError
from flyball_proto.spec.target import Target
from flyball_proto.truth import decode_labels


class Confirmation(NamedTuple):
    """The truth about one row: event time and value, a class as its place from 0."""

    time_ms: int
    value: float


class JudgedLabels(NamedTuple):
    """What of a label report is believed, in its order, and why the rest is not."""

    confirmed: list[Confirmation]
    codes: set[str]


class LabelRules:
    """A pipeline's target, compiled to judge labels."""

    def __init__(self, target: Target, max_future_ms: int) -> None:
        self.are_wanted = target.kind == "feedback"
        self._task, self._classes = target.task, len(target.classes)
        self._max_future_ms = max_future_ms

    def read(
        self, element: str, data: bytes, content_type: str | None, arrival_ms: int
    ) -> JudgedLabels:
        """Judge what was published about an element and stored at `arrival_ms`.

        Codes of single labels are `label-value` and `future-time`.

        Raises:
            ReportError: `labels-not-wanted` (the target is made from later rows),
                `unknown-content-type`, `label-element` (the payload names another one), or as
                `decode_labels`.
        """
        if not self.are_wanted:
            raise ReportError("labels-not-wanted", "a label; valid: for kind: feedback only")
        if content_type not in (None, JSON):
            raise ReportError("unknown-content-type", f"{content_type!r}; valid: {JSON}")
        report = decode_labels(data)
        if report.element not in (None, element):
            raise ReportError("label-element", f"{report.element!r} published as {element!r}")
        judged = JudgedLabels([], set())
        for time_ms, found in report.truths:
            value = self._value(found)
            if value is None:
                judged.codes.add("label-value")
            elif time_ms > arrival_ms + self._max_future_ms:
                judged.codes.add("future-time")
            else:
                judged.confirmed.append(Confirmation(time_ms, value))
        return judged

    def _value(self, found: object) -> float | None:
        """The value as a number that the task allows; None = it allows none such."""
        if isinstance(found, bool) and self._task != "binary":
            return None
        if not isinstance(found, int | float):
            return None
        try:
            value = float(found)
        except OverflowError:
            return None
        if self._task == "regression":  # JSON has neither NaN nor infinity
            return value
        limit = 2 if self._task == "binary" else self._classes
        return value if value.is_integer() and 0 <= value < limit else None
