"""The reviews of all pipelines: which are kept, who answered, what labels said. KV `reviews`.

Bounds, of a pipeline: `MAX_OPEN` open reviews, the oldest expire; `KEPT` ended ones, the oldest are
removed; `MAX_POOLED` decisions that may be asked about later, the oldest are forgotten. Together
`MAX_RECORDS` records; while there are as many nothing is drawn. A restart forgets what labels said
about open reviews until it has read the samples that are kept again.
"""

import logging
from collections import OrderedDict
from collections.abc import Callable
from contextlib import aclosing
from typing import Final

from nats.aio.client import Client

from flyball_kit import clock
from flyball_kit.kv import Kv, LostRaceError
from flyball_proto.reviews import MAX_OPEN, AnswerReview, Review
from flyball_risk.reviewing.drawing import RECORDS, is_drawn, subject_of
from flyball_risk.reviewing.truths import Truth

MAX_RECORDS: Final = 8000
MAX_POOLED: Final = 1000
KEPT: Final = 1000

log = logging.getLogger("flyball.risk.reviews")


class Desk:
    """Start `follow` as a task; `seeded_share` is the part of open reviews known to be wrong."""

    def __init__(
        self, records: Kv[Review], client: Callable[[], Client], key: str, seeded_share: float
    ) -> None:
        self._records, self._client = records, client
        self._key, self.seeded_share = key, seeded_share
        self._known: dict[str, Review] = {}
        self._truths: dict[str, Truth] = {}
        self._pools: dict[str, OrderedDict[str, Review]] = {}
        self._open_seeds: set[str] = set()

    @property
    def is_full(self) -> bool:
        """Whether no further review may be recorded."""
        return len(self._known) >= MAX_RECORDS

    async def follow(self) -> None:
        """Keep up with the bucket, for ever."""
        async with aclosing(self._records.watch()) as changes:
            async for change in changes:
                if change.value is None:
                    self._forget(change.key)
                else:
                    self._note(change.value)

    def of(self, pipeline: str) -> list[Review]:
        """Reviews of a pipeline, oldest first."""
        found = [review for review in self._known.values() if review.pipeline == pipeline]
        return sorted(found, key=lambda review: (review.opened_at, review.id))

    def pooled(self, review: Review) -> None:
        """A decision that was not drawn; it may be asked about once it is known to be wrong."""
        pool = self._pools.setdefault(review.pipeline, OrderedDict())
        pool[review.id] = review
        if len(pool) > MAX_POOLED:
            pool.popitem(last=False)

    async def told(self, pipeline: str, decision: str, truth: Truth) -> None:
        """A label came. A wrong decision of the pool may be asked about; nobody is told which."""
        pool = self._pools.get(pipeline)
        seed = None if pool is None else pool.pop(decision, None)
        known = self._known.get(decision)
        if known is not None:
            self._truths[decision] = truth
            if known.state == "answered" and known.truth is None:
                await self._change(known, truth=truth)
        elif seed is not None and truth == "wrong" and self._wants_seed(pipeline):
            self._truths[decision] = truth
            await self._add(seed)

    async def answer(self, command: AnswerReview) -> Review | None:
        """Take an answer; returns the review as it was found when it is not open, or None.

        Raises:
            LostRaceError: somebody else answered in this very moment.
        """
        found, revision = await self._records.load(command.id)
        if found is None or found.state != "open":
            return found
        seeded = not is_drawn(self._key, found.share, found.id)
        answered = found.model_copy(
            update={
                "state": "answered",
                "answer": command.answer,
                "answered_by": command.by,
                "answered_why": command.why,
                "answered_at": clock.utc_now(),
                "truth": self._truths.get(found.id, "wrong" if seeded else None),
                "seeded": seeded,
            }
        )
        await self._records.save(found.id, answered, revision=revision)
        self._note(answered)
        return answered

    async def trim(self, pipeline: str) -> None:
        """Let the oldest open reviews expire, and remove the oldest ended ones, beyond the bounds."""
        found = self.of(pipeline)
        opened = [review for review in found if review.state == "open"]
        for review in opened[: max(0, len(opened) - MAX_OPEN)]:
            why = f"{MAX_OPEN} newer ones are open"
            await self._change(review, state="expired", answered_why=why)
        ended = [review for review in found if review.state != "open"]
        js = self._client().jetstream()
        for review in ended[: max(0, len(ended) - KEPT)]:
            await js.purge_stream(RECORDS, subject=subject_of(review.id))
            self._forget(review.id)

    def leave(self, pipeline: str) -> None:
        """A pipeline is gone; its records stay as they are."""
        self._pools.pop(pipeline, None)

    def _note(self, review: Review) -> None:
        self._known[review.id] = review
        if review.state == "open" and not is_drawn(self._key, review.share, review.id):
            self._open_seeds.add(review.id)
        else:
            self._open_seeds.discard(review.id)

    def _forget(self, review: str) -> None:
        self._known.pop(review, None)
        self._truths.pop(review, None)
        self._open_seeds.discard(review)

    def _wants_seed(self, pipeline: str) -> bool:
        """One more known wrong one keeps their share of the open reviews."""
        opened = [
            r.id for r in self._known.values() if r.pipeline == pipeline and r.state == "open"
        ]
        seeds = len(self._open_seeds.intersection(opened))
        room = not self.is_full and len(opened) < MAX_OPEN
        return room and seeds + 1 <= self.seeded_share * (len(opened) + 1)

    async def _add(self, review: Review) -> None:
        try:
            await self._records.save(review.id, review, revision=0)
        except LostRaceError:
            return  # it was asked about before and removed since
        self._note(review)

    async def _change(self, review: Review, **update: str) -> None:
        """Change a record as it is now; what somebody else just changed stays for another time."""
        found, revision = await self._records.load(review.id)
        if found is None or found.state != review.state:
            return
        changed = found.model_copy(update=update)
        try:
            await self._records.save(found.id, changed, revision=revision)
        except LostRaceError:
            return
        self._note(changed)
