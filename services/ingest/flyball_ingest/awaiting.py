"""Decided rows that await the truth about them, in bounds. Pure.

Later rows tell it (`future_truth`), or somebody does (`feedback_truth`). Rows come in the order of
FEATURES, those of one element in order of time. "The clock" is that of the partition: the newest
event time of its rows.
"""

from abc import ABC, abstractmethod
from collections import deque
from collections.abc import Callable
from typing import Final

from flyball_ingest.approvals import Approvals
from flyball_ingest.decided import Decided
from flyball_ingest.sampling import Rule

UNKNOWN_ROW: Final = "label-unknown-row"
CONTRADICTION: Final = "label-contradiction"
LATE: Final = "label-late"
NOT_WANTED: Final = "labels-not-wanted"

SPARE_ROWS: Final = 4096
"""Rows that nobody needs any more are swept out when there are more of them than of others."""


class Backlog:
    """Open rows in the order of their decisions."""

    def __init__(self) -> None:
        self._rows: deque[Decided] = deque()
        self._open = 0

    def __len__(self) -> int:
        return self._open

    def add(self, row: Decided) -> None:
        """Remember a row until `close`."""
        self._rows.append(row)
        self._open += 1

    def close(self, row: Decided) -> None:
        """Nobody needs this row any more."""
        row.open = False
        self._open -= 1
        if len(self._rows) > 2 * self._open + SPARE_ROWS:
            self._rows = deque(r for r in self._rows if r.open)

    def oldest(self) -> Decided | None:
        """The open row that was decided first."""
        while self._rows and not self._rows[0].open:
            self._rows.popleft()
        return self._rows[0] if self._rows else None

    def open_rows(self) -> list[Decided]:
        """All of them, oldest first."""
        return [row for row in self._rows if row.open]


class Awaiting(ABC):
    """At most `max_rows` rows are remembered; beyond that the oldest is given up.

    `done` collects rows whose label became known, in that order; `unlabelled` counts those given
    up without one; `floor` is the place of the last row that was given up for want of room;
    `approvals` are actions that people let out after their rows were decided.
    """

    def __init__(self, rule: Rule) -> None:
        self._rule = rule
        self._backlog = Backlog()
        self.approvals = Approvals()
        self.done: list[Decided] = []
        self.unlabelled = 0
        self.floor = (0, 0)

    def __len__(self) -> int:
        return len(self._backlog)

    @property
    def oldest(self) -> Decided | None:
        """The oldest row that is still needed."""
        return self._backlog.oldest()

    @abstractmethod
    def decide(self, row: Decided, clock_ms: int) -> None:
        """Take in a row; `clock_ms` is the clock before it."""

    @abstractmethod
    def confirm(self, element: str, time_ms: int, value: float, clock_ms: int) -> str | None:
        """Take in a published truth; a reason code when it is refused."""

    @abstractmethod
    def _forget(self, row: Decided) -> None:
        """Let go of an open row, which is the oldest of its element."""

    def settle(self, clock_ms: int, max_rows: int) -> None:
        """Give up what was waited for too long, then the oldest that do not fit."""
        self.approvals.forget(clock_ms - self._rule.patience_ms)
        while (row := self._backlog.oldest()) is not None:
            late, surplus = self._is_over(row, clock_ms), len(self._backlog) > max_rows
            if surplus and not late:
                self.floor = row.place
            elif not late:
                return
            self._give_up(row)

    def give_up_all(self) -> None:
        """Give up every row: another truth is wanted from now on."""
        for row in self._backlog.open_rows():
            self._give_up(row)

    def keep_only(self, is_wanted: Callable[[str], bool]) -> None:
        """Drop the rows of other elements, uncounted: they are no longer in the share."""
        for row in self._backlog.open_rows():
            if not is_wanted(row.element):
                self._drop(row)

    def _is_over(self, row: Decided, clock_ms: int) -> bool:
        return clock_ms > row.time_ms + self._rule.patience_ms

    def _give_up(self, row: Decided) -> None:
        if row.label is None:
            self.unlabelled += 1
        self._drop(row)

    def _drop(self, row: Decided) -> None:
        self._forget(row)
        self._backlog.close(row)

    def _label(self, row: Decided, label: float, known_ms: int, *, censored: bool) -> None:
        row.label, row.known_ms, row.censored = label, known_ms, censored
        self.done.append(row)
