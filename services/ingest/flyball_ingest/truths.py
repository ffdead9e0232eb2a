"""The newest truths of every element, for features of truth that had arrived. Pure.

Of each element the newest `depth` are kept by the event time they are about. The first truth about
a row counts, a second one changes nothing. A truth is forgotten as rows are, once `memory_bytes` of
input came behind it; so the state rebuilt from the oldest one kept equals the living one. One case
is exempt: a truth that had no room, or was a second one, because of one that is now forgotten may
be in the rebuilt state and not in the living one, until `depth` newer ones came.
"""

from array import array
from bisect import bisect_left
from collections.abc import Iterable
from dataclasses import dataclass, field
from math import fsum, nan
from typing import Any, Final

ALWAYS: Final = 1 << 62
"""An input offset that is never reached."""

TRUTH_BYTES: Final = 32
KNOWN_BYTES: Final = 900
"""What an element takes beside its truths: four arrays, its name, its features; measured."""


@dataclass(frozen=True, slots=True)
class TruthPlan:
    """Which features of truth a row has: lags first, then means, as in `feature_plan`."""

    lags: tuple[int, ...]
    means: tuple[int, ...]

    @property
    def width(self) -> int:
        """Features a row."""
        return len(self.lags) + len(self.means)

    @property
    def depth(self) -> int:
        """Truths that are kept of an element."""
        return max(self.lags + self.means)

    @property
    def element_bytes(self) -> int:
        """What the truths of one element take."""
        return KNOWN_BYTES + TRUTH_BYTES * self.depth + 16 * self.width


@dataclass(slots=True)
class _Known:
    """Truths of one element, in order of event time; `features` holds until `changes_at`.

    No truth was read before the input offset `oldest`; it may have been read later.
    """

    times_ms: "array[int]" = field(default_factory=lambda: array("q"))
    values: "array[float]" = field(default_factory=lambda: array("d"))
    sequences: "array[int]" = field(default_factory=lambda: array("q"))
    offsets: "array[int]" = field(default_factory=lambda: array("q"))
    oldest: int = ALWAYS
    features: tuple[float, ...] = ()
    changes_at: int = 0

    def keep(self, places: Iterable[int]) -> None:
        """Keep only the truths at these places."""
        chosen = list(places)
        self.times_ms = array("q", [self.times_ms[i] for i in chosen])
        self.values = array("d", [self.values[i] for i in chosen])
        self.sequences = array("q", [self.sequences[i] for i in chosen])
        self.offsets = array("q", [self.offsets[i] for i in chosen])
        self.oldest = min(self.offsets, default=ALWAYS)
        self.changes_at = 0


class Truths:
    """Truths by element; at most `max_elements` of them, `TruthPlan.element_bytes` each."""

    def __init__(self, plan: TruthPlan, max_elements: int, memory_bytes: int) -> None:
        self._plan, self._max_elements, self._memory = plan, max_elements, memory_bytes
        self._of: dict[str, _Known] = {}
        self._unknown = (nan,) * plan.width

    def __len__(self) -> int:
        return len(self._of)

    def has_room(self, element: str) -> bool:
        """Whether a truth about this element can be kept."""
        return element in self._of or len(self._of) < self._max_elements

    def add(self, element: str, time_ms: int, value: float, sequence: int, offset: int) -> None:
        """Take a truth that METRICS stored as `sequence`; `offset` is the input read, in bytes."""
        known = self._of.setdefault(element, _Known())
        self._forget(known, offset)
        times_ms, depth = known.times_ms, self._plan.depth
        place = bisect_left(times_ms, time_ms)
        is_known = place < len(times_ms) and times_ms[place] == time_ms
        is_full = len(times_ms) == depth
        if is_known or (is_full and place == 0):
            return
        for column, entry in (
            (times_ms, time_ms),
            (known.values, value),
            (known.sequences, sequence),
            (known.offsets, offset),
        ):
            column.insert(place, entry)  # type: ignore[arg-type] # the type of each column
            if is_full:
                column.pop(0)
        known.oldest = min(known.oldest, offset)
        known.changes_at = 0

    def features(self, element: str, offset: int) -> tuple[float, ...]:
        """Lags and means as of now; NaN where too few truths had arrived, or are remembered."""
        known = self._of.get(element)
        if known is None:
            return self._unknown
        if offset >= known.changes_at:
            self._forget(known, offset)
            known.features = self._computed(known.values)
            known.changes_at = known.oldest + self._memory
        return known.features

    def sweep(self, offset: int) -> int | None:
        """Drop what is forgotten; the oldest METRICS sequence that is left, None = none."""
        oldest = None
        for element, known in list(self._of.items()):
            self._forget(known, offset)
            if not known.sequences:
                del self._of[element]
                continue
            first = min(known.sequences)
            oldest = first if oldest is None else min(oldest, first)
        return oldest

    def dump(self) -> list[Any]:
        """The state as plain values and native arrays."""
        return [
            (
                element,
                known.times_ms.tobytes(),
                known.values.tobytes(),
                known.sequences.tobytes(),
                known.offsets.tobytes(),
            )
            for element, known in self._of.items()
        ]

    def load(self, state: list[Any]) -> None:
        """Become what `dump` gave."""
        for element, times_ms, values, sequences, offsets in state:
            self._of[element] = _Known(
                array("q", times_ms), array("d", values), array("q", sequences), array("q", offsets)
            )
            self._of[element].oldest = min(self._of[element].offsets, default=ALWAYS)

    def _forget(self, known: _Known, offset: int) -> None:
        horizon = offset - self._memory
        if known.oldest <= horizon:
            known.keep(i for i, read_at in enumerate(known.offsets) if read_at > horizon)

    def _computed(self, values: "array[float]") -> tuple[float, ...]:
        count = len(values)
        lags = [values[-lag] if lag <= count else nan for lag in self._plan.lags]
        means = [fsum(values[-rows:]) / min(rows, count) for rows in self._plan.means if count]
        return (*lags, *(means or [nan] * len(self._plan.means)))
