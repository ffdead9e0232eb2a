"""The fold DECISIONS to VERDICTS of one pipeline and partition."""

from collections.abc import Callable

from flyball_kit.fold import Input, Output
from flyball_proto.columns import decode_decisions, encode_verdicts
from flyball_proto.headers import COVERS
from flyball_proto.streams import BATCH_BYTES
from flyball_risk.judging import Judged, Words, assemble, judge_batch
from flyball_risk.policy import Policy
from flyball_risk.state import Recent

ROW_BYTES = 12
"""What a verdict adds to a decision."""


class RiskFold:
    """Judges decisions in order; implements `flyball_kit.fold.Fold`.

    All rows of one output are judged under one policy: a new revision counts from the next output
    on. The state depends on what was dispatched before without end, so its snapshots are durable
    (`FoldOptions.durable_state`) and `since` has nothing to say.
    """

    def __init__(self, policy: Callable[[], Policy]) -> None:
        self._newest_policy = policy
        self._policy = policy()
        self._recent = Recent()
        self._parts: list[Judged] = []
        self._words = Words()
        self._bytes = 0

    def step(self, message: Input) -> bool:
        """Judge one batch; True when the output is large enough or a mark must end it."""
        if not self._parts:
            self._policy = self._newest_policy()
        batch = decode_decisions(message.data)
        self._parts.append(judge_batch(batch, self._policy, self._recent, self._words))
        self._bytes += len(message.data) + ROW_BYTES * len(batch.rows)
        return batch.flow.mark is not None or self._bytes >= BATCH_BYTES

    def tick(self, now_ms: int) -> None:
        """Time reaches this fold as messages only."""

    def take(self) -> Output | None:
        """Everything judged since the last take."""
        if not self._parts:
            return None
        batch = assemble(self._parts, self._words, self._policy)
        self._parts, self._words, self._bytes = [], Words(), 0
        flow = batch.flow
        return Output(
            encode_verdicts(batch),
            {COVERS: f"{flow.origin} {flow.first} {flow.last}"},
            rows=len(batch.rows),
            mark=flow.mark.id if flow.mark else None,
        )

    def since(self) -> int | None:
        """Nothing: the durable snapshot and what follows it are enough, see the class."""
        return None

    def dump(self) -> bytes:
        """The state; see `Recent`."""
        return self._recent.dump()

    def load(self, data: bytes) -> None:
        """Become the state that `dump` gave."""
        self._recent = Recent.load(data)
