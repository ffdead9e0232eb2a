"""Whether the scores of the active model moved, as ADWIN sees in the mean of each block.

Another model begins anew, as its scores differ without any change in the world; so a model that is
refreshed sooner than `drift.PILOT` blocks is not looked at. Where the source has a season, the mean
of a block is compared with the usual one of its part, as three whole seasons of this model showed it.
"""

from collections.abc import Sequence
from typing import Self

import numpy as np

from flyball_proto.events import Wire
from flyball_registry.evidence import drift
from flyball_registry.evidence.blocks import Sums
from flyball_registry.evidence.design import Floats
from flyball_registry.evidence.reference import SEASONS
from flyball_registry.evidence.seasons import Usual


class Means(Wire):
    """Block means of one model's scores since they last changed; under 12 kB as JSON."""

    digest: str = ""
    sums: Sums = Sums()
    first_ms: int = -1  # start of its first block
    usual: Usual | None = None
    values: tuple[float, ...] = ()

    def of(self, digest: str) -> Self:
        """The same model's, or another one's with nothing in it."""
        return self if self.digest == digest else type(self)(digest=digest)

    def gather(self, score: Floats, start_ms: int) -> Self:
        """Take scores of a block: (n,), or (n, classes), of which the largest of a row counts."""
        said = score if score.ndim == 1 else score.max(axis=1)
        said = said[np.isfinite(said)]
        if not len(said):
            return self
        return self.model_copy(
            update={
                "sums": self.sums.add(np.ones(len(said)), said),
                "first_ms": start_ms if self.first_ms < 0 else self.first_ms,
            }
        )

    def close(
        self, end_ms: int, block_ms: int, season_ms: int, least: int
    ) -> tuple[Self, float | None]:
        """The block ended; its mean, or how far that is from the usual one. None = not known."""
        if self.sums.rows < least:
            return self, None
        mean, _ = self.sums.means
        closed = self.model_copy(update={"sums": Sums()})
        if not season_ms:
            return closed, mean
        usual = self.usual or Usual.of(season_ms, block_ms)
        part = usual.part(end_ms, season_ms)
        if end_ms - self.first_ms <= SEASONS * season_ms:
            return closed.model_copy(update={"usual": usual.add(part, mean)}), None
        return closed, mean - usual.mean[part] if usual.visits[part] else None

    def heard(self, values: Sequence[float]) -> tuple[Self, tuple[drift.Change, ...]]:
        """Take what blocks said; and the changes among it."""
        held, changes = drift.changed(self.values, values)
        return self.model_copy(update={"values": held}), changes
