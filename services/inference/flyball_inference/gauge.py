"""What one partition's scoring shows of its models: calls that take long, scores that are no numbers. Pure.

Counts belong to an epoch. Bounds: `MAX_CALLS` durations for each of at most two models.
"""

from collections import deque
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import numpy as np

from flyball_inference.scoring import Scored, score
from flyball_inference.seat import Voice
from flyball_proto.columns import Column, Model

MAX_CALLS: Final = 4096
"""Durations kept between two announcements; the oldest go first."""

TRIP_ROWS: Final = 100
"""A model is judged by its scores whenever so many have come together."""


class Figures(NamedTuple):
    """How long a model's calls took: the 99th percentile, and how many there were."""

    p99_ms: float
    calls: int


@dataclass(slots=True)
class _Count:
    rows: int = 0
    not_finite: int = 0
    calls: int = 0
    took_ms: deque[float] = field(default_factory=lambda: deque(maxlen=MAX_CALLS))


class Gauge:
    """Implements `flyball_inference.fold.Scorer`.

    `tripped` hears of a model, with the reason, when more than half of at least `TRIP_ROWS` scores in
    a row are no numbers; again and again while that lasts.
    """

    def __init__(
        self, *, now_s: Callable[[], float], tripped: Callable[[Model, str], None]
    ) -> None:
        self._now_s, self._tripped = now_s, tripped
        self._epoch = 0
        self._counts: dict[str, _Count] = {}

    def scores(self, voice: Voice, features: Column) -> Column:
        """Score rows; see `scoring.score`."""
        scored = score(voice.run, features)
        self._note(voice.model, scored)
        return scored.scores

    def timed_scores(self, voice: Voice, features: Column) -> Column:
        """Score rows and remember how long it took."""
        began_s = self._now_s()
        scored = score(voice.run, features)
        took_ms = (self._now_s() - began_s) * 1000
        count = self._note(voice.model, scored)
        count.calls += 1
        count.took_ms.append(took_ms)
        return scored.scores

    def take(self, epoch: int) -> Mapping[str, Figures]:
        """By digest the figures of `epoch` since they were taken last; what was not called is not in it."""
        if epoch != self._epoch:
            return {}
        found = {}
        for digest, count in self._counts.items():
            if count.calls:
                p99_ms = float(np.percentile(np.array(count.took_ms), 99))
                found[digest] = Figures(p99_ms, count.calls)
                count.calls = 0
                count.took_ms.clear()
        return found

    def _note(self, model: Model, scored: Scored) -> _Count:
        if model.epoch != self._epoch:
            self._epoch, self._counts = model.epoch, {}
        if (count := self._counts.get(model.digest)) is None:
            count = self._counts[model.digest] = _Count()
        count.rows += len(scored.scores)
        count.not_finite += scored.not_finite
        if count.rows >= TRIP_ROWS:
            if 2 * count.not_finite > count.rows:
                found = f"{count.not_finite} of {count.rows} scores in a row are no numbers"
                self._tripped(model, found)
            count.rows = count.not_finite = 0
        return count
