"""Decisions that wait for a person, and pairs about which nobody is asked for now. Pure.

A pair is an element and an action: at most one hold of it is open. After a denial or an expiry the
pair is left in peace for a cool-down. Time is the partition's clock, which is event time; while the
source is silent, ticks count instead, but only those that passed since the hold was opened, because
a replay's event time is far from the wall clock.

Bound: `MAX_HOLDS` pairs, open or in peace.
"""

import heapq
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import astuple, dataclass
from typing import Any, Final

from flyball_proto.columns import Model, Outcome, Released, Waiting

MAX_HOLDS: Final = 10_000
MAX_BYTES: Final = 3 << 20
"""Of the holds that are open, so that one output can end all of them at once."""
HOLD_BYTES: Final = 150
"""What a hold takes beside its texts: its decision, its model and figures."""

Pair = tuple[str, str]
"""Element and action."""

PEACE: Final[Mapping[Outcome, str]] = {
    Outcome.DENIED: "a person denied it lately",
    Outcome.EXPIRED: "nobody answered lately",
}


@dataclass(slots=True)
class Open:
    """A hold; `agreed` are those who approved it so far, `patience_ms` what it had when it opened.

    `tick_ms` is the first tick after that, 0 = none yet.
    """

    hold: Waiting
    patience_ms: int
    tick_ms: int = 0
    agreed: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Peace:
    """Until when nobody is asked about a pair, by the clock, and after what."""

    until_ms: int
    after: Outcome


class Holds:
    """Of one partition. Changes only by `open`, `agree`, `withdraw`, `end` and `tick`."""

    def __init__(self) -> None:
        self._open: dict[str, Open] = {}  # by decision, in the order of their opening
        self._waiting: dict[Pair, str] = {}
        self._peace: dict[Pair, Peace] = {}
        self._due: list[tuple[int, int, str]] = []  # (expires, serial, decision), a heap
        self._serial = self._bytes = 0

    def __len__(self) -> int:
        return len(self._open)

    def get(self, decision: str) -> Open | None:
        """The open hold of a decision."""
        return self._open.get(decision)

    def is_waiting(self, pair: Pair) -> bool:
        """Whether a person is asked about the pair already."""
        return pair in self._waiting

    def peace(self, pair: Pair, clock_ms: int) -> str | None:
        """Why nobody is asked about the pair now; None when somebody may be."""
        peace = self._peace.get(pair)
        if peace is None or peace.until_ms <= clock_ms:
            return None
        return PEACE[peace.after]

    def is_full(self, clock_ms: int) -> bool:
        """Whether no further hold can be opened."""
        if len(self._open) + len(self._peace) >= MAX_HOLDS:
            self._forget(clock_ms)
        return len(self._open) + len(self._peace) >= MAX_HOLDS or self._bytes >= MAX_BYTES

    def open(self, hold: Waiting, patience_ms: int) -> None:
        """A decision begins to wait; the caller asked `is_waiting`, `peace` and `is_full`."""
        self._put(Open(hold, patience_ms))
        self._peace.pop((hold.element, hold.action), None)

    def agree(self, decision: str, by: str) -> None:
        """One of several people approved."""
        found = self._open[decision]
        found.agreed = (*found.agreed, by)

    def withdraw(self, by: str) -> list[str]:
        """Approvals of `by` count no longer; returns the holds that had one, oldest first."""
        found = [d for d, open_ in self._open.items() if has_agreed(by, open_.agreed)]
        for decision in found:
            open_ = self._open[decision]
            open_.agreed = tuple(name for name in open_.agreed if not has_agreed(by, (name,)))
        return found

    def end(self, released: Released, peace_ms: int) -> None:
        """A hold ended; without approval its pair is left in peace for `peace_ms`."""
        hold = released.hold
        pair = (hold.element, hold.action)
        del self._open[hold.decision], self._waiting[pair]
        self._bytes -= bytes_of(hold)
        if released.outcome is not Outcome.APPROVED and peace_ms:
            self._peace[pair] = Peace(released.clock_ms + peace_ms, released.outcome)

    def overdue(self, clock_ms: int) -> Iterator[Waiting]:
        """Open holds that are expired at `clock_ms`, oldest first; the caller ends each at once."""
        while self._due and self._due[0][0] <= clock_ms:
            found = self._open.get(heapq.heappop(self._due)[2])
            if found is not None:
                yield found.hold

    def tick(self, tick_ms: int) -> list[Waiting]:
        """A tick: holds that had their time although the clock stood still; the caller ends them."""
        late = []
        for found in self._open.values():
            found.tick_ms = found.tick_ms or tick_ms
            if tick_ms - found.tick_ms >= found.patience_ms:
                late.append(found.hold)
        return late

    def as_json(self, clock_ms: int) -> dict[str, Any]:
        """Plain values; the same state gives the same."""
        self._forget(clock_ms)
        models = {found.hold.model: None for found in self._open.values()}
        places = {model: i for i, model in enumerate(models)}
        return {
            "models": [astuple(model) for model in models],
            "open": [_plain(found, places) for found in self._open.values()],
            "peace": [[*pair, p.until_ms, p.after] for pair, p in sorted(self._peace.items())],
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> "Holds":
        """What `as_json` gave."""
        holds = cls()
        models = [Model(*fields) for fields in plain["models"]]
        for fields in plain["open"]:
            holds._put(_opened(fields, models))
        holds._peace = {
            (element, action): Peace(until_ms, Outcome(after))
            for element, action, until_ms, after in plain["peace"]
        }
        return holds

    def _put(self, found: Open) -> None:
        hold = found.hold
        self._open[hold.decision] = found
        self._bytes += bytes_of(hold)
        self._waiting[hold.element, hold.action] = hold.decision
        self._serial += 1
        heapq.heappush(self._due, (hold.expires_ms, self._serial, hold.decision))

    def _forget(self, clock_ms: int) -> None:
        """Drop what counts no longer; changes no answer."""
        self._peace = {pair: p for pair, p in self._peace.items() if p.until_ms > clock_ms}


def has_agreed(by: str, agreed: Sequence[str]) -> bool:
    """Whether somebody is among them; `Ana` and `ana ` are one person."""
    return by.strip().casefold() in {name.strip().casefold() for name in agreed}


def bytes_of(hold: Waiting) -> int:
    """What a hold takes in an output, about."""
    texts = (hold.element, hold.label_set, hold.action, hold.reason, hold.fact_set)
    return HOLD_BYTES + sum(map(len, texts))


def _plain(found: Open, places: Mapping[Model, int]) -> list[Any]:
    hold = found.hold
    return [
        hold.decision,
        hold.element,
        hold.label_set,
        hold.action,
        hold.score,
        hold.risk,
        hold.category,
        hold.reason,
        places[hold.model],
        hold.time_ms,
        hold.expires_ms,
        hold.opened_ms,
        found.patience_ms,
        found.tick_ms,
        list(found.agreed),
        hold.approvals,
        hold.fact_set,
    ]


def _opened(fields: Sequence[Any], models: Sequence[Model]) -> Open:
    said, model = fields[:8], models[fields[8]]
    time_ms, expires_ms, opened_ms, patience_ms, tick_ms, agreed = fields[9:15]
    decision, element, label_set, action, score, risk, category, reason = said
    hold = Waiting(
        decision,
        element,
        label_set,
        action,
        score,
        risk,
        category,
        reason,
        model,
        time_ms,
        expires_ms,
        opened_ms,
        *fields[15:17],  # approvals and facts; written before there were any: neither
    )
    return Open(hold, patience_ms, tick_ms, tuple(agreed))
