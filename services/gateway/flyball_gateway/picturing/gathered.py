"""What was read so far, by pipeline, and the picture that it makes. Pure but for being mutable."""

from collections import deque
from datetime import datetime
from typing import Final, TypeVar

from flyball_gateway.awaited.awaiting import awaited
from flyball_gateway.awaited.situation import Situation
from flyball_gateway.picturing.picture import (
    MAX_HOLDS,
    MAX_LINES,
    MAX_LOOPS,
    MAX_REVIEWS,
    Line,
    Loop,
    Picture,
    Stored,
)
from flyball_gateway.picturing.rates import Pulses
from flyball_gateway.picturing.tallies import Tally
from flyball_gateway.picturing.telling import line_of
from flyball_proto import columns
from flyball_proto.breakers import BreakerRecord, gravest
from flyball_proto.deployments import ActiveModel
from flyball_proto.holds import Hold, Stop
from flyball_proto.progress import Standings, TrainerProgress
from flyball_proto.reviews import Review
from flyball_proto.runtimes import RuntimeState, disagreement
from flyball_proto.spec import BASELINE, Pipeline, Source, feature_digest

T = TypeVar("T")

MAX_RUNTIMES: Final = 1_000
"""Of all pipelines; beyond that further ones are not shown."""

MAX_OPEN: Final = 10_000
"""Open holds that are kept of all pipelines; beyond that further ones are not shown."""


