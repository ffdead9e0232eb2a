"""Layers of drift that need no label: scores, and features. A reason to train, never to roll back.

    score      ADWIN over the mean score of a block, see `means`
    features   a martingale over blocks and the stability of each feature, see `moving`

"Without label" means that none is used: rows come here once theirs is known, so with its delay. Rows
under an action count too. The layers of losses (`drift`) and of harm (`watch`) are the evaluation's.
Cutting rows into calls changes nothing, as in `evaluation.fold`.
"""

from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from flyball_proto.events import Wire
from flyball_registry.evidence.blocks import UNSET, stretches
from flyball_registry.evidence.design import Floats, Integers
from flyball_registry.evidence.means import Means
from flyball_registry.evidence.moving import Moving, Season, important
from flyball_registry.evidence.shift import Shift

Layer = Literal["loss", "harm", "score", "features"]

QUIET_BLOCKS: Final = 30
"""A layer says nothing for so many blocks after it said something."""
MAX_NAMED: Final = 32
"""Features that a finding names; the others are counted."""


@dataclass(frozen=True, slots=True)
class Observed:
    """`n` rows, ordered by (event time, element, sequence)."""

    time_ms: Integers  # (n,)
    known_ms: Integers  # (n,)
    score: Floats  # (n,) or (n, classes), of the active model; NaN = it was not asked
    feature: Floats  # f32 (n, width)


@dataclass(frozen=True, slots=True)
class Surface:
    """What is looked at: features by name, the active model, and what it makes of each feature.

    `importance` is 0 or more each; empty or all 0 = nobody knows, all count alike.
    """

    season: Season
    names: tuple[str, ...]
    digest: str
    importance: tuple[float, ...] = ()


@dataclass(frozen=True, slots=True)
class Noticed:
    """A layer drifted; `features` the most changed first, at most `MAX_NAMED`."""

    on: Layer
    at_ms: int
    detail: str
    features: tuple[str, ...] = ()


class Drifting(Wire):
    """Both layers: under 100 kB as JSON, however many features there are."""

    open_ms: int = UNSET
    since_ms: int = UNSET  # rows decided before are of another world
    scores: Means = Means()
    features: Moving = Moving()

    def again(self, since_ms: int) -> "Drifting":
        """The world is another one from then on: everything begins anew."""
        return Drifting(open_ms=self.open_ms, since_ms=max(since_ms, self.since_ms))


def fold(
    state: Drifting, rows: Observed, clock_ms: int, surface: Surface
) -> tuple[Drifting, tuple[Noticed, ...]]:
    """Take rows, close the blocks that end by `clock_ms`, and say what drifted, oldest first.

    No row may lie after the clock; raises DesignError for one that does.
    """
    run = _Run(state, surface)
    block_ms = surface.season.block_ms
    usable = rows.time_ms >= state.since_ms
    for stretch in stretches(rows, usable, run.open_ms, clock_ms, block_ms):
        run.close_until(stretch.start_ms)
        run.gather(rows, stretch.rows, stretch.start_ms)
    run.close_until(clock_ms // block_ms * block_ms)
    return run.finish()


def may_tell(said_ms: int | None, at_ms: int, block_ms: int) -> bool:
    """Whether a layer that last said something then may say something now."""
    return said_ms is None or at_ms >= said_ms + QUIET_BLOCKS * block_ms


class _Run:
    """One call of `fold`: the state while it changes."""

    def __init__(self, state: Drifting, surface: Surface) -> None:
        self._state, self._surface = state, surface
        self.open_ms = state.open_ms
        self._scores = state.scores.of(surface.digest)
        self._features = state.features
        self._means: list[tuple[int, float]] = []
        self._noticed: list[Noticed] = []

    def gather(self, rows: Observed, at: Integers, start_ms: int) -> None:
        """Take the rows of one block."""
        surface = self._surface
        self._scores = self._scores.gather(rows.score[at], start_ms)
        self._features = self._features.gather(
            rows.feature[at], start_ms, surface.importance, surface.season
        )

    def close_until(self, boundary_ms: int) -> None:
        """Close the open block if it ends by then; what has too few rows goes on."""
        if self.open_ms == UNSET:
            self.open_ms = boundary_ms
        if boundary_ms <= self.open_ms:
            return
        season = self._surface.season
        end_ms = self.open_ms + season.block_ms
        self.open_ms = boundary_ms
        self._scores, mean = self._scores.close(
            end_ms, season.block_ms, season.season_ms, season.least_rows
        )
        if mean is not None:
            self._means.append((end_ms, mean))
        counts = important(self._surface.importance, len(self._surface.names))
        self._features, moved = self._features.close(end_ms, counts, season)
        if moved:
            self._noticed.append(_moved(moved, self._surface.names, end_ms))
            self._features = Moving()

    def finish(self) -> tuple[Drifting, tuple[Noticed, ...]]:
        """The state after the call, and what was noticed by time."""
        scores, changes = self._scores.heard([mean for _, mean in self._means])
        for change in changes:
            self._noticed.append(
                Noticed(
                    "score",
                    self._means[change.index][0],
                    f"the mean score of a block went from {change.before:.6g} to {change.after:.6g}",
                )
            )
        update = {"open_ms": self.open_ms, "scores": scores, "features": self._features}
        return self._state.model_copy(update=update), tuple(
            sorted(self._noticed, key=lambda one: (one.at_ms, one.on))
        )


def _moved(moved: tuple[Shift, ...], names: tuple[str, ...], at_ms: int) -> Noticed:
    told = ", ".join(f"{names[one.feature]} (stability index {one.psi:.2f})" for one in moved[:3])
    more = f" and {len(moved) - 3} more" if len(moved) > 3 else ""
    return Noticed(
        "features",
        at_ms,
        f"rows are unlike those of before, most of all in {told}{more}",
        tuple(names[one.feature] for one in moved[:MAX_NAMED]),
    )


def nothing(width: int) -> Observed:
    """No rows: only the clock moves."""
    whole = np.empty(0, np.int64)
    return Observed(whole, whole, np.empty(0), np.empty((0, width), np.float32))
