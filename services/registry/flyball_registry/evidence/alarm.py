"""The newest blocks against the usual: when the martingale alarms, and which features moved then."""

from typing import Final, Self

import numpy as np

from flyball_proto.events import Wire
from flyball_registry.evidence import shift
from flyball_registry.evidence.design import Integers
from flyball_registry.evidence.martingale import Jumper
from flyball_registry.evidence.packing import packed, unpacked
from flyball_registry.evidence.reference import COUNTS_KIND
from flyball_registry.evidence.shift import BINS, Shift

CALM_BLOCKS: Final = 30
CHUNK_BLOCKS: Final = 8
ASKED_BLOCKS: Final = 2 * CHUNK_BLOCKS


class Chunk(Wire):
    """Counts of some neighbouring blocks, at most `CHUNK_BLOCKS`."""

    held: str  # packed (width, BINS)
    rows: tuple[int, ...]  # by part of the season
    blocks: int = 1

    @property
    def counts(self) -> Integers:
        """Rows by feature and bin."""
        return unpacked(self.held, COUNTS_KIND, -1, BINS).astype(np.int64)

    def take(self, other: "Chunk") -> "Chunk":
        """Both together."""
        return Chunk(
            held=packed(self.counts + other.counts, COUNTS_KIND),
            rows=tuple(a + b for a, b in zip(self.rows, other.rows, strict=True)),
            blocks=self.blocks + other.blocks,
        )


class Alarm(Wire):
    """The martingale, the newest blocks, and the design effects of calm ones; under 25 kB as JSON."""

    jumper: Jumper = Jumper()
    effect: tuple[float, ...] = ()  # sums over calm blocks, by feature
    calm: int = 0  # blocks in `effect`
    chunks: tuple[Chunk, ...] = ()  # at most two
    asked: int = 0  # blocks for which the alarm still counts

    def take(self, counts: Integers, usual: Integers, part: int, end_ms: int) -> Self:
        """One more block: its counts (features, BINS), the usual ones by part, and its part."""
        in_use = (usual.sum(axis=0) + counts) > 0
        strange = shift.strangeness(shift.shares(usual[part]), counts, in_use)
        jumper = self.jumper.take(float(strange.mean()), end_ms, part, len(usual))
        asked = self.asked or (ASKED_BLOCKS if jumper.alarms else 0)
        update: dict[str, object] = {"jumper": jumper, "asked": asked}
        update["chunks"] = self._chunks(counts, part, len(usual))
        if self.calm < CALM_BLOCKS and not self.asked:
            before = np.array(self.effect) if self.effect else np.zeros(len(strange))
            update |= {"effect": tuple((before + strange).tolist()), "calm": self.calm + 1}
        return self.model_copy(update=update)

    def shifts(self, usual: Integers) -> tuple[Shift, ...]:
        """Features that drifted in the newest blocks, against the usual of their parts."""
        now = np.sum([chunk.counts for chunk in self.chunks], axis=0)
        rows = np.array([chunk.rows for chunk in self.chunks]).sum(axis=0)
        weight = rows / rows.sum()
        noise = float((weight**2 / np.maximum(1, usual[:, 0].sum(axis=1))).sum())
        return shift.shifted(
            np.tensordot(weight, shift.shares(usual), axes=1),
            1 / noise,
            now,
            np.array(self.effect) / max(1, self.calm),
            (usual.sum(axis=0) + now) > 0,
        )

    def passed(self) -> Self:
        """A block went by and nothing important drifted; at the end of the alarm bets begin anew."""
        if not self.asked:
            return self
        jumper = self.jumper if self.asked > 1 else self.jumper.again()
        return self.model_copy(update={"asked": self.asked - 1, "jumper": jumper})

    def _chunks(self, counts: Integers, part: int, parts: int) -> tuple[Chunk, ...]:
        rows = [0] * parts
        rows[part] = int(counts[0].sum())
        block = Chunk(held=packed(counts, COUNTS_KIND), rows=tuple(rows))
        if not self.chunks or self.chunks[-1].blocks >= CHUNK_BLOCKS:
            return (*self.chunks, block)[-2:]
        return (*self.chunks[:-1], self.chunks[-1].take(block))
