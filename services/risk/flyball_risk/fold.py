"""The fold DECISIONS, with people's answers between them, to VERDICTS of one pipeline and partition."""

from collections.abc import Callable

import numpy as np

from flyball_kit.fold import Input, Output
from flyball_proto.columns import decode_decisions, encode_verdicts
from flyball_proto.headers import CHANGES, COVERS
from flyball_proto.streams import BATCH_BYTES
from flyball_risk.answering.answers import take_order
from flyball_risk.judging.batches import Judged, Words, assemble, judge_batch
from flyball_risk.judging.frame import Frame
from flyball_risk.judging.partition import Changes, Partition

ROW_BYTES = 12
"""What a verdict adds to a decision."""

CHANGE_BYTES = 512
"""What a hold that opens or ends takes, at most about; what stands beside one as much again."""

MAX_PROPOSALS = 500
"""Judged in one go, some 30 ms; then the output ends, so that a stop never waits behind a backlog."""

ANSWERS = ".answers"
"""How the subject of people's answers ends."""


class RiskFold:
    """Judges decisions in order; implements `flyball_kit.fold.Fold`.

    All rows of one output are judged under one frame and one stop order: a new revision counts
    from the next output on. An answer ends its output, so that nobody waits for more. The state
    depends on what was dispatched before without end, so its snapshots are durable
    (`FoldOptions.durable_state`) and `since` has nothing to say.
    """

    def __init__(self, frame: Callable[[Partition], Frame]) -> None:
        self._newest_frame = frame
        self._partition = Partition()
        self._frame = frame(self._partition)
        self._stop_revision = 0
        self._parts: list[Judged] = []
        self._words = Words()
        self._bytes = self._proposals = 0
        self._is_empty = True

    def step(self, message: Input) -> bool:
        """Judge one batch; True = large enough, or a mark, an answer or a stop must end it."""
        partition = self._partition
        if self._is_empty:
            self._frame = self._newest_frame(partition)
            self._stop_revision = partition.stop_revision
            self._is_empty = False
        if message.subject.endswith(ANSWERS):
            take_order(message.data, message.sequence, partition, self._frame)
            if not self._parts:
                self._stop_revision = partition.stop_revision
            return True
        batch = decode_decisions(message.data)
        stored_ms = message.time_ns // 1_000_000
        judged = judge_batch(batch, self._frame, partition, self._words, stored_ms)
        self._parts.append(judged)
        if batch.flow.tick_ms:
            partition.tick(batch.flow.tick_ms, self._frame.policy)
        self._bytes += len(message.data) + ROW_BYTES * len(batch.rows)
        changes = partition.changes
        size = self._bytes + CHANGE_BYTES * (len(changes) + len(changes.context))
        self._proposals += int(np.count_nonzero(batch.action_index))
        is_large = size >= BATCH_BYTES or self._proposals >= MAX_PROPOSALS
        return is_large or batch.flow.mark is not None

    def tick(self, now_ms: int) -> None:
        """Time reaches this fold as messages only."""

    def take(self) -> Output | None:
        """Everything judged since the last take."""
        if self._is_empty:
            return None
        changes = self._partition.changes
        batch = assemble(self._parts, self._words, self._frame, self._stop_revision, changes)
        self._parts, self._words = [], Words()
        self._bytes = self._proposals = 0
        self._partition.changes, self._is_empty = Changes(), True
        flow = batch.flow
        headers = {COVERS: f"{flow.origin} {flow.first} {flow.last}"} if flow.origin else {}
        if changes:
            headers[CHANGES] = str(len(changes))
        return Output(
            encode_verdicts(batch),
            headers,
            rows=len(batch.rows),
            mark=flow.mark.id if flow.mark else None,
        )

    def since(self) -> int | None:
        """Nothing: the durable snapshot and what follows it are enough, see the class."""
        return None

    def dump(self) -> bytes:
        """The state; see `Partition`."""
        return self._partition.dump()

    def load(self, data: bytes) -> None:
        """Become the state that `dump` gave."""
        self._partition = Partition.load(data)
