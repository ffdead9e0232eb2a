"""What happens in a network that lives in real time, a line an event; `flyball simulate`."""

from collections import Counter
from dataclasses import dataclass, field
from typing import Final

from flyball_local.embedded.supervisor import Say
from flyball_local.simulator.cells import Second
from flyball_proto.events import Action

EFFECT_MS: Final = 15_000
TOLD_ACTIONS: Final = 12
LOAD: Final = "RRU.PrbTotDl"


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
            self._line(
                second,
                "the world changes: fewer phones stay connected, with the same traffic",
            )
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
