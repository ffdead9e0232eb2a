"""Lines of the story: what the loop says of itself, with the figure that caused it. Pure.

Of each kind the first few are told and the rest are counted, so that a viewer can follow.
"""

import re
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

from flyball_proto.deployments import CanaryMoved, DeploymentActivated, PersonAsked
from flyball_proto.events import (
    Event,
    ModelRefused,
    ModelTrained,
    PipelineApplied,
    TrainingFailed,
)
from flyball_proto.judgements import (
    CanaryJudged,
    Degraded,
    Drifted,
    Refreshed,
    RefreshRefused,
    Superior,
)

TOLD: Final = 4
KEPT: Final = 10_000
_LONG: Final = re.compile(r"([0-9A-Za-z]{8})[0-9A-Za-z]{32,}")
EVENTS: Final[dict[str, type[Event]]] = {
    f"{kind.domain}.{kind.what}": kind
    for kind in (
        CanaryJudged,
        CanaryMoved,
        Degraded,
        DeploymentActivated,
        Drifted,
        ModelRefused,
        ModelTrained,
        PersonAsked,
        PipelineApplied,
        Refreshed,
        RefreshRefused,
        Superior,
        TrainingFailed,
    )
}
"""What is told, by domain and what."""


def parse(subject: str, data: bytes) -> Event | None:
    """An event that the story tells of, from its subject and body; None = it does not."""
    domain, _, what = subject.split(".", 2)
    kind = EVENTS.get(f"{domain}.{what}")
    return kind.model_validate_json(data) if kind else None


def short(words: str) -> str:
    """The same with the beginning of each digest and key only."""
    return _LONG.sub(r"\1…", words)


@dataclass
class Effect:
    """Sums of the loads before and behind what was done `count` times."""

    count: int = 0
    before: float = 0.0
    after: float = 0.0


@dataclass
class Telling:
    """Says lines with the network's own clock in front. Keeps the newest `KEPT` events."""

    say: Callable[[str], None]
    hour_of: Callable[[int], float]
    now_ms: int = 0
    counts: Counter[str] = field(default_factory=Counter)
    seats: list[tuple[int, DeploymentActivated]] = field(default_factory=list)
    drifts: list[tuple[int, Drifted]] = field(default_factory=list)
    effects: dict[str, Effect] = field(default_factory=dict)
    heard: deque[Event] = field(default_factory=lambda: deque(maxlen=KEPT))

    def line(self, words: str) -> None:
        """One line at the present of the network."""
        hour = self.hour_of(self.now_ms)
        day, hour = divmod(hour, 24)
        self.say(f"day {day + 1:.0f} {int(hour):02d}:{int(hour % 1 * 60):02d}  {words}")

    def some(self, kind: str, words: str, told: int = TOLD) -> None:
        """A line of a kind of which there are many: the first few are told, the rest counted."""
        self.counts[kind] += 1
        if self.counts[kind] <= told:
            self.line(words)
        elif self.counts[kind] == told + 1 and told > 1:
            self.line(f"more {kind} follow; from here on they are counted")

    def effect(self, element: str, what: str, before: float, after: float) -> None:
        """What became of an element's load; the first few of each kind are told, all are counted."""
        found = self.effects.setdefault(what, Effect())
        found.count, found.before, found.after = (
            found.count + 1,
            found.before + before,
            found.after + after,
        )
        if found.count <= TOLD:
            self.line(f"{element} {what}: {before:.0f} → {after:.0f} % load")

    def event(self, event: Event) -> None:
        """What an event says, if it is one of `EVENTS`."""
        self.heard.append(event)
        match event:
            case DeploymentActivated():
                self._seat(event)
            case ModelTrained():
                if event.kind != "baseline":
                    self._trained(event)
            case Superior():
                self.line(
                    f"{event.trainer} is better than {event.over}: log E {event.log_e:.2f} over "
                    f"its bound {event.threshold:.2f} after {event.blocks} blocks, by "
                    f"{event.better_by:.4f} Brier at least"
                )
            case CanaryMoved() if event.percent:
                self.line(f"{event.trainer} answers for {event.percent} % of the cells, watched")
            case CanaryMoved():
                self.line(f"the trial of {event.trainer} ended: {event.reason}")
            case CanaryJudged() if event.outcome == "pass":
                guards = "; ".join(
                    f"{g.name} {g.found}" for g in event.guards if g.name != "errors"
                )
                self.line(f"every guard passed: {guards}")
            case _:
                self._trouble(event)

    def _seat(self, event: DeploymentActivated) -> None:
        self.seats.append((self.now_ms, event))
        words = f"{event.trainer} holds the seat (epoch {event.epoch}): {event.reason}"
        if event.change == "refresh":
            self.some("refreshes", f"a newer model of {words}")
        else:
            self.line(words)

    def _trained(self, event: ModelTrained) -> None:
        self.counts["models"] += 1
        why = f", because of {event.because}" if event.because == "drift" else ""
        words = f"{event.trainer} delivers a model of {event.rows} rows, fitted in {event.fit_ms:.0f} ms"
        self.some(f"models of {event.trainer}", words + why, told=1)
        if event.because == "drift":
            self.some("trainings after drift", words + why)

    def _trouble(self, event: Event) -> None:
        match event:
            case Drifted():
                self.drifts.append((self.now_ms, event))
                self.line(f"drift: {event.detail}")
            case Degraded():
                self.line(
                    f"the watch over the seat: harm {event.harm:.0f}, anchor better "
                    f"{event.relative:.0f}, of {event.threshold:.0f}: {event.decision}"
                )
            case ModelRefused():
                self.line(
                    f"a model in the name of {event.trainer} is refused at admission: "
                    f"{event.check}: found {short(event.found)}, needed {short(event.limit)}"
                )
            case TrainingFailed():
                self.some(
                    "trainings without a model", f"{event.trainer} gives no model: {event.found}", 1
                )
            case RefreshRefused():
                words = (
                    f"a newer model of {event.trainer} stays out ({event.outcome}): {event.detail}"
                )
                self.some("refused refreshes", words, told=3)
            case PersonAsked():
                self.line(f"a person is asked: {event.reason}")
            case _:
                pass
