"""The books of one pipeline: every METRICS row against every VERDICTS row. Pure.

Rows are matched one by one, by METRICS sequence and position in the report, so that a row lost and
another doubled do not cancel out. Settled reports are forgotten: memory holds what is still open,
at most `max_open` reports and as many actions.
"""

from collections import Counter, OrderedDict
from typing import Final

import numpy as np

from flyball_local.audit.account import Account, Latencies
from flyball_proto.columns import DISPATCHED, Outcome, SkipReason, Verdict, Verdicts

MAX_OPEN: Final = 1_000_000
MAX_PROBLEMS: Final = 10
REMEMBERED_ACTIONS: Final = 100_000
KEEP: Final = "keep"
"""The fallback that sends nothing."""

RowKey = tuple[int, int]
"""METRICS sequence and position in the report."""


class _Open:
    """A report with rows not yet accounted for; `decided` has a bit for each decided sample."""

    __slots__ = ("decided", "left", "partition", "rows", "time_ns")

    def __init__(self, partition: int, rows: int, time_ns: int) -> None:
        self.partition = partition
        self.rows = self.left = rows
        self.decided = 0
        self.time_ns = time_ns


class Ledger:
    """Feed METRICS before the VERDICTS that cover them, and both in stream order."""

    def __init__(self, pipeline: str, max_open: int = MAX_OPEN) -> None:
        self.pipeline, self._max_open = pipeline, max_open
        self._open: OrderedDict[int, _Open] = OrderedDict()
        self._begin: dict[int, int] = {}
        self._rows_in = self._decisions = self._lost = self._duplicated = self._unverifiable = 0
        self._skipped: Counter[int] = Counter()
        self._verdicts: Counter[int] = Counter()
        self._awaited: OrderedDict[RowKey, tuple[str, str]] = OrderedDict()
        self._seen: OrderedDict[RowKey, None] = OrderedDict()
        self._actions = self._missing = self._unfounded = self._repeated = self._stopped = 0
        self._problems: list[str] = []
        self._latencies = Latencies()

    @property
    def open_reports(self) -> int:
        """Reports with rows that VERDICTS does not account for yet."""
        return len(self._open)

    @property
    def awaited_actions(self) -> int:
        """Dispatched verdicts whose action was not seen yet."""
        return len(self._awaited)

    def begin(self, partition: int, sequence: int) -> None:
        """Rows of a partition before this METRICS sequence are out of view."""
        self._begin[partition] = sequence
        of_partition = [s for s, entry in self._open.items() if entry.partition == partition]
        for early in [s for s in of_partition if s < sequence]:
            self._rows_in -= self._open.pop(early).rows

    def received(self, partition: int, sequence: int, rows: int, time_ns: int = 0) -> None:
        """A report of METRICS."""
        if sequence < self._begin.get(partition, 0):
            return
        self._rows_in += rows
        self._open[sequence] = _Open(partition, rows, time_ns)
        if len(self._open) > self._max_open:
            self._give_up(*self._open.popitem(last=False))

    def judged(self, partition: int, batch: Verdicts, time_ns: int = 0) -> None:
        """A message of VERDICTS."""
        begin = self._begin.get(partition, 0)
        latencies: list[int] = []
        rows = batch.rows
        for sequence, sample in zip(rows.sequence.tolist(), rows.sample.tolist(), strict=True):
            if sequence < begin:
                self._unverifiable += 1
            elif (received_ns := self._decided(sequence, sample)) is not None:
                latencies.append(time_ns - received_ns)
        skipped = batch.flow.skipped
        for sequence, count, reason in zip(
            skipped.sequence.tolist(), skipped.rows.tolist(), skipped.reason.tolist(), strict=True
        ):
            if sequence < begin:
                self._unverifiable += count
            else:
                self._skip(sequence, count, reason)
        if latencies and time_ns:
            self._latencies.add(np.asarray(latencies))
        self._note_verdicts(batch, begin)

    def acted(self, key: RowKey, element: str, action: str) -> None:
        """A message of ACTIONS; after the VERDICTS stored before it.

        One of a row before the view is not looked at: its verdict may be gone.
        """
        expected = self._awaited.pop(key, None)
        if expected is None and key not in self._seen and self._is_before_view(key):
            return
        self._actions += 1
        if key in self._seen:
            self._repeated += 1
            self._problem(f"action of row {_name(key)} to {element}: sent again")
        elif expected is None:
            self._unfounded += 1
            self._problem(f"action of row {_name(key)} to {element}: no dispatched verdict")
        elif expected != (element, action):
            self._problem(
                f"action of row {_name(key)}: {action} to {element}, judged was "
                f"{expected[1]} to {expected[0]}"
            )
        self._seen[key] = None
        if len(self._seen) > REMEMBERED_ACTIONS:
            self._seen.popitem(last=False)

    def _is_before_view(self, key: RowKey) -> bool:
        return key[0] < max(self._begin.values(), default=0)

    def stopped(self, key: RowKey) -> None:
        """An action that a stop kept from being sent; naming it again changes nothing."""
        if self._awaited.pop(key, None) is not None:
            self._stopped += 1

    def account(self, *, decisions_digest: str = "") -> Account:
        """The books as they stand; what is still open counts as lost or missing."""
        problems = [*self._problems, *self._open_problems()][:MAX_PROBLEMS]
        return Account(
            self.pipeline,
            rows_in=self._rows_in,
            decisions=self._decisions,
            quarantined=self._skipped[SkipReason.QUARANTINED],
            doubles=self._skipped[SkipReason.DOUBLE],
            late=self._skipped[SkipReason.LATE],
            warming_up=self._skipped[SkipReason.WARMING_UP],
            lost=self._lost + sum(entry.left for entry in self._open.values()),
            duplicated=self._duplicated,
            unverifiable=self._unverifiable,
            verdicts={v.name.lower(): self._verdicts[v] for v in Verdict if self._verdicts[v]},
            actions=self._actions,
            actions_missing=self._missing + len(self._awaited),
            actions_unfounded=self._unfounded,
            actions_repeated=self._repeated,
            actions_stopped=self._stopped,
            decisions_digest=decisions_digest,
            latency_ms=self._latencies.summary(),
            problems=tuple(problems),
        )

    def _decided(self, sequence: int, sample: int) -> int | None:
        """Settle one row and return when it was received; None when it was settled before."""
        entry = self._open.get(sequence)
        bit = 1 << sample
        if entry is None or entry.left == 0 or sample >= entry.rows or entry.decided & bit:
            self._duplicated += 1
            self._problem(f"row {_name((sequence, sample))}: a decision too many")
            return None
        entry.decided |= bit
        entry.left -= 1
        self._decisions += 1
        if not entry.left:
            del self._open[sequence]
        return entry.time_ns

    def _skip(self, sequence: int, count: int, reason: int) -> None:
        entry = self._open.get(sequence)
        settled = min(count, entry.left if entry else 0)
        if entry:
            entry.left -= settled
            if not entry.left:
                del self._open[sequence]
        self._skipped[reason] += settled
        if count > settled:
            self._duplicated += count - settled
            name = SkipReason(reason).name.lower()
            self._problem(f"report {sequence}: {count - settled} row(s) too many as {name}")

    def _note_verdicts(self, batch: Verdicts, begin: int) -> None:
        self._verdicts.update(batch.verdict.tolist())
        for model in batch.model:
            if not model.digest or not model.epoch or not batch.feature_digest:
                self._problem(f"batch {batch.flow.first}-{batch.flow.last}: decided by nobody")
        proposed = np.flatnonzero(batch.action_index)
        for i in proposed[np.isin(batch.verdict[proposed], DISPATCHED)].tolist():
            key = (int(batch.rows.sequence[i]), int(batch.rows.sample[i]))
            action = batch.action[batch.action_index[i] - 1]
            if key[0] < begin or key in self._seen or action == KEEP:
                continue
            self._awaited[key] = (batch.rows.element[batch.rows.element_index[i]], action)
        self._note_approvals(batch)
        while len(self._awaited) > self._max_open:
            self._missing += 1
            self._problem(f"action of row {_name(self._awaited.popitem(last=False)[0])}: not sent")

    def _note_approvals(self, batch: Verdicts) -> None:
        """People let these go out; their rows were judged before, perhaps out of view."""
        for end in batch.released:
            if (
                end.outcome is Outcome.APPROVED
                and (key := key_of(end.hold.decision)) not in self._seen
            ):
                self._awaited[key] = (end.hold.element, end.hold.action)

    def _give_up(self, sequence: int, entry: _Open) -> None:
        self._lost += entry.left
        self._problem(f"report {sequence}: {entry.left} of {entry.rows} row(s) lost")

    def _open_problems(self) -> list[str]:
        first = list(self._open.items())[:MAX_PROBLEMS]
        lost = [f"report {s}: {e.left} of {e.rows} row(s) lost" for s, e in first]
        keys = list(self._awaited)[:MAX_PROBLEMS]
        return [*lost, *(f"action of row {_name(key)}: not sent" for key in keys)]

    def _problem(self, text: str) -> None:
        if len(self._problems) < MAX_PROBLEMS:
            self._problems.append(text)


def key_of(decision: str) -> RowKey:
    """The row that `<pipeline>.<METRICS sequence>.<sample>` names."""
    _, sequence, sample = decision.rsplit(".", 2)
    return int(sequence), int(sample)


def _name(key: RowKey) -> str:
    return f"{key[0]}.{key[1]}"
