"""Whether the active model's loss rose for good, block by block, and what is kept of it.

Where the source has a season, losses are told to ADWIN as they are until the watch knows what is
tolerated in each part of it; from then on as their distance from that, which has no season.
"""

from collections.abc import Sequence

from flyball_registry.evidence import drift
from flyball_registry.evidence.findings import Drifted
from flyball_registry.evidence.state import State


class Rising:
    """The block losses of one call of `evaluation.fold`."""

    def __init__(self, state: State, season_ms: int) -> None:
        self._state, self._seasonal = state, season_ms > 0
        self._losses: list[tuple[int, float]] = []
        self._relative: list[tuple[int, float]] = []

    def take(self, end_ms: int, loss: float, tolerated: float | None) -> None:
        """A block's mean loss, and what the watch tolerates in its part of the season."""
        if self._seasonal and tolerated is not None:
            self._relative.append((end_ms, loss - tolerated))
        else:
            self._losses.append((end_ms, loss))

    def finish(self) -> tuple[dict[str, object], tuple[Drifted, ...]]:
        """The changed fields of the state, and each rise."""
        losses, first = drift.extend(
            self._state.losses, [loss for _, loss in self._losses], seasonal=self._seasonal
        )
        relative, later = drift.extend(self._state.relative, [loss for _, loss in self._relative])
        found = (
            *_found(self._losses, first, "the mean loss of a block rose from {:.6f} to {:.6f}"),
            *_found(
                self._relative,
                later,
                "the mean loss of a block, less what is usual then, rose from {:.6f} to {:.6f}",
            ),
        )
        return {"losses": () if relative else losses, "relative": relative}, found


def _found(
    told: Sequence[tuple[int, float]], rises: Sequence[drift.Change], words: str
) -> list[Drifted]:
    return [
        Drifted(told[r.index][0], r.before, r.after, words.format(r.before, r.after)) for r in rises
    ]
