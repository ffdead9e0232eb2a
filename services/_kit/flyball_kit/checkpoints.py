"""Signs how far a service's chains reached, so that nobody can shorten them unseen."""

import logging
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from flyball_kit import clock
from flyball_kit.acts import Acts
from flyball_kit.errors import TransientError
from flyball_kit.signing import sign
from flyball_proto.chains import MAX_HEADS, Checkpoint, Head

log = logging.getLogger("flyball.checkpoints")

EVERY_S: Final = 600.0
"""While something is written, a checkpoint is at most so old."""

EVERY_ENTRIES: Final = 10_000
"""And at most so many entries of all chains together are behind it, and what comes in `POLL_S`."""

POLL_S: Final = 5.0


class Checkpoints:
    """Writes checkpoints of a service's acts, and of the outputs that `heads` tells of.

    Without a seed file they are not signed, and say so by having no signature. While the broker is
    away they wait. A service that starts vouches again for what it finds.
    """

    def __init__(
        self,
        acts: Acts,
        seed_file: Path | None,
        heads: Callable[[], Iterable[Head]] = tuple,
    ) -> None:
        self._acts, self._seed_file, self._heads = acts, seed_file, heads
        self._vouched: dict[str, int] = {}  # number by subject, as the next one
        self._seen: dict[str, int] = {}  # from where on entries count
        self._since_s = clock.monotonic_s()

    async def forever(self) -> None:
        """Run until cancelled."""
        while True:
            await clock.sleep(POLL_S)
            try:
                await self.once(clock.monotonic_s())
            except TransientError as error:
                log.info("no checkpoint now: %s", error)

    async def once(self, now_s: float) -> bool:
        """Write a checkpoint if one is due; whether one was.

        Raises:
            TransientError: The broker does not answer; nothing is lost by asking again.
        """
        heads = [await self._acts.head(), *self._heads()]
        self._vouched = {h.subject: self._vouched.get(h.subject, 0) for h in heads}
        self._seen = {h.subject: self._seen.get(h.subject, h.number) for h in heads}
        new = [h for h in heads if h.number > self._vouched[h.subject]]
        entries = sum(h.number - self._seen[h.subject] for h in new)
        if not new or (now_s - self._since_s < EVERY_S and entries < EVERY_ENTRIES):
            return False
        for first in range(0, len(new), MAX_HEADS):
            await self._acts.vouch(self._signed(new[first : first + MAX_HEADS]))
        own = await self._acts.head()
        self._vouched |= {h.subject: h.number for h in [*new, own]}
        self._seen |= self._vouched
        self._since_s = now_s
        return True

    def _signed(self, heads: Sequence[Head]) -> Checkpoint:
        bare = Checkpoint(at=clock.utc_now(), heads=tuple(heads))
        if self._seed_file is None:
            return bare
        signature = sign(self._seed_file, bare.signed())
        return bare.model_copy(update={"signature": signature})
