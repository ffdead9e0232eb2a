"""Confirmed truth in the ingest fold: judged, passed on as arrivals, remembered for features. Pure.

Labels are METRICS messages like reports, in one order with them, so a row sees exactly the truth
that had arrived before it was emitted. They are no rows: no account counts them.
"""

from typing import Any, Final

from flyball_ingest.batch import Batch
from flyball_ingest.contract import Contract
from flyball_ingest.truths import Truths
from flyball_ingest.validation import element_of, join_codes
from flyball_kit.fold import Input
from flyball_proto.columns import SkipReason
from flyball_proto.headers import CONTENT_TYPE
from flyball_proto.report import ReportError

LABELS: Final = "labels"
"""First token of the subjects that labels are published on."""


class Confirmed:
    """Labels of one pipeline in one partition; without features of truth it remembers nothing."""

    def __init__(
        self, contract: Contract, *, partition: int, max_elements: int, memory_bytes: int
    ) -> None:
        self._partition, self._max_elements = partition, max_elements
        self.truths = Truths(contract.truth, max_elements, memory_bytes) if contract.truth else None

    def fold(self, message: Input, contract: Contract, batch: Batch, offset: int) -> bool:
        """Fold a label report; whether anything of it is remembered.

        Raises:
            ReportError: It is refused as a whole: `bad-subject`, `bad-element`,
                `too-many-elements`, or as `LabelRules.read`.
        """
        element = element_of(message.subject, self._partition, LABELS)
        content_type = message.headers.get(CONTENT_TYPE) if message.headers else None
        arrival_ms = message.time_ns // 1_000_000
        judged = contract.labels.read(element, message.data, content_type, arrival_ms)
        if judged.confirmed and self.truths is not None:
            self._make_room(self.truths, element, offset)
        if judged.codes:
            codes = join_codes(judged.codes)
            batch.skip(message.sequence, SkipReason.QUARANTINED, 0, codes)
        for time_ms, value in judged.confirmed:
            batch.arrive(element, message.sequence, time_ms, value)
            if self.truths is not None:
                self.truths.add(element, time_ms, value, message.sequence, offset)
        return bool(judged.confirmed) and self.truths is not None

    def sweep(self, offset: int) -> int | None:
        """Drop what is forgotten; the oldest METRICS sequence that is remembered."""
        return self.truths.sweep(offset) if self.truths else None

    def dump(self) -> list[Any]:
        """The state as plain values."""
        return self.truths.dump() if self.truths else []

    def load(self, state: list[Any]) -> None:
        """Become what `dump` gave."""
        if self.truths is not None:
            self.truths.load(state)

    def _make_room(self, truths: Truths, element: str, offset: int) -> None:
        if not truths.has_room(element):
            truths.sweep(offset)
        if not truths.has_room(element):
            found = f"{element!r} beside {self._max_elements} others"
            raise ReportError("too-many-elements", found)
