"""What Flyball does, in a minute: the whole stack, a simulated network, and the closed account."""

from collections import Counter
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from flyball_local import specfile
from flyball_local.audit import Account
from flyball_local.control import apply
from flyball_local.observed import Stage, Summary, connected, observe
from flyball_local.session import open_session
from flyball_local.simulator.cells import SOURCE, Second, SimulatorOptions, simulate
from flyball_local.supervisor import Say
from flyball_proto.events import Action

SPEC: Final = Path(__file__).parents[3] / "pipelines" / "ran.yaml"
PIPELINE: Final = "congestion"
SPEED: Final = 15.0
DAY_S: Final = 3_600.0
"""A day of the demo's network lasts an hour of its own time: a minute at 15 times shows six."""
HOUR: Final = 16.0
CHANGE_SHARE: Final = 0.5
EFFECT_MS: Final = 15_000
TOLD_ACTIONS: Final = 12
LOAD: Final = "RRU.PrbTotDl"


@dataclass(frozen=True, slots=True)
class DemoOptions:
    """How long, and where; without a home in a folder that is removed."""

    seconds: float = 60.0
    home: Path | None = None
    spec: Path = SPEC
    say: Say = print


@dataclass(frozen=True, slots=True)
class Ending:
    """How a demo ended."""

    summary: Summary
    reports: int
    actions_received: int

    @property
    def account(self) -> Account:
        """What went in and what came out."""
        return self.summary.account

    def as_json(self) -> dict[str, Any]:
        """The one object of `--json`: as a replay's, and what the network itself counted."""
        return {
            **self.summary.as_json(),
            "reports": self.reports,
            "actions_received": self.actions_received,
        }


async def demo(options: DemoOptions) -> Ending:
    """Bring everything up, let the network live for a while, and audit what happened."""
    catalogue = specfile.load(options.spec)
    pipeline = catalogue.pipelines[PIPELINE]
    story, reports = Story(options.say), 0
    async with open_session(options.home, options.say) as session:
        async with connected(session, "operator") as operator:
            await apply(operator, catalogue.objects, by="demo")
        options.say(f"applied {options.spec.name}: pipeline {PIPELINE} on source {SOURCE}")

        async def live(_: Stage) -> None:
            nonlocal reports
            reports = await simulate(session, _simulation(options.seconds), story.tell)

        summary = await observe(session, pipeline, catalogue.source_of(pipeline), live)
    return Ending(summary, reports, story.actions.total())


def _simulation(seconds: float) -> SimulatorOptions:
    return SimulatorOptions(
        seconds=seconds, speed=SPEED, day_s=DAY_S, hour=HOUR, change_share=CHANGE_SHARE
    )


@dataclass
class Story:
    """Turns simulated seconds into lines: what matters, with its figure. Bounded by cells."""

    say: Say
    actions: Counter[str] = field(default_factory=Counter)
    _load: dict[str, float] = field(default_factory=dict)
    _awaited: list[tuple[int, Action, float]] = field(default_factory=list)
    _faulty: set[str] = field(default_factory=set)
    _changed: bool = False
    _hour: int = -1

    def tell(self, second: Second) -> None:
        """Note one second and say what is new."""
        before = self._load
        self._load = {r.cell.name: r.values[LOAD] for r in second.reports}
        self._tell_hour(second)
        self._tell_faults(second)
        if second.changed and not self._changed:
            self._changed = True
            self._line(second, "the world changes: residential cells have a third more users")
        for action in second.actions:
            self._tell_action(second, action, before)
        self._tell_effects(second)

    def _tell_hour(self, second: Second) -> None:
        if int(second.hour) == self._hour:
            return
        self._hour = int(second.hour)
        loads = self._load.values()
        congested = sum(load > 90 for load in loads)
        self._line(
            second,
            f"{len(loads)} cells, mean load {sum(loads) / len(loads):.0f} %, {congested} above "
            f"90 %, {self.actions.total()} action(s) so far",
        )

    def _tell_faults(self, second: Second) -> None:
        now = {cell.name for cell in second.faulty}
        for name in sorted(now - self._faulty):
            self._line(
                second, f"{name} loses two thirds of its capacity: load {self._load[name]:.0f} %"
            )
        for name in sorted(self._faulty - now):
            self._line(second, f"{name} is repaired: load {self._load[name]:.0f} %")
        self._faulty = now

    def _tell_action(self, second: Second, action: Action, before: dict[str, float]) -> None:
        self.actions[action.element] += 1
        load = before.get(action.element, 0.0)
        if self.actions.total() <= TOLD_ACTIONS:
            self._line(
                second,
                f"{action.element} at {load:.0f} % load: {action.action}, score {action.score:.2f}, "
                f"{action.category} risk {action.risk:.2f}, {action.verdict}",
            )
            self._awaited.append((second.time_ms + EFFECT_MS, action, load))
        elif self.actions.total() == TOLD_ACTIONS + 1:
            self._line(second, "more actions follow; from here on they are counted")

    def _tell_effects(self, second: Second) -> None:
        due = [x for x in self._awaited if x[0] <= second.time_ms]
        self._awaited = [x for x in self._awaited if x[0] > second.time_ms]
        for _, action, load in due:
            now = self._load[action.element]
            self._line(
                second, f"{action.element} after {action.action}: {load:.0f} → {now:.0f} % load"
            )

    def _line(self, second: Second, words: str) -> None:
        hour = int(second.hour)
        self.say(f"{hour:02d}:{int(second.hour % 1 * 60):02d}  {words}")
