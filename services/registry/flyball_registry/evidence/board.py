"""The scoreboard: how good each column of scores was, row by row as labels came (prequential).

Each row adds a few numbers to some rows of sums, and `measures` reads those. Rows are added one
after the other, so that cuts do not show.

    whole    every row                        recent   the newest 16 to 20 blocks, in five stretches
    since    since the seat's trainer took it  slices   by value of each declared label, without bins
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Self

import numpy as np
from pydantic import Field, model_validator

from flyball_proto.events import Wire
from flyball_registry.evidence.design import Flags, Floats, Integers, Task
from flyball_registry.evidence.measures import (
    LOSS,
    NOT_FINITE,
    RIGHT,
    ROWS,
    WEIGHT,
    Entries,
    Layout,
    Numbers,
    added,
    begun,
)
from flyball_registry.evidence.slices import MAX_VALUES, POOL, Labelled

STRETCH_BLOCKS: Final = 4
STRETCHES: Final = 5


@dataclass(frozen=True, slots=True)
class Taken:
    """Labelled rows (n,) on their way to the scoreboard.

    `stretch_ms`: start of the stretch of blocks that was reached when the row came. `is_since`:
    decided under the trainer that holds the seat. `oldest_ms`: start of the oldest stretch kept.
    """

    task: Task
    classes: int
    weight: Floats
    label: Floats
    stretch_ms: Integers
    is_since: Flags
    slices: Sequence[Labelled]
    oldest_ms: int

    def column(self, at: Integers, score: Floats, error: Floats) -> "Rows":
        """What these of the rows add to one column."""
        given = self.weight[at], self.label[at], score[at], error[at]
        full, lean = (Layout.of(self.task, self.classes, lean=lean) for lean in (False, True))
        return Rows(
            full.entries(*given),
            lean.entries(*given) if self.slices else None,
            self.stretch_ms[at],
            self.is_since[at],
            [labelled.at(at) for labelled in self.slices],
        )


@dataclass(frozen=True, slots=True)
class Rows:
    """What rows add, and to which sums."""

    full: Entries
    lean: Entries | None
    stretch_ms: Integers
    is_since: Flags
    slices: Sequence[Labelled]


class Score(Wire):
    """Sums of one column: bounded by the classes, five stretches and `MAX_VALUES` slices."""

    whole: Numbers = ()
    since: Numbers = ()
    recent: dict[int, Numbers] = Field(default_factory=dict)  # by start of the stretch
    slices: dict[str, Numbers] = Field(default_factory=dict)  # by `label=value`

    @model_validator(mode="before")
    @classmethod
    def _from_before(cls, found: Any) -> Any:
        """A record written before there were measures: loss and hits go on, the rest begins."""
        if not isinstance(found, Mapping) or "sums" not in found:
            return found
        sums = {"rows": 0, "weight": 0.0, "first": 0.0, "second": 0.0} | found["sums"]
        bad = found.get("not_finite", 0)
        return {"whole": (sums["rows"], bad, sums["weight"], sums["first"], sums["second"])}

    def add(self, rows: Rows) -> Self:
        """Take the rows (n,) that the column has a score for, in order."""
        starts, stretch = np.unique(rows.stretch_ms, return_inverse=True)
        every, since = np.arange(len(rows.stretch_ms)), np.flatnonzero(rows.is_since)
        before = [self.whole, self.since, *(self.recent.get(s, ()) for s in starts.tolist())]
        whole, ours, *recent = added(
            before,
            rows.full.take(np.concatenate((every, since, every))),
            np.concatenate((every * 0, since * 0 + 1, stretch + 2)),
        )
        update = {
            "whole": whole,
            "since": ours if len(since) else self.since,
            "recent": self.recent | dict(zip(starts.tolist(), recent, strict=True)),
            "slices": self._sliced(rows),
        }
        return self.model_copy(update=update)

    def kept(self, oldest_ms: int) -> Self:
        """Without stretches that began earlier."""
        if all(start >= oldest_ms for start in self.recent):
            return self
        recent = {start: sums for start, sums in self.recent.items() if start >= oldest_ms}
        return self.model_copy(update={"recent": recent})

    def under(self, task: Task, classes: int) -> Self:
        """The sums under a design of this task; sums of other classes begin anew."""
        full, lean = (Layout.of(task, classes, lean=lean) for lean in (False, True))
        fits = all(begun(sums, full) for sums in (self.whole, self.since))
        fits = fits and all(begun(sums, lean) for sums in self.slices.values())
        return self.model_copy(update={"recent": {}}) if fits else type(self)()

    @property
    def rows(self) -> int:
        """Rows that count in the means."""
        return int(self.whole[ROWS]) if self.whole else 0

    @property
    def not_finite(self) -> int:
        """Rows without a finite score."""
        return int(self.whole[NOT_FINITE]) if self.whole else 0

    def loss(self) -> float | None:
        """Mean Brier loss, or mean absolute error in the label's unit; None = no rows."""
        return self.whole[LOSS] / self.whole[WEIGHT] if self.rows else None

    def accuracy(self, task: Task) -> float | None:
        """Share of right answers; None for regression and without rows."""
        return (
            self.whole[RIGHT] / self.whole[WEIGHT] if self.rows and task != "regression" else None
        )

    @property
    def latest(self) -> Numbers:
        """The sums over all recent stretches together."""
        parts = [self.recent[start] for start in sorted(self.recent)]
        return tuple(np.sum(parts, axis=0).tolist()) if parts else ()

    def _sliced(self, rows: Rows) -> dict[str, Numbers]:
        if rows.lean is None:
            return self.slices
        grown, most = dict(self.slices), MAX_VALUES // max(1, len(rows.slices))
        for labelled in rows.slices:
            keys, group = _by_value(grown, labelled, most)
            before = [grown.get(key, ()) for key in keys]
            grown |= dict(zip(keys, added(before, rows.lean, group), strict=True))
        return grown


def _by_value(
    known: Mapping[str, Numbers], labelled: Labelled, most: int
) -> tuple[list[str], Integers]:
    """Keys, and which of them each row has; values beyond `most`, in order of appearance, are pooled."""
    own, pool = f"{labelled.label}=", f"{labelled.label}={POOL}"
    told = sum(key.startswith(own) and key != pool for key in known)
    codes, first, place = np.unique(labelled.code, return_index=True, return_inverse=True)
    group, keys = np.empty(len(codes), np.int64), dict[str, int]()
    for at in np.argsort(first).tolist():
        key = own + labelled.values[codes[at]]
        if key not in known and told >= most:
            key = pool
        told += key not in known and key != pool
        group[at] = keys.setdefault(key, len(keys))
    return list(keys), group[place]
