"""One partition of a source, folded into the feature rows of one pipeline.

Every sample of every report has exactly one outcome: a feature row, or it is skipped as
quarantined, double, late or warming up. Labels of the pipeline stand among the rows as they arrived.
Neither depends on how reports fell into batches.
"""

from typing import Any, Final

import msgspec
from typing_extensions import override

from flyball_ingest.batch import Batch, Computed, compute, encode
from flyball_ingest.confirmed import LABELS, Confirmed
from flyball_ingest.contract import Contract
from flyball_ingest.elements import Elements
from flyball_ingest.rows import Row
from flyball_ingest.validation import canonical_labels, element_of, join_codes, read_report
from flyball_ingest.waiting import WaitingRoom
from flyball_ingest.windows import Outcome, Windows, element_bytes
from flyball_kit.errors import PermanentError
from flyball_kit.fold import Fold, Input, Output
from flyball_proto import columns
from flyball_proto.columns import SkipReason
from flyball_proto.headers import CONTENT_TYPE
from flyball_proto.report import Report, ReportError, row_count
from flyball_proto.streams import BATCH_BYTES
from flyball_proto.subjects import MARK, stored_metrics

LAYOUT: Final = 2
"""Layout of the dumped state."""

MAX_REPORT_ROWS_BYTES: Final = 3 << 20
"""Feature rows of one report may take this much, because a commit holds whole reports."""

WAITING_BYTES: Final = 2 << 20
"""Feature rows that wait for their lateness take at most this much: a mark lets them all out."""

MIN_SWEEP_MESSAGES: Final = 1_000
CONTRADICTION: Final = "contradiction"
BAD_MARK: Final = "bad-mark"


class _MarkReport(msgspec.Struct, forbid_unknown_fields=True):
    id: str
    time_ms: int
    last: bool = False


_decode_mark: Final = msgspec.json.Decoder(_MarkReport).decode


