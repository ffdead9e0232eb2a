"""One pipeline as it is now: what the sentences about what is awaited are made of. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import cached_property
from typing import Final

from flyball_gateway.awaited.phrases import span
from flyball_proto.breakers import BreakerRecord
from flyball_proto.deployments import ActiveModel
from flyball_proto.holds import Stop
from flyball_proto.progress import Standings, TrainerProgress
from flyball_proto.spec import Pipeline, Source

QUIET_MS: Final = 60_000
"""So long, and three intervals of a live source, nothing comes before that is said."""

LIVE_MS: Final = 3_600_000
"""Rows whose event time is not further from the clock are live; others are history played over."""


@dataclass(frozen=True)
class Situation:
    """One pipeline as it is now; `at` is the wall clock.

    `progress` and `standings` may be of other features or trainers: those are passed over.
    `arrived` says whether METRICS ever held a report of the source; None = not known. `refused` are
    the reports of the source that are kept in QUARANTINE.
    """

    pipeline: Pipeline
    source: Source
    feature_digest: str
    at: datetime
    progress: Sequence[TrainerProgress] = ()
    standings: Standings | None = None
    deployment: ActiveModel | None = None
    stop: Stop | None = None
    open_holds: int = 0
    arrived: bool | None = None
    refused: int = 0
    breaker: BreakerRecord | None = None

    @cached_property
    def trainers(self) -> tuple[TrainerProgress, ...]:
        """The trainers of the specification, in its order, as far as they have told anything."""
        told = {p.trainer: p for p in self.progress if p.feature_digest == self.feature_digest}
        return tuple(told[t.name] for t in self.pipeline.spec.trainers if t.name in told)

    @cached_property
    def evidence(self) -> Standings | None:
        """Where the models of these features stand."""
        found = self.standings
        return found if found and found.feature_digest == self.feature_digest else None

    @cached_property
    def now_ms(self) -> int:
        """Newest event time that anybody has told; 0 = none yet."""
        learnt = max((p.now_ms for p in self.trainers), default=0)
        return max(learnt, self.evidence.now_ms if self.evidence else 0)

    @cached_property
    def is_live(self) -> bool:
        """Whether event time goes with the clock."""
        told = max((p.at for p in self.trainers), default=self.at)
        apart_ms = abs(_ms(told) - self.now_ms)
        return apart_ms <= LIVE_MS + 3 * self.source.spec.interval_ms

    @cached_property
    def quiet_ms(self) -> int | None:
        """For how long no row with a label has come; None = they come, or none ever did."""
        if not self.now_ms or not self.trainers:
            return None
        quiet_ms = round((self.at - max(p.at for p in self.trainers)) / timedelta(milliseconds=1))
        patience_ms = QUIET_MS + (3 * self.source.spec.interval_ms if self.is_live else 0)
        return quiet_ms if quiet_ms > patience_ms else None

    def when(self, ms: float | None) -> str:
        """`in about 6 min`; empty when that is not known."""
        if ms is None or self.quiet_ms is not None:
            return ""
        rounded = span(max(1000, round(ms)))
        return f"in about {rounded}" if self.is_live else f"after about {rounded} more of data"


def _ms(at: datetime) -> int:
    return round((at - datetime(1970, 1, 1, tzinfo=UTC)) / timedelta(milliseconds=1))
