"""What features used to look like: bins from a pilot, and how many rows fell into each, by season."""

from typing import Final, Self

import numpy as np

from flyball_proto.events import Wire
from flyball_registry.evidence import shift
from flyball_registry.evidence.design import Floats, Integers
from flyball_registry.evidence.packing import packed, unpacked

PILOT_ROWS: Final = 128
PILOT_BLOCKS: Final = 5
LEAST_PILOT_ROWS: Final = 50
BLOCKS: Final = 30
SEASONS: Final = 3
MAX_PARTS: Final = 24
ROWS_KIND, COUNTS_KIND = "<f4", "<u4"


def parts_of(season_ms: int, block_ms: int) -> int:
    """A season has as many parts as it has blocks, at most 24; none has one."""
    return max(1, min(MAX_PARTS, season_ms // block_ms))


def part_of(end_ms: int, season_ms: int, parts: int) -> int:
    """The part of the season in which a block that ends then lies."""
    return (end_ms - 1) % season_ms * parts // season_ms if season_ms else 0


class Pilot(Wire):
    """Rows from which bins are made: at most `PILOT_ROWS`, evenly from all that came.

    At the bound every second one is dropped and only every second further one is taken.
    """

    width: int
    held: str = ""  # packed (rows, width)
    stride: int = 1
    seen: int = 0
    blocks: int = 0

    @property
    def rows(self) -> Floats:
        """The rows, f32 (rows, width)."""
        return unpacked(self.held, ROWS_KIND, -1, self.width)

    def gather(self, rows: Floats) -> Self:
        """Take rows (n, width)."""
        stride = self.stride
        held = np.concatenate([self.rows, rows[-self.seen % stride :: stride]])
        while len(held) > PILOT_ROWS:
            held, stride = held[::2], 2 * stride
        return self.model_copy(
            update={
                "held": packed(held, ROWS_KIND),
                "stride": stride,
                "seen": self.seen + len(rows),
            }
        )

    def close(self) -> Self:
        """A block ended."""
        return self.model_copy(update={"blocks": self.blocks + 1})

    def is_whole(self, took_ms: int, season_ms: int) -> bool:
        """Whether bins can be made of it; it covers a season where there is one."""
        enough = self.blocks >= PILOT_BLOCKS and self.seen >= LEAST_PILOT_ROWS
        return enough and took_ms >= season_ms


class Reference(Wire):
    """Counts by part of the season, feature and bin, of `BLOCKS` blocks or `SEASONS` seasons."""

    width: int
    cuts: str  # packed (width, shift.CUTS)
    held: str  # packed (parts, width, shift.BINS)
    visits: tuple[int, ...]  # seasons in which each part was seen
    latest: tuple[int, ...]  # the last of them
    since_ms: int
    blocks: int = 0

    @classmethod
    def of(cls, pilot: Pilot, season_ms: int, block_ms: int, since_ms: int) -> Self:
        """Bins and nothing in them."""
        parts = parts_of(season_ms, block_ms)
        return cls(
            width=pilot.width,
            cuts=packed(shift.cuts(pilot.rows), ROWS_KIND),
            held=packed(np.zeros((parts, pilot.width, shift.BINS)), COUNTS_KIND),
            visits=(0,) * parts,
            latest=(-1,) * parts,
            since_ms=since_ms,
        )

    @property
    def parts(self) -> int:
        """Of a season."""
        return len(self.visits)

    @property
    def ends(self) -> Floats:
        """Upper ends of the bins, f32 (width, CUTS)."""
        return unpacked(self.cuts, ROWS_KIND, self.width, shift.CUTS)

    @property
    def counts(self) -> Integers:
        """Rows, (parts, width, BINS)."""
        held = unpacked(self.held, COUNTS_KIND, self.parts, self.width, shift.BINS)
        return held.astype(np.int64)

    def take(self, counts: Integers, end_ms: int, season_ms: int) -> Self:
        """One block's counts (width, BINS)."""
        part = part_of(end_ms, season_ms, self.parts)
        held, visits, latest = self.counts, list(self.visits), list(self.latest)
        held[part] += counts
        season = (end_ms - 1) // season_ms if season_ms else self.blocks
        if season > latest[part]:
            visits[part], latest[part] = visits[part] + 1, season
        return self.model_copy(
            update={
                "held": packed(held, COUNTS_KIND),
                "visits": tuple(visits),
                "latest": tuple(latest),
                "blocks": self.blocks + 1,
            }
        )

    def is_whole(self, end_ms: int, season_ms: int) -> bool:
        """Whether blocks can be compared with it."""
        return self.blocks >= BLOCKS and end_ms - self.since_ms >= SEASONS * season_ms

    def usual(self) -> Integers:
        """Counts to compare each part with: its own after three visits, else all parts' together."""
        counts = self.counts
        few = np.array(self.visits) < SEASONS
        counts[few] = counts.sum(axis=0)
        return counts
