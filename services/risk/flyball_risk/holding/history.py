"""What became of the last proposals about an element, for a person who is asked about the next. Pure.

Proposals of one action that came to the same, one behind the other, are one entry with a count.

Bounds: `MAX_ELEMENTS` elements, the one that proposed longest ago is forgotten first; of each the
last `MAX_ENTRIES` entries.
"""

import math
from collections import OrderedDict
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Any, Final

from flyball_proto.columns import Outcome, Released, Verdict

MAX_ELEMENTS: Final = 1000
MAX_ENTRIES: Final = 8

_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


@dataclass(slots=True)
class Entry:
    """`count` proposals in event time; `outcome` of a hold, 0 = it has none."""

    action: str
    verdict: int
    outcome: int
    first_ms: int
    last_ms: int
    count: int
    score: float

    @property
    def words(self) -> str:
        """One line; the score is the newest."""
        at = f"{_clock(self.first_ms)} {self.action} at {self.score:.2f}"
        became = Verdict(self.verdict).name.lower()
        if self.outcome:
            became += f", {Outcome(self.outcome).name.lower()}"
        more = f" ({self.count} proposals until {_clock(self.last_ms)})" if self.count > 1 else ""
        return f"{at}: {became}{more}"


class History:
    """Of one partition. Changes only by `note` and `ended`."""

    def __init__(self) -> None:
        self._elements: OrderedDict[str, list[Entry]] = OrderedDict()

    def lines(self, element: str) -> tuple[str, ...]:
        """The element's last entries, newest first."""
        return tuple(entry.words for entry in reversed(self._elements.get(element, ())))

    def note(self, element: str, time_ms: int, action: str, score: float, verdict: int) -> None:
        """A proposal was judged."""
        entries = self._elements.get(element)
        if entries is None:
            entries = self._elements[element] = []
            if len(self._elements) > MAX_ELEMENTS:
                self._elements.popitem(last=False)
        else:
            self._elements.move_to_end(element)
        last = entries[-1] if entries else None
        if last and last.verdict == verdict and not last.outcome and last.action == action:
            last.last_ms, last.score, last.count = time_ms, score, last.count + 1
            return
        entries.append(Entry(action, int(verdict), 0, time_ms, time_ms, 1, score))
        if len(entries) > MAX_ENTRIES:
            del entries[0]

    def ended(self, released: Released) -> None:
        """A hold ended; nothing happens when its entry is forgotten."""
        hold = released.hold
        for entry in reversed(self._elements.get(hold.element, ())):
            is_it = entry.first_ms <= hold.time_ms <= entry.last_ms and not entry.outcome
            if is_it and (entry.action, entry.verdict) == (hold.action, Verdict.HOLD):
                entry.outcome = int(released.outcome)
                return

    def as_json(self) -> list[Any]:
        """Plain values; the same state gives the same. A score that is no number becomes a word."""
        return [[e, [_plain(entry) for entry in found]] for e, found in self._elements.items()]

    @classmethod
    def from_json(cls, plain: Sequence[Any]) -> "History":
        """What `as_json` gave."""
        history = cls()
        for element, entries in plain:
            history._elements[element] = [
                Entry(*(*fields[:6], float(fields[6]))) for fields in entries
            ]
        return history


def _plain(entry: Entry) -> list[Any]:
    score = entry.score if math.isfinite(entry.score) else str(entry.score)
    head = [entry.action, entry.verdict, entry.outcome, entry.first_ms, entry.last_ms]
    return [*head, entry.count, score]


def signals_of(found: Mapping[str, float]) -> dict[str, float]:
    """Those that are known: a number that is none says nothing to a person."""
    return {name: float(value) for name, value in found.items() if math.isfinite(value)}


def _clock(time_ms: int) -> str:
    """Event time as people read it; one that no calendar has stays a number."""
    try:
        return f"{_EPOCH + timedelta(milliseconds=time_ms):%Y-%m-%d %H:%M:%S}"
    except OverflowError:
        return f"{time_ms} ms"