class Gathered:
    """Everything that the picture is made of.

    A bucket holds one record a pipeline or trainer, which bounds them; holds, lines and tallies have
    bounds of their own.
    """

    def __init__(self, began_s: float) -> None:
        self.pulses = Pulses(began_s)
        self._sources: dict[str, Source] = {}
        self._pipelines: dict[str, Pipeline] = {}
        self._deployments: dict[str, ActiveModel] = {}
        self._standings: dict[str, Standings] = {}
        self._progress: dict[str, TrainerProgress] = {}
        self._runtimes: dict[str, RuntimeState] = {}
        self._stops: dict[str, Stop] = {}
        self._breakers: dict[str, BreakerRecord] = {}
        self._holds: dict[str, Hold] = {}
        self._reviews: dict[str, Review] = {}
        self._lines: dict[str, deque[Line]] = {}
        self._changes: dict[str, Line] = {}
        self._taken: dict[str, Line] = {}
        self._tallies: dict[str, Tally] = {}
        self._digests: dict[str, str] = {}
        self._stale_since: datetime | None = None
        self.nothing_arrived = False
        """Whether METRICS never held anything."""

    def source(self, key: str, value: Source | None) -> None:
        """A source's specification."""
        _put(self._sources, key, value)
        self._digests.clear()

    def pipeline(self, key: str, value: Pipeline | None) -> None:
        """A pipeline's specification."""
        _put(self._pipelines, key, value)
        self._digests.clear()

    def deployment(self, key: str, value: ActiveModel | None) -> None:
        """Who answers."""
        _put(self._deployments, key, value)
        if value is not None and value.activated is not None:
            self._changed(key, line_of(value.activated))

    def standing(self, key: str, value: Standings | None) -> None:
        """Where the comparisons stand."""
        _put(self._standings, key, value)

    def progress(self, key: str, value: TrainerProgress | None) -> None:
        """How far a trainer is."""
        _put(self._progress, key, value)

    def runtime(self, key: str, value: RuntimeState | None) -> None:
        """What a runtime can do and does."""
        if value is None or key in self._runtimes or len(self._runtimes) < MAX_RUNTIMES:
            _put(self._runtimes, key, value)

    def stop(self, key: str, value: Stop | None) -> None:
        """Whether a person has stopped a pipeline."""
        _put(self._stops, key, value)

    def breaker(self, key: str, value: BreakerRecord | None) -> None:
        """What the breaker of a partition does."""
        _put(self._breakers, key, value)

    def hold(self, key: str, value: Hold | None) -> None:
        """A decision that waits, or waited; only those that wait are kept."""
        waits = value if value is not None and value.state == "open" else None
        if waits is None or key in self._holds or len(self._holds) < MAX_OPEN:
            _put(self._holds, key, waits)

    def review(self, key: str, value: Review | None) -> None:
        """A decision for people to look at; only those nobody looked at are kept."""
        waits = value if value is not None and value.state == "open" else None
        if waits is None or key in self._reviews or len(self._reviews) < MAX_OPEN:
            _put(self._reviews, key, waits)

    def line(self, pipeline: str, line: Line) -> None:
        """What happened."""
        if pipeline not in self._lines and len(self._lines) >= 2 * MAX_LOOPS:
            return
        self._lines.setdefault(pipeline, deque(maxlen=MAX_LINES)).appendleft(line)
        if line.change:
            self._changed(pipeline, line)

    def verdicts(self, batch: columns.Verdicts, at_s: float, *, left_out: bool) -> None:
        """What risk said."""
        if batch.pipeline in self._tallies or len(self._tallies) < 2 * MAX_LOOPS:
            tally = self._tallies.setdefault(batch.pipeline, Tally())
            tally.take(batch, at_s, left_out=left_out)

    def heard(self, at: datetime, *, answered: bool) -> None:
        """Whether the broker answers now."""
        self._stale_since = None if answered else self._stale_since or at

    def picture(self, at: datetime, at_s: float, stored: tuple[Stored, ...]) -> Picture:
        """Everything as it is now."""
        names = sorted(self._pipelines)[:MAX_LOOPS]
        found = (self._loop(self._pipelines[name], at, at_s) for name in names)
        return Picture(
            at,
            self._stale_since,
            self.pulses.parts(at_s),
            stored,
            tuple(loop for loop in found if loop is not None),
        )

    def _loop(self, pipeline: Pipeline, at: datetime, at_s: float) -> Loop | None:
        """None while the pipeline's source is not read yet."""
        name, spec = pipeline.name, pipeline.spec
        source = self._sources.get(spec.source)
        if source is None:
            return None
        trainers: dict[str, str] = {trainer.name: trainer.kind for trainer in spec.trainers}
        deployment = self._deployments.get(name)
        tally = self._tallies.get(name) or Tally()
        standings = self._standings.get(name)
        waiting = sorted(
            (h for h in self._holds.values() if h.pipeline == name),
            key=lambda h: (h.expires_ms, h.id),
        )
        breaker = gravest(b for b in self._breakers.values() if b.pipeline == name)
        reviews = sorted(
            (r for r in self._reviews.values() if r.pipeline == name),
            key=lambda r: (r.opened_at, r.id),
            reverse=True,
        )
        progress = tuple(p for p in self._progress.values() if p.pipeline == name)
        situation = Situation(
            pipeline,
            source,
            self._digest(pipeline, source),
            at,
            progress,
            standings,
            deployment,
            self._stops.get(name),
            len(waiting),
            False if self.nothing_arrived else None,
            breaker=breaker,
        )
        return Loop(
            name=name,
            source=source.name,
            element=source.spec.element,
            target=spec.target.expression or f"truth published on labels.{name}",
            task=spec.target.task,
            horizon_ms=spec.target.horizon_ms,
            autonomy=spec.risk.autonomy,
            actions=tuple(decision.action for decision in spec.decisions),
            trainers=trainers,
            deployment=deployment,
            kind=trainers.get(deployment.trainer, BASELINE) if deployment else None,
            standings=standings,
            progress=progress,
            stop=self._stops.get(name),
            breaker=breaker,
            holds=tuple(waiting[:MAX_HOLDS]),
            open_holds=len(waiting),
            reviews=tuple(reviews[:MAX_REVIEWS]),
            open_reviews=len(reviews),
            stages=self.pulses.stages(name, at_s),
            verdicts=tally.verdicts(at_s),
            lines=tuple(self._lines.get(name, ())),
            last_change=self._changes.get(name),
            seat_taken=self._taken.get(name),
            awaited=awaited(situation),
            now_ms=max(tally.now_ms, standings.now_ms if standings else 0),
            disagree=self._disagreement(name, deployment, at),
        )

    def _changed(self, pipeline: str, line: Line) -> None:
        """Remember a change of the seat, however much happens after it."""
        for kept in (self._changes, *([self._taken] if line.change != "refresh" else [])):
            if pipeline not in kept or kept[pipeline].at <= line.at:
                kept[pipeline] = line

    def _disagreement(self, name: str, deployment: ActiveModel | None, at: datetime) -> str:
        runtimes = (r for r in self._runtimes.values() if r.pipeline == name)
        return disagreement(deployment.epoch, runtimes, at) if deployment else ""

    def _digest(self, pipeline: Pipeline, source: Source) -> str:
        """Reckoned once for each revision, as it takes a while with many features."""
        if pipeline.name not in self._digests:
            self._digests[pipeline.name] = feature_digest(pipeline, source)
        return self._digests[pipeline.name]


def _put(records: dict[str, T], key: str, value: T | None) -> None:
    if value is None:
        records.pop(key, None)
    else:
        records[key] = value
