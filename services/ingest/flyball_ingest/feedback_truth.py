"""Truth that is published. Pure."""

from dataclasses import dataclass, field

from typing_extensions import override

from flyball_ingest.awaiting import CONTRADICTION, LATE, UNKNOWN_ROW, Awaiting
from flyball_ingest.decided import Decided
from flyball_ingest.sampling import Rule


@dataclass(slots=True)
class Remembered:
    """Open rows of one element by their time, and when it was last acted on."""

    rows: dict[int, Decided] = field(default_factory=dict)
    acted_ms: int = -1


class FeedbackTruth(Awaiting):
    """The label of a row is published; rows are remembered for a horizon, also labelled ones.

    It is known by the clock at its arrival. A row is censored when an action, also one that
    people approved later, reached the element from its time until then.
    """

    def __init__(self, rule: Rule) -> None:
        super().__init__(rule)
        self._elements: dict[str, Remembered] = {}

    @override
    def decide(self, row: Decided, clock_ms: int) -> None:
        known = self._elements.get(row.element)
        if known is None:
            known = self._elements[row.element] = Remembered()
        if row.acted:
            known.acted_ms = max(known.acted_ms, row.time_ms)
        if (twin := known.rows.get(row.time_ms)) is not None:  # long ago, or it would be a double
            self._give_up(twin)
            known = self._elements.setdefault(row.element, known)
        known.rows[row.time_ms] = row
        self._backlog.add(row)

    @override
    def confirm(self, element: str, time_ms: int, value: float, clock_ms: int) -> str | None:
        if clock_ms > time_ms + self._rule.horizon_ms:
            return LATE
        known = self._elements.get(element)
        row = known.rows.get(time_ms) if known is not None else None
        if known is None or row is None:
            return UNKNOWN_ROW
        if row.label is not None:
            return None if row.label == value else CONTRADICTION
        known_ms = max(time_ms, clock_ms)
        acted = known.acted_ms >= time_ms or self.approvals.reached(element, time_ms, known_ms)
        self._label(row, value, known_ms, censored=acted)
        return None

    @override
    def _forget(self, row: Decided) -> None:
        known = self._elements[row.element]
        del known.rows[row.time_ms]
        if not known.rows:
            del self._elements[row.element]
