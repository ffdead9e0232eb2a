"""All that the Loop page shows, as values. Pure; `watching` keeps the newest one."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final, Literal

from flyball_proto.breakers import BreakerRecord
from flyball_proto.deployments import ActiveModel
from flyball_proto.holds import Hold, Stop
from flyball_proto.progress import Standings, TrainerProgress
from flyball_proto.reviews import Review

MAX_LOOPS: Final = 100
"""Pipelines that are kept; the first by name."""
MAX_LINES: Final = 200
"""Events that are kept for each pipeline; the oldest go."""
MAX_HOLDS: Final = 50
"""Open holds that are shown of each pipeline, those that expire first; all are counted."""
MAX_REVIEWS: Final = 10
"""Open reviews that are shown of each pipeline, the newest; all are counted."""

SERVICES: Final = ("ingest", "inference", "risk", "trainer", "registry", "deployer", "gateway")
"""Who is expected to be heard."""

Health = Literal["well", "not ready", "broken", "silent", "not heard yet"]
Mood = Literal["plain", "good", "careful", "bad"]
StageName = Literal["ingest", "inference", "risk", "actions", "labels"]


@dataclass(frozen=True, slots=True)
class Part:
    """How one service is; `quiet_s` since it was last heard, None = never."""

    service: str
    health: Health
    reasons: tuple[str, ...] = ()
    quiet_s: float | None = None

    @property
    def is_well(self) -> bool:
        """Whether nothing has to be done about it."""
        return self.health == "well"


@dataclass(frozen=True, slots=True)
class Stage:
    """What passes through one stage of the flow, all its partitions together.

    `lag` counts stored messages that it has not received; latencies are the worst partition's over
    ten seconds, None = nothing was committed.
    """

    name: StageName
    rows: int
    rows_per_s: float | None
    lag: int
    p50_ms: float | None = None
    p99_ms: float | None = None


@dataclass(frozen=True, slots=True)
class Stored:
    """How full a stream is."""

    stream: str
    messages: int
    size_bytes: int


@dataclass(frozen=True, slots=True)
class Line:
    """One event in plain words, with the figure that caused it."""

    at: datetime
    domain: str
    mood: Mood
    text: str
    change: str = ""
    """How another model came to answer with it, e.g. `succession`; empty = none did."""


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What risk said in the last `span_s` seconds, by verdict; not all of it when `sampled`."""

    counts: Mapping[str, int] = field(default_factory=dict)
    span_s: int = 60
    sampled: bool = False

    @property
    def rows(self) -> int:
        """How many decisions were judged."""
        return sum(self.counts.values())


@dataclass(frozen=True, slots=True)
class Loop:
    """One pipeline: who answers, since when and why, who challenges, what waits for people.

    `now_ms` is the newest event time that risk has judged, 0 = none yet.
    """

    name: str
    source: str
    element: str
    target: str
    task: str
    horizon_ms: int
    autonomy: str
    actions: tuple[str, ...]
    trainers: Mapping[str, str]
    """Trainer to its kind."""
    deployment: ActiveModel | None = None
    kind: str | None = None
    """Kind of the active model."""
    standings: Standings | None = None
    progress: tuple[TrainerProgress, ...] = ()
    stop: Stop | None = None
    breaker: BreakerRecord | None = None
    """None = closed."""
    holds: tuple[Hold, ...] = ()
    open_holds: int = 0
    reviews: tuple[Review, ...] = ()
    open_reviews: int = 0
    stages: tuple[Stage, ...] = ()
    verdicts: Verdicts = Verdicts()
    lines: tuple[Line, ...] = ()
    """Newest first."""
    last_change: Line | None = None
    """The last event with which another model began to answer."""
    seat_taken: Line | None = None
    """The last one of them that was no refresh by the seat's own trainer."""
    awaited: tuple[str, ...] = ()
    now_ms: int = 0
    disagree: str = ""
    """Which runtimes do not answer with the deployment's epoch, and why; empty = all do."""

    @property
    def is_stopped(self) -> bool:
        """Whether a person has stopped it."""
        return self.stop is not None and self.stop.stopped


@dataclass(frozen=True, slots=True)
class Picture:
    """Everything, at one moment. `stale_since`: the broker has not answered from then on."""

    at: datetime
    stale_since: datetime | None = None
    parts: tuple[Part, ...] = ()
    stored: tuple[Stored, ...] = ()
    loops: tuple[Loop, ...] = ()

    def loop(self, name: str) -> Loop | None:
        """A pipeline by name."""
        return next((loop for loop in self.loops if loop.name == name), None)

    def part(self, service: str) -> Part | None:
        """A service by name."""
        return next((part for part in self.parts if part.service == service), None)
