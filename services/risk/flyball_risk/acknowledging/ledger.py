"""What elements owe and said about the newest actions of one pipeline. Pure.

Bound: `MAX_ACTIONS`; beyond, the oldest settled ones are forgotten first, then the oldest awaited.
"""

from dataclasses import dataclass
from datetime import datetime
from typing import Final

from flyball_proto.outcomes import NOT_APPLIED, AnyRecord, Awaited, Overdue, Told

MAX_ACTIONS: Final = 4_000


@dataclass(slots=True)
class Entry:
    """One action: that it is awaited, what was said, whether it is known to be overdue."""

    awaited: Awaited | None = None
    told: Told | None = None
    overdue: Overdue | None = None

    def is_foreign(self, word: Told) -> bool:
        """Whether another element than the one that received the action says it."""
        return self.awaited is not None and word.element != self.awaited.element

    @property
    def settled(self) -> bool:
        """Whether nothing is awaited any more."""
        return self.awaited is None or self.said is not None or self.overdue is not None

    @property
    def said(self) -> Told | None:
        """What the element that received the action said; another element's word counts nothing."""
        if self.awaited is None or self.told is None:
            return None
        return self.told if self.told.element == self.awaited.element else None


class Ledger:
    """Changes only by `note` and `forget`."""

    def __init__(self) -> None:
        self._entries: dict[str, Entry] = {}
        self._unheard: dict[str, None] = {}

    def __len__(self) -> int:
        return len(self._entries)

    def note(self, decision: str, record: AnyRecord) -> None:
        """A record was stored or changed."""
        entry = self._entries.get(decision)
        if isinstance(record, Told) and entry is not None and entry.is_foreign(record):
            return
        if entry is None and len(self._entries) >= MAX_ACTIONS:
            self._make_room()
        entry = self._entries.setdefault(decision, Entry())
        match record:
            case Awaited():
                entry.awaited = record
            case Told():
                entry.told = record
            case Overdue():
                entry.overdue = record
        if entry.settled:
            self._unheard.pop(decision, None)
        else:
            self._unheard[decision] = None

    def forget(self, decision: str) -> None:
        """Its records are gone."""
        self._entries.pop(decision, None)
        self._unheard.pop(decision, None)

    def due(self, now: datetime) -> list[str]:
        """Decisions about which a word is overdue and that has not been told, oldest first."""
        waiting = ((d, self._entries[d].awaited) for d in self._unheard)
        late = [(a.due_at, d) for d, a in waiting if a is not None and a.due_at <= now]
        return [decision for _, decision in sorted(late)]

    def not_applied(self, decision: str) -> bool:
        """Whether its element says that it did not carry the action out."""
        entry = self._entries.get(decision)
        said = entry.said if entry else None
        return said is not None and said.result in NOT_APPLIED

    def get(self, decision: str) -> Entry | None:
        """What is known of one action."""
        return self._entries.get(decision)

    def _make_room(self) -> None:
        """Forget the oldest one about which nothing is awaited; without any, the oldest."""
        settled = (d for d, entry in self._entries.items() if entry.settled)
        self.forget(next(settled, next(iter(self._entries))))
