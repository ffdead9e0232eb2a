"""What was dispatched lately: cool-downs, the budget of a minute, groups under action.

Event time alone counts. The partition's clock is the newest event time judged so far; it never
goes back. A cool-down runs on the element's own event time, budgets and groups on the clock.

Bounds: `MAX_ELEMENTS` elements remembered at once (and as many group members, only where a group
budget is configured); 62 seconds of counts. An element is forgotten once the clock is past its
cool-down and `MARGIN_MS`.
"""

import heapq
import json
from collections import Counter, deque
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Any, Final

MAX_ELEMENTS: Final = 50_000
MARGIN_MS: Final = 120_000
"""How far an element's event time may lag behind the clock before its cool-down is cut short."""

MINUTE_S: Final = 60

Group = tuple[str, str]
"""Label and value, as in ("site", "s1")."""


@dataclass(slots=True)
class Acted:
    """An element that was acted on, and when by action, in event time."""

    until_ms: int
    times_ms: dict[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Crowd:
    """A group of elements, of which `acted` are under an action now."""

    group: Group
    acted: int
    known: int

    def allowed(self, share: float) -> int:
        """How many may be under an action at once; one always may."""
        return max(1, int(share * self.known))


class Recent:
    """The state of one partition. Changes only by `advance`, `meet` and `record`."""

    def __init__(self) -> None:
        self.clock_ms = 0
        self._elements: dict[str, Acted] = {}
        self._seconds: deque[list[int]] = deque()  # [second, actions], rising
        self._in_minute = 0
        self._groups: tuple[str, ...] = ()
        self._homes: dict[str, str] = {}  # element -> label set
        self._sizes: Counter[Group] = Counter()
        self._acting: dict[Group, dict[str, int]] = {}  # group -> element -> clock, rising

    def advance(self, time_ms: int) -> None:
        """A row of that event time was judged."""
        self.clock_ms = max(self.clock_ms, time_ms)

    def group_by(self, labels: Iterable[str]) -> None:
        """Count members of the groups that these labels form; none: members are forgotten."""
        labels = tuple(sorted(labels))
        if labels != self._groups:
            self._groups = labels
            self._homes = self._homes if labels else {}
            self._sizes = Counter(g for home in self._homes.values() for g in self._in(home))

    def meet(self, element: str, label_set: str) -> None:
        """An element reported under these labels; its newest ones count."""
        home = self._homes.get(element)
        if home == label_set or (home is None and len(self._homes) >= MAX_ELEMENTS):
            return
        if home is not None:
            self._sizes.subtract(self._in(home))
        self._homes[element] = label_set
        self._sizes.update(self._in(label_set))

    def crowds(self, element: str, label_set: str, window_ms: int) -> list[Crowd]:
        """The element's groups; who is under an action beside itself is counted."""
        crowds = []
        for group in self._in(label_set):
            acting = self._acting.get(group, {})
            while acting:
                oldest = next(iter(acting))
                if acting[oldest] > self.clock_ms - window_ms:
                    break
                del acting[oldest]
            others = len(acting) - (element in acting)
            crowds.append(Crowd(group, others, max(1, self._sizes[group])))
        return crowds

    def neighbours(self, element: str, label_set: str, limit: int) -> list[tuple[str, Group, int]]:
        """Others of its groups that were acted on and the clock then, newest first; see `crowds`."""
        found = [
            (other, group, clock_ms)
            for group in self._in(label_set)
            for other, clock_ms in self._acting.get(group, {}).items()
            if other != element
        ]
        return heapq.nlargest(limit, found, key=lambda near: near[2])

    def is_cooling(self, element: str, action: str, time_ms: int, cooldown_ms: int) -> bool:
        """Whether the action reached the element less than its cool-down ago."""
        acted = self._elements.get(element)
        if acted is None or acted.until_ms <= self.clock_ms or action not in acted.times_ms:
            return False
        return time_ms < acted.times_ms[action] + cooldown_ms

    def is_spent(self, actions_per_minute: int) -> bool:
        """Whether the minute up to now has had its actions (61 seconds, to be sure)."""
        second = self.clock_ms // 1000
        while self._seconds and self._seconds[0][0] < second - MINUTE_S:
            self._in_minute -= self._seconds.popleft()[1]
        return self._in_minute >= actions_per_minute

    @property
    def is_full(self) -> bool:
        """Whether no further element can be remembered."""
        if len(self._elements) >= MAX_ELEMENTS:
            self._forget()
        return len(self._elements) >= MAX_ELEMENTS

    def record(
        self, element: str, label_set: str, action: str, time_ms: int, cooldown_ms: int
    ) -> None:
        """An action goes out."""
        acted = self._elements.setdefault(element, Acted(0))
        if acted.until_ms <= self.clock_ms:
            acted.times_ms.clear()
        acted.until_ms = max(acted.until_ms, self.clock_ms + cooldown_ms + MARGIN_MS)
        acted.times_ms[action] = time_ms
        second = self.clock_ms // 1000
        if not self._seconds or self._seconds[-1][0] != second:
            self._seconds.append([second, 0])
        self._seconds[-1][1] += 1
        self._in_minute += 1
        for group in self._in(label_set):
            acting = self._acting.setdefault(group, {})
            acting.pop(element, None)
            acting[element] = self.clock_ms

    def as_json(self) -> dict[str, Any]:
        """Plain values; the same state gives the same."""
        self._forget()
        return {
            "clock_ms": self.clock_ms,
            "elements": {e: [a.until_ms, a.times_ms] for e, a in sorted(self._elements.items())},
            "seconds": list(self._seconds),
            "groups": self._groups,
            "homes": dict(sorted(self._homes.items())),
            "acting": [[*group, list(a.items())] for group, a in sorted(self._acting.items()) if a],
        }

    @classmethod
    def from_json(cls, state: Mapping[str, Any]) -> "Recent":
        """What `as_json` gave."""
        recent = cls()
        recent.clock_ms = state["clock_ms"]
        recent._elements = {
            e: Acted(until_ms, times_ms) for e, (until_ms, times_ms) in state["elements"].items()
        }
        recent._seconds = deque(state["seconds"])
        recent._in_minute = sum(actions for _, actions in recent._seconds)
        recent._homes = state["homes"]
        recent.group_by(state["groups"])
        recent._acting = {(label, value): dict(a) for label, value, a in state["acting"]}
        return recent

    def _forget(self) -> None:
        """Drop what counts no longer; changes no answer."""
        clock_ms = self.clock_ms
        self._elements = {e: a for e, a in self._elements.items() if a.until_ms > clock_ms}
        self.is_spent(0)

    def _in(self, label_set: str) -> tuple[Group, ...]:
        return _groups_of(label_set, self._groups) if self._groups else ()


@lru_cache(maxsize=4096)
def labels_of(label_set: str) -> Mapping[str, str]:
    """A canonical JSON object of labels, parsed; do not change it."""
    labels: dict[str, str] = json.loads(label_set) if label_set else {}
    return labels


@lru_cache(maxsize=4096)
def _groups_of(label_set: str, labels: tuple[str, ...]) -> tuple[Group, ...]:
    found = labels_of(label_set)
    return tuple((label, found[label]) for label in labels if label in found)
