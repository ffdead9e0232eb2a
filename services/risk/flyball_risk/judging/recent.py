"""What was dispatched lately: cool-downs, budgets, what was changed at elements, groups under action.

Event time alone counts. The partition's clock is the newest event time judged so far; it never
goes back. What concerns one element runs on its own event time, shared budgets and groups on the
clock.

Bounds: `MAX_ELEMENTS` elements remembered at once (and as many group members, only where a group
budget is configured); 62 seconds of counts an action. An element is forgotten once the clock is
past its cool-down, its lease, its window, and `MARGIN_MS`.
"""

import heapq
import json
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from itertools import accumulate
from typing import Any, Final, NamedTuple

from flyball_risk.capacity.allowances import TOTAL
from flyball_risk.capacity.leases import NO_LEASE, Lease
from flyball_risk.capacity.minutes import Minute
from flyball_risk.judging.acted import Acted, Changed, acted_before, acted_of, columns_of
from flyball_risk.judging.written import Names, apart, taken

MAX_ELEMENTS: Final = 50_000
MARGIN_MS: Final = 120_000
"""How far an element's event time may lag behind the clock before its cool-down is cut short."""

Group = tuple[str, str]
"""Label and value, as in ("site", "s1")."""


@dataclass(frozen=True, slots=True)
class Reach:
    """What an action takes with it when it goes out; 0 = it does not matter how long."""

    cooldown_ms: int
    parameter: str = ""
    lease_ms: int = 0
    window_ms: int = 0


class Crowd(NamedTuple):
    """A group of elements, of which `acted` are under an action now."""

    group: Group
    acted: int
    known: int


class Recent:
    """The state of one partition. Changes only by `advance`, `meet` and `record`."""

    def __init__(self) -> None:
        self.clock_ms = 0
        self._elements: dict[str, Acted] = {}
        self.lease: Lease = NO_LEASE
        self._minutes: dict[str, Minute] = {}  # by action, and of all: what was dispatched
        self._refused: dict[str, Minute] = {}  # the same: what was capped for want of a budget
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

    def is_at(self, element: str, label_set: str) -> bool:
        """Whether meeting an element under these labels would say nothing new."""
        return self._homes.get(element) == label_set

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

    def changed(self, element: str, parameter: str, time_ms: int) -> Changed | None:
        """What changed a parameter of the element and still cools down."""
        acted = self._elements.get(element)
        if acted is None or acted.until_ms <= self.clock_ms:
            return None
        found = acted.changed.get(parameter)
        return found if found is not None and time_ms < found.cooled_ms else None

    def changes(self) -> Iterator[tuple[str, str, Changed]]:
        """Element, parameter and what changed it, of everything that is remembered."""
        for element, acted in self._elements.items():
            for parameter, found in acted.changed.items():
                yield element, parameter, found

    def acted_on(self, element: str, time_ms: int, window_ms: int) -> int:
        """How many actions the element got within a window around a time."""
        acted = self._elements.get(element)
        return sum(abs(time_ms - at) < window_ms for at in acted.lately) if acted else 0

    def used(self, budget: str) -> int:
        """Actions in the minute up to now (61 seconds, to be sure), by action or in `TOTAL`."""
        minute = self._minutes.get(budget)
        return minute.count(self.clock_ms) if minute else 0

    def refused(self, budget: str) -> int:
        """Proposals that were capped in that minute; since the start of the process."""
        minute = self._refused.get(budget)
        return minute.count(self.clock_ms) if minute else 0

    def refuse(self, budget: str) -> None:
        """A proposal is capped for want of a budget."""
        self._refused.setdefault(budget, Minute()).add(self.clock_ms)

    @property
    def is_full(self) -> bool:
        """Whether no further element can be remembered."""
        if len(self._elements) >= MAX_ELEMENTS:
            self._forget()
        return len(self._elements) >= MAX_ELEMENTS

    def record(self, element: str, label_set: str, action: str, time_ms: int, reach: Reach) -> None:
        """An action goes out."""
        acted = self._elements.setdefault(element, Acted(0))
        if acted.until_ms <= self.clock_ms:
            acted = self._elements[element] = Acted(0)
        counts_ms = max(reach.cooldown_ms, reach.lease_ms, reach.window_ms)
        acted.until_ms = max(acted.until_ms, self.clock_ms + counts_ms + MARGIN_MS)
        acted.times_ms[action] = time_ms
        if reach.parameter:
            cooled_ms, lease_ms = time_ms + reach.cooldown_ms, time_ms + reach.lease_ms
            acted.changed[reach.parameter] = Changed(action, cooled_ms, lease_ms)
        if reach.window_ms:
            oldest_ms = self.clock_ms - reach.window_ms - MARGIN_MS
            acted.lately = [*(at for at in acted.lately if at > oldest_ms), time_ms]
        for budget in (TOTAL, action):
            minute = self._minutes.get(budget)
            if minute is None:
                minute = self._minutes[budget] = Minute()
            minute.add(self.clock_ms)
        for group in self._in(label_set):
            acting = self._acting.setdefault(group, {})
            acting.pop(element, None)
            acting[element] = self.clock_ms

    def as_json(self, names: Names) -> dict[str, Any]:
        """Plain values; the same state gives the same. Elements are put into `names`."""
        self._forget()
        label_sets = Names()
        return {
            "clock_ms": self.clock_ms,
            "acted": columns_of(self._elements, names),
            "seconds": self._minutes.get(TOTAL, Minute()).as_json(),
            "minutes": {a: m.as_json() for a, m in sorted(self._minutes.items()) if a != TOTAL},
            "lease": self.lease.as_json(),
            "groups": self._groups,
            "members": {
                "element": names.put(self._homes),
                "label_set": label_sets.put(self._homes.values()),
                "label_sets": label_sets.as_json(),
            },
            "acting": [
                [*group, names.put(acting), apart(list(acting.values()))]
                for group, acting in sorted(self._acting.items())
                if acting
            ],
        }

    @classmethod
    def from_json(cls, state: Mapping[str, Any], names: Sequence[str]) -> "Recent":
        """What `as_json` gave, or an older version's: it wrote a list an element and no names."""
        recent = cls()
        recent.clock_ms = state["clock_ms"]
        minutes = {TOTAL: state["seconds"], **state.get("minutes", {})}
        recent._minutes = {action: Minute(seconds) for action, seconds in minutes.items()}
        recent.lease = Lease.from_json(state["lease"]) if "lease" in state else NO_LEASE
        if members := state.get("members"):
            label_sets = taken(members["label_sets"], members["label_set"])
            recent._elements = acted_of(state["acted"], names)
            recent._homes = dict(zip(taken(names, members["element"]), label_sets, strict=True))
            for label, value, places, clocks_ms in state["acting"]:
                acting = zip(taken(names, places), accumulate(clocks_ms), strict=True)
                recent._acting[label, value] = dict(acting)
        else:
            recent._elements, recent._homes = acted_before(state["elements"]), state["homes"]
            recent._acting = {(label, value): dict(a) for label, value, a in state["acting"]}
        recent.group_by(state["groups"])
        return recent

    def _forget(self) -> None:
        """Drop what counts no longer; changes no answer."""
        clock_ms = self.clock_ms
        self._elements = {e: a for e, a in self._elements.items() if a.until_ms > clock_ms}
        self._minutes = {a: m for a, m in self._minutes.items() if m.count(clock_ms)}

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
