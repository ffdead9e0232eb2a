"""Whether features moved: the martingale says that something did, the stability index says which.

    pilot       5 blocks (and a season): rows that say where bins lie
    reference   30 blocks (or 3 seasons): what is usual in them, by part of the season
    looking     each block's distance from the usual goes to the martingale. When it alarms, the newest
                8 to 16 blocks are compared feature by feature, for the next 16 blocks; if an important
                feature drifted it is told and everything begins anew, else the martingale does

Blocks are told by counts alone, so it does not matter how their rows are cut into calls.
"""

from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from flyball_proto.events import Wire
from flyball_registry.evidence import shift
from flyball_registry.evidence.alarm import Alarm
from flyball_registry.evidence.design import Floats, Integers
from flyball_registry.evidence.packing import packed, unpacked
from flyball_registry.evidence.reference import (
    COUNTS_KIND,
    Pilot,
    Reference,
    part_of,
    parts_of,
)
from flyball_registry.evidence.shift import BINS, Shift

MAX_FEATURES: Final = 64
MAX_CELLS: Final = 24 * 32
"""Features times parts of the season: with 24 parts 32 features are watched."""
CARRIED: Final = 0.9


@dataclass(frozen=True, slots=True)
class Season:
    """How blocks and seasons lie, and how many rows make a block; `season_ms` 0 = none."""

    block_ms: int
    season_ms: int
    least_rows: int


class Moving(Wire):
    """The features of one stream; under 85 kB as JSON."""

    watched: tuple[int, ...] = ()  # positions among all features
    pilot: Pilot | None = None
    reference: Reference | None = None
    is_whole: bool = False  # the reference
    first_ms: int = -1
    held: str = ""  # packed counts of the open block
    rows: int = 0  # in the open block
    alarm: Alarm = Alarm()

    def gather(
        self, rows: Floats, start_ms: int, importance: tuple[float, ...], season: Season
    ) -> Self:
        """Take a block's rows f32 (n, features)."""
        if not self.watched:
            begun = self._begun(start_ms, rows.shape[1], importance, season)
            return begun.gather(rows, start_ms, importance, season)
        own = rows[:, self.watched]
        update: dict[str, object] = {"rows": self.rows + len(rows)}
        if self.pilot is not None:
            update["pilot"] = self.pilot.gather(own)
        elif self.reference is not None:
            counted = self._open() + shift.counts(self.reference.ends, own)
            update["held"] = packed(counted, COUNTS_KIND)
        return self.model_copy(update=update)

    def close(
        self, end_ms: int, important: frozenset[int], season: Season
    ) -> tuple[Self, tuple[Shift, ...]]:
        """The block ended, unless it has too few rows; features that drifted, named as in `rows`.

        When any is given, nothing of what was known counts further: go on with a new one.
        """
        if self.rows < season.least_rows:
            return self, ()
        update: dict[str, object] = {"rows": 0, "held": ""}
        found: tuple[Shift, ...] = ()
        if self.reference is None:
            update |= self._piloted(end_ms, season)
        elif not self.is_whole:
            reference = self.reference.take(self._open(), end_ms, season.season_ms)
            update["reference"] = reference
            update["is_whole"] = reference.is_whole(end_ms, season.season_ms)
        else:
            update["alarm"], found = self._looked(self.reference, end_ms, important, season)
        return self.model_copy(update=update), found

    def _begun(
        self, start_ms: int, width: int, importance: tuple[float, ...], season: Season
    ) -> Self:
        parts = parts_of(season.season_ms, season.block_ms)
        watched = most_important(importance, width, min(MAX_FEATURES, MAX_CELLS // parts))
        begun = Pilot(width=len(watched))
        return self.model_copy(update={"watched": watched, "pilot": begun, "first_ms": start_ms})

    def _piloted(self, end_ms: int, season: Season) -> dict[str, object]:
        pilot = (self.pilot or Pilot(width=len(self.watched))).close()
        if not pilot.is_whole(end_ms - self.first_ms, season.season_ms):
            return {"pilot": pilot}
        begun = Reference.of(pilot, season.season_ms, season.block_ms, end_ms)
        return {"pilot": None, "reference": begun}

    def _looked(
        self, reference: Reference, end_ms: int, important: frozenset[int], season: Season
    ) -> tuple[Alarm, tuple[Shift, ...]]:
        usual = reference.usual()
        part = part_of(end_ms, season.season_ms, reference.parts)
        alarm = self.alarm.take(self._open(), usual, part, end_ms)
        found = [
            Shift(self.watched[one.feature], one.psi, one.chance)
            for one in (alarm.shifts(usual) if alarm.asked else ())
        ]
        told = any(one.feature in important for one in found)
        return alarm.passed(), tuple(found) if told else ()

    def _open(self) -> Integers:
        if not self.held:
            return np.zeros((len(self.watched), BINS), np.int64)
        return unpacked(self.held, COUNTS_KIND, -1, BINS).astype(np.int64)


def most_important(importance: tuple[float, ...], width: int, most: int) -> tuple[int, ...]:
    """The features to watch, in order of position: the most important; the first if nobody knows."""
    known = importance if len(importance) == width else (0.0,) * width
    order = sorted(range(width), key=lambda i: (-known[i], i))
    return tuple(sorted(order[:most]))


def important(importance: tuple[float, ...], width: int) -> frozenset[int]:
    """The fewest features that carry nine tenths of the importance; all if nobody knows."""
    whole = sum(importance)
    if len(importance) != width or not whole > 0:
        return frozenset(range(width))
    found, carried = set[int](), 0.0
    for i in sorted(range(width), key=lambda i: (-importance[i], i)):
        if carried >= CARRIED * whole:
            break
        found.add(i)
        carried += importance[i]
    return frozenset(found)
