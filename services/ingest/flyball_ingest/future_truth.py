"""Truth that later rows tell. Pure."""

from typing_extensions import override

from flyball_ingest.awaiting import NOT_WANTED, Awaiting
from flyball_ingest.decided import Decided
from flyball_ingest.labelling import compile_label
from flyball_ingest.sampling import Rule


class Series:
    """Open rows of one element and their values, oldest first, and when it was last acted on."""

    __slots__ = ("_rows", "_start", "_values", "acted_ms")

    def __init__(self) -> None:
        self._rows: list[Decided] = []
        self._values: list[float] = []
        self._start = 0
        self.acted_ms = -1

    def __len__(self) -> int:
        return len(self._rows) - self._start

    @property
    def head(self) -> Decided:
        """The oldest row."""
        return self._rows[self._start]

    @property
    def newest_ms(self) -> int:
        """Time of the newest row."""
        return self._rows[-1].time_ms

    def push(self, row: Decided) -> None:
        """Add the newest row."""
        self._rows.append(row)
        self._values.append(row.own)
        if row.acted:
            self.acted_ms = row.time_ms

    def behind_head(self) -> list[float]:
        """Values of all rows after the oldest."""
        return self._values[self._start + 1 :]

    def pop(self) -> None:
        """Remove the oldest row."""
        self._start += 1
        if self._start > 64 and 2 * self._start > len(self._rows):
            del self._rows[: self._start], self._values[: self._start]
            self._start = 0


class FutureTruth(Awaiting):
    """The label of a row at t is an expression over the element's rows in (t, t + horizon].

    It is known when a row of the element at or behind the window's end is decided. The window
    counts as observed when its newest row lies within one and a half intervals of its end. A row is
    censored when an action, also one that people approved later, reached the element in
    [t, t + horizon]; a target that is the row's own
    value was measured before anything could be done about it.
    """

    def __init__(self, rule: Rule) -> None:
        super().__init__(rule)
        if rule.expression is None:
            raise ValueError("a published truth has no expression; use FeedbackTruth")
        self._label_of = compile_label(rule.expression)
        self._series: dict[str, Series] = {}

    @override
    def decide(self, row: Decided, clock_ms: int) -> None:
        if self._rule.is_known_at_once:
            label = self._label_of(row.own, ())
            if label is None:
                self.unlabelled += 1
            else:
                self._label(row, label, row.time_ms, censored=False)
            return
        series = self._series.get(row.element)
        while series and row.time_ms <= series.newest_ms:  # its time went back: it begins anew
            self._give_up(series.head)
        series = self._series.setdefault(row.element, series or Series())
        begun_ms = row.time_ms - self._rule.horizon_ms
        while len(series) and series.head.time_ms < begun_ms:
            self._complete(series, clock_ms)
        series.push(row)
        self._backlog.add(row)
        while series.head.time_ms == begun_ms:
            self._complete(series, clock_ms)

    @override
    def confirm(self, element: str, time_ms: int, value: float, clock_ms: int) -> str | None:
        return NOT_WANTED

    def _complete(self, series: Series, clock_ms: int) -> None:
        row, rule = series.head, self._rule
        end_ms = row.time_ms + rule.horizon_ms
        label = None
        # In halves: later than the end less one and a half intervals.
        is_observed = 2 * series.newest_ms > 2 * end_ms - 3 * rule.interval_ms
        if len(series) > 1 and is_observed and not self._is_over(row, clock_ms):
            label = self._label_of(row.own, series.behind_head())
        if label is None:
            self.unlabelled += 1
        else:
            acted = series.acted_ms >= row.time_ms
            approved = self.approvals.reached(row.element, row.time_ms, end_ms)
            self._label(row, label, end_ms, censored=acted or approved)
        series.pop()
        self._backlog.close(row)

    @override
    def _forget(self, row: Decided) -> None:
        series = self._series[row.element]
        series.pop()
        if not len(series):
            del self._series[row.element]