class IngestFold(Fold):
    """Folds METRICS messages of one partition; bounded by `max_elements` and `state_bytes`."""

    def __init__(
        self,
        contract: Contract,
        *,
        partition: int,
        origin: str,
        max_elements: int,
        memory_bytes: int,
        state_bytes: int = 1 << 29,
    ) -> None:
        self._contract, self._next = contract, contract
        self._partition, self._origin, self._memory = partition, origin, memory_bytes
        self._own_subjects = (f"metrics.{contract.source}.", f"{LABELS}.{contract.pipeline}.")
        self._mark_subject = stored_metrics(contract.source, partition, MARK)
        plan = contract.plan
        self._windows = Windows(len(plan.metrics), plan.depth, memory_bytes)
        truth_bytes = contract.truth.element_bytes if contract.truth else 0
        room = state_bytes // (element_bytes(len(plan.metrics), plan.depth) + truth_bytes)
        self._elements = Elements(max(1, min(max_elements, room)))
        self._confirmed = Confirmed(
            contract,
            partition=partition,
            max_elements=self._elements.max_elements,
            memory_bytes=memory_bytes,
        )
        self._truths = self._confirmed.truths
        self._waiting = WaitingRoom(WAITING_BYTES // contract.row_bytes)
        self._offset = 0  # bytes of input folded
        self._swept_at, self._messages = 0, 0
        self._since: int | None = None
        self._batch = Batch(origin)

    def revise(self, contract: Contract) -> None:
        """Fold under another contract of the same features, from the next batch on."""
        if contract.feature_digest != self._contract.feature_digest:
            raise PermanentError(
                f"{contract.pipeline}: feature digest {contract.feature_digest[:8]} found, this "
                f"fold makes {self._contract.feature_digest[:8]}; start a fold of its own"
            )
        self._next = contract

    @override
    def step(self, message: Input) -> bool:
        if not f"{message.subject}.".startswith(self._own_subjects):
            return False
        batch = self._batch
        if not batch.first:
            batch.first = message.sequence
        batch.last = message.sequence
        self._offset += len(message.data)
        self._messages += 1
        if message.subject == self._mark_subject:
            return self._end_stretch(message)
        if message.subject.startswith(LABELS):
            self._fold_labels(message)
            return batch.bytes >= BATCH_BYTES
        content_type = message.headers.get(CONTENT_TYPE) if message.headers else None
        try:
            self._fold_report(message, content_type)
        except ReportError as refused:
            rows = row_count(message.data, content_type)
            batch.skip(message.sequence, SkipReason.QUARANTINED, rows, refused.code)
        return batch.bytes >= BATCH_BYTES

    @override
    def tick(self, now_ms: int) -> None:
        self._batch.tick_ms = now_ms

    @override
    def take(self) -> Output | None:
        contract, batch = self._contract, self._batch
        parts: list[Computed] = []
        start = 0
        for gathered in self._windows.drain():
            parts.append(compute(contract, gathered, batch, start))
            start += len(gathered.sequence)
        output = encode(contract, batch, parts)
        first = 0 if output else batch.first
        self._batch = Batch(self._origin, first, batch.last if first else 0)
        self._contract = self._next
        known = max(self._windows.slots, len(self._truths or ()))
        if self._messages - self._swept_at >= max(MIN_SWEEP_MESSAGES, 2 * known):
            self._sweep()
        return output

    @override
    def since(self) -> int | None:
        return self._since

    @override
    def dump(self) -> bytes:
        state = {
            "layout": LAYOUT,
            "digest": self._contract.feature_digest,
            "offset": self._offset,
            "since": self._since,
            "elements": self._elements.dump(),
            "windows": self._windows.dump(),
            "waiting": self._waiting.dump(),
            "confirmed": self._confirmed.dump(),
        }
        return msgspec.msgpack.encode(state)

    @override
    def load(self, data: bytes) -> None:
        state: dict[str, Any] = msgspec.msgpack.decode(data)
        found = (state.get("layout"), state.get("digest"))
        expected = (LAYOUT, self._contract.feature_digest)
        if found != expected:
            raise PermanentError(
                f"snapshot of {self._contract.pipeline}: layout and digest {found} found, "
                f"{expected} expected; delete the snapshot, the state is then read again"
            )
        self._offset, self._since = state["offset"], state["since"]
        self._elements.load(state["elements"])
        self._windows.load(state["windows"], len(self._elements.names))
        self._waiting.load(state["waiting"])
        self._confirmed.load(state["confirmed"])

    def _fold_labels(self, message: Input) -> None:
        try:
            remembered = self._confirmed.fold(message, self._contract, self._batch, self._offset)
        except ReportError as refused:
            self._batch.skip(message.sequence, SkipReason.QUARANTINED, 0, refused.code)
            return
        if remembered and self._since is None:
            self._since = message.sequence

    def _fold_report(self, message: Input, content_type: str | None) -> None:
        elements, subject = self._elements, message.subject
        slot = elements.slot_of.get(subject)
        name = element_of(subject, self._partition) if slot is None else elements.names[slot]
        report = read_report(name, message.data, content_type, self._contract.rules)
        if slot is None:
            self._make_room(name)
        if len(report.samples) * self._contract.row_bytes > MAX_REPORT_ROWS_BYTES:
            raise ReportError("report-too-wide", f"{len(report.samples)} rows; send fewer a report")
        arrival_ms = message.time_ns // 1_000_000
        judged = self._contract.rules.judge(report, message.sequence, arrival_ms)
        if judged.refused:
            reason, codes = SkipReason.QUARANTINED, join_codes(judged.codes)
            self._batch.skip(message.sequence, reason, judged.refused, codes)
        if not judged.rows:
            return
        if slot is None:
            slot = self._admit(subject, name)
        self._remember_labels(slot, message.sequence, report)
        if self._contract.waits:
            for row in judged.rows:
                self._let_wait(slot, row)
        else:
            self._accept(slot, judged.rows)

    def _make_room(self, name: str) -> None:
        if self._elements.is_full:
            self._sweep()
        if self._elements.is_full:
            limit = self._elements.max_elements
            raise ReportError("too-many-elements", f"{name!r} beside {limit} others")

    def _admit(self, subject: str, name: str) -> int:
        slot, is_new = self._elements.admit(subject, name)
        if is_new:
            self._windows.add_slot()
        self._batch.entry_of.pop(slot, None)  # of an element that had the slot before
        return slot

    def _remember_labels(self, slot: int, sequence: int, report: Report) -> None:
        elements = self._elements
        changed = elements.forget_label(slot, self._offset - self._memory)
        if report.labels:
            labels = canonical_labels(report.labels)
            changed = elements.label(slot, labels, sequence, self._offset) or changed
        if changed:
            self._batch.entry_of.pop(slot, None)
        if self._since is None:
            self._since = sequence

    def _accept(self, slot: int, rows: list[Row]) -> None:
        """Emit rows that are the newest of their element; judge the others doubles or late."""
        elements, batch, windows = self._elements, self._batch, self._windows
        entry = batch.entry_of.get(slot)
        if entry is None:
            entry = batch.entry(slot, elements.names[slot], elements.labels[slot])
        while rows:
            pushed = windows.push(slot, rows, self._offset, entry)
            batch.bytes += pushed * self._contract.row_bytes
            batch.pushed += pushed
            if self._truths is not None:
                truth = self._truths.features(elements.names[slot], self._offset)
                batch.truth.extend([truth] * pushed)
            if pushed == len(rows):
                return
            odd, rows = rows[pushed], rows[pushed + 1 :]
            outcome = windows.place(slot, odd, self._offset, self._contract.lateness_ms)
            if outcome is Outcome.NEWEST:
                rows = [odd, *rows]
            else:
                self._skip(odd, outcome)

    def _let_wait(self, slot: int, row: Row) -> None:
        """Let a row wait behind its element's watermark, and release what the watermark passed."""
        waiting, windows = self._waiting, self._windows
        released_ms = windows.newest_at(slot, self._offset)
        newest_ms = max(waiting.newest_ms(slot), released_ms)
        twin = waiting.find(slot, row.time_ms)
        if twin is not None:
            self._skip(row, windows.compare(twin.values, row.values))
        elif row.time_ms <= released_ms:
            self._skip(row, windows.place(slot, row, self._offset, lateness_ms=-1))
        elif row.time_ms < newest_ms - self._contract.lateness_ms:
            self._skip(row, Outcome.LATE)
        else:
            waiting.add(slot, row)
            self._release(slot, max(newest_ms, row.time_ms) - self._contract.lateness_ms)
            while (surplus := waiting.surplus()) is not None:
                self._release(*surplus)

    def _release(self, slot: int, until_ms: int) -> None:
        self._accept(slot, self._waiting.release(slot, until_ms))

    def _skip(self, row: Row, outcome: Outcome) -> None:
        reason = SkipReason.LATE if outcome is Outcome.LATE else SkipReason.DOUBLE
        detail = CONTRADICTION if outcome is Outcome.CONTRADICTION else ""
        self._batch.skip(row.sequence, reason, 1, detail)

    def _end_stretch(self, message: Input) -> bool:
        """A mark: what waits up to its time comes out, and the batch ends."""
        try:
            mark = _decode_mark(message.data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            self._batch.skip(message.sequence, SkipReason.QUARANTINED, 0, BAD_MARK)
            return False
        out = [
            (row.time_ms, row.sequence, row.sample, slot, row)
            for slot in self._waiting.slots()
            for row in self._waiting.release(slot, mark.time_ms)
        ]
        for _, _, _, slot, row in sorted(out):
            self._accept(slot, [row])
        self._batch.mark = columns.Mark(mark.id, mark.time_ms, mark.last)
        return True

    def _sweep(self) -> None:
        """Forget what lies too far back, and find the oldest report that still matters."""
        elements, horizon = self._elements, self._offset - self._memory
        for slot in elements.forget_labels(horizon):
            self._batch.entry_of.pop(slot, None)
        oldest, holds_rows = self._windows.sweep(self._offset)
        waiting = set(self._waiting.slots())
        elements.release(holds_rows, waiting)
        found = (
            int(oldest.min()) if holds_rows.any() else None,
            elements.oldest_label(),
            self._waiting.oldest_sequence(),
            self._confirmed.sweep(self._offset),
        )
        self._since = min((sequence for sequence in found if sequence is not None), default=None)
        self._swept_at = self._messages
