"""Actions that people approved after their row was decided, and which rows they reached. Pure.

An approved action reaches its element at the partition's clock of that moment. From then on the
element's rows are under it: those that were decided before, and those that lag behind the clock.
"""

from collections import deque
from collections.abc import Sequence
from typing import Final, NamedTuple

from flyball_proto.columns import Outcome, Released

MAX_APPROVALS: Final = 10_000
"""Remembered at once. At the bound the oldest counts for every element: too much is censored then,
never too little."""


class Approval(NamedTuple):
    """A person let an action go out; `message` is its place in VERDICTS, behind `before` rows."""

    message: int
    before: int
    element: str
    time_ms: int


class Approvals:
    """Of one partition, as long as a row that they reached may still get its label."""

    def __init__(self) -> None:
        self._all: deque[Approval] = deque()
        self._times: dict[str, list[int]] = {}
        self._everywhere_ms = -1

    @property
    def since(self) -> int | None:
        """The VERDICTS message of the oldest that is still needed."""
        return self._all[0].message if self._all else None

    def add(self, approval: Approval) -> None:
        """An action goes out."""
        self._all.append(approval)
        self._times.setdefault(approval.element, []).append(approval.time_ms)
        if len(self._all) > MAX_APPROVALS:
            self._everywhere_ms = max(self._everywhere_ms, self._drop().time_ms)

    def reached(self, element: str, from_ms: int, to_ms: int) -> bool:
        """Whether one reached the element from `from_ms` to `to_ms`, both included."""
        if from_ms <= self._everywhere_ms:
            return True
        return any(from_ms <= time_ms <= to_ms for time_ms in self._times.get(element, ()))

    def forget(self, before_ms: int) -> None:
        """Let go of what is older: no row that it reached is waited for any more."""
        while self._all and self._all[0].time_ms < before_ms:
            self._drop()

    def _drop(self) -> Approval:
        oldest = self._all.popleft()
        times = self._times[oldest.element]
        times.remove(oldest.time_ms)
        if not times:
            del self._times[oldest.element]
        return oldest


def approvals_in(released: Sequence[Released], message: int) -> deque[Approval]:
    """The approvals among the ends of holds of one VERDICTS message, in order."""
    return deque(
        Approval(message, end.before, end.hold.element, end.clock_ms)
        for end in released
        if end.outcome is Outcome.APPROVED
    )
