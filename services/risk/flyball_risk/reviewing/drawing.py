"""Which decisions people are asked about afterwards: drawn by a keyed hash of the decision alone. Pure.

Whoever has the key can tell afterwards whether a decision was drawn, and nobody else beforehand.
What was withheld at random is drawn like what went out: it would have, and its label says whether
that was right.

Bounds: `MAX_A_MINUTE` reviews of a pipeline in a minute; further ones are not asked about.
"""

from collections.abc import Callable, Iterator
from datetime import UTC, datetime
from typing import Final

import numpy as np

from flyball_kit.fold import Dispatch, Input
from flyball_proto import sticky, streams
from flyball_proto.columns import Category, Verdict, Verdicts, decode_verdicts
from flyball_proto.reviews import Review
from flyball_risk.judging.recent import labels_of

RECORDS: Final = f"KV_{streams.REVIEWS.name}"
REVIEWED: Final = (Verdict.CLEAR, Verdict.NOTIFY, Verdict.WITHHOLD, Verdict.DENY)
POOL_SHARE: Final = 0.05
"""Of decisions that were not drawn: those that may be asked about once they are known to be wrong."""
MAX_A_MINUTE: Final = 120


def subject_of(review: str) -> str:
    """Where a review is stored."""
    return f"$KV.{streams.REVIEWS.name}.{review}"


def is_drawn(key: str, share: float, decision: str) -> bool:
    """Whether people are asked about a decision."""
    return sticky.fraction(key, "review", decision) < share


def is_pooled(key: str, decision: str) -> bool:
    """Whether a decision may be asked about, once it is known to be wrong."""
    return sticky.fraction(key, "seed", decision) < POOL_SHARE


class Drawing:
    """Draws of one pipeline's verdicts; its only state counts the minute that is drawn from.

    `share` is asked at each message; `pooled` hears what may be asked about later; while `is_full`
    says so nothing is drawn.
    """

    def __init__(
        self,
        key: str,
        share: Callable[[], float],
        pooled: Callable[[Review], None],
        is_full: Callable[[], bool],
    ) -> None:
        self._key, self._share, self._pooled, self._is_full = key, share, pooled, is_full
        self._minute = self._in_minute = 0
        self.dropped = 0

    def route(self, message: Input) -> list[Dispatch]:
        """A record in KV `reviews` for every decision that is drawn."""
        share = self._share()
        if not message.data or share <= 0:
            return []
        batch, found = decode_verdicts(message.data), list[Dispatch]()
        at_ms = message.time_ns // 1_000_000
        partition = int(message.subject.rsplit(".", 1)[1])
        for i in _reviewed(batch):
            decision = f"{batch.pipeline}.{batch.rows.sequence[i]}.{batch.rows.sample[i]}"
            drawn = is_drawn(self._key, share, decision)
            if not drawn and not is_pooled(self._key, decision):
                continue
            review = _review(batch, i, decision, partition, at_ms, share)
            if not drawn:
                self._pooled(review)
            elif self._has_room(at_ms):
                data = review.model_dump_json().encode()
                found.append(Dispatch(subject_of(decision), (message.sequence, i), data))
        return found

    def _has_room(self, at_ms: int) -> bool:
        minute = at_ms // 60_000
        if minute != self._minute:
            self._minute, self._in_minute = minute, 0
        if self._in_minute >= MAX_A_MINUTE or self._is_full():
            self.dropped += 1
            return False
        self._in_minute += 1
        return True


def _reviewed(batch: Verdicts) -> Iterator[int]:
    proposing = (batch.action_index > 0) & np.isin(batch.verdict, REVIEWED)
    yield from np.flatnonzero(proposing).tolist()


def _review(
    batch: Verdicts, i: int, decision: str, partition: int, at_ms: int, share: float
) -> Review:
    rows, model = batch.rows, batch.model[int(batch.model_index[i])]
    element = int(rows.element_index[i])
    return Review(
        id=decision,
        pipeline=batch.pipeline,
        partition=partition,
        element=rows.element[element],
        labels=dict(labels_of(rows.label_set[int(rows.label_index[element])])),
        action=batch.action[int(batch.action_index[i]) - 1],
        score=float(batch.score[i]),
        risk=float(batch.risk[i]),
        category=Category(batch.category[i]).name.lower(),
        verdict=Verdict(batch.verdict[i]).name.lower(),
        reason=("", *batch.reason)[int(batch.reason_index[i])],
        model=model.digest,
        trainer=model.trainer,
        epoch=model.epoch,
        time_ms=int(rows.time_ms[i]),
        share=share,
        opened_at=datetime.fromtimestamp(at_ms / 1000, UTC),
    )
