"""When a pipeline steps back to advisory by itself, and how it finds its way back. Pure.

    closed → open    a share jumped (`windows`), no label came for too long, another partition's opened
    open → trial     after a wait of event time, or of ticks while the source is silent
    trial → closed   a window is as usual; a few of the elements were acted on in that time
    trial → open     it is not; the wait doubles
    any → closed     a person says so, and what is usual is learnt anew

The state of one partition; the others hear of its opening in band, with the next decisions. While
it is not closed every proposal is weighed as ever, and what would go out is recorded only; in a
trial `TRIED` of the elements are acted on.
"""

from collections.abc import Mapping
from typing import Any, Final

from flyball_proto import sticky
from flyball_proto.breakers import BreakerOrder
from flyball_proto.columns import DISPATCHED, Category, Turned, Verdict
from flyball_proto.columns import Breaker as State
from flyball_proto.spec import BreakerRule, format_duration
from flyball_risk.breaking.windows import Reference, Window

TRIED: Final = 0.1
"""Share of the elements that a trial acts on, by a hash: the same for the whole trial."""
MAX_WAIT_MS: Final = 86_400_000
LABELS: Final = -1
"""Among the kinds that a breaker opened for: labels that did not come."""


class Breaker:
    """Changes by its verbs; what it did since the last output is in `turned`. About 500 bytes."""

    def __init__(self) -> None:
        self.state = State.CLOSED
        self.number, self.reason = 0, ""
        self.turned: list[Turned] = []
        self._clock_ms = self._until_ms = self._wait_ms = self._tick_ms = 0
        self._kinds: list[int] = []
        self._policy = ""
        self._window, self._reference = Window(), Reference()
        self._labelled_ms = self._acted_ms = self._opened_labelled_ms = 0

    @property
    def is_open(self) -> bool:
        """Whether it is not closed: open, or in a trial."""
        return self.state is not State.CLOSED

    def why_not(self, element: str) -> str:
        """Why a proposal of this element may only be recorded now; empty when it may go on."""
        if self.state is State.CLOSED:
            return ""
        if self.state is State.OPEN:
            return f"the breaker is open, {self.reason}"
        if sticky.fraction("breaker", str(self.number), element) < TRIED:
            return ""
        return f"the breaker is in a trial, {TRIED:.0%} of the elements are acted on"

    def advance(self, clock_ms: int, row: int, rule: BreakerRule, policy: str) -> None:
        """The partition's clock reached `clock_ms` before row `row` of the output.

        `policy` is the digest of the rules: under other rules other shares are usual.
        """
        self._clock_ms = clock_ms
        if policy != self._policy:
            self._policy, self._window, self._reference = policy, Window(), Reference()
        if not rule.enabled:
            self._close("the specification switched it off", row)
            return
        if self.state is State.OPEN and clock_ms >= self._until_ms:
            self._try(row)
        if self._window.is_over(clock_ms, rule.window_ms, rule.least):
            self._end_window(row, rule)
        self._look_for_labels(row, rule)

    def tick(self, tick_ms: int, row: int) -> None:
        """A second passed somewhere, whatever the source says."""
        if self.state is State.OPEN:
            self._tick_ms = self._tick_ms or tick_ms
            if tick_ms - self._tick_ms >= self._wait_ms:
                self._try(row)

    def hear(self, labelled_ms: int) -> None:
        """The newest event time at which any label was known; before the rows of an output."""
        if labelled_ms > self._labelled_ms:
            self._labelled_ms, self._acted_ms = labelled_ms, 0

    def weigh(self, verdict: Verdict, category: Category, *, finite: bool) -> None:
        """A proposal that might go out was judged, as if the breaker were closed."""
        is_denied = verdict is Verdict.DENY
        self._window.count(self._clock_ms, category >= Category.HIGH, is_denied, not finite)

    def note(self, verdict: Verdict) -> None:
        """What became of a proposal in the end."""
        if verdict in DISPATCHED:
            self._acted_ms = self._acted_ms or self._clock_ms

    def obey(self, order: BreakerOrder, row: int) -> None:
        """Another partition's opened, or a person closes it; what is known already changes nothing."""
        if order.state == "closed":
            self.number = max(self.number, order.number)
            self._window, self._reference = Window(), Reference()
            self._acted_ms = 0
            self._close(f"reset by {order.by}: {order.reason}", row, order.by)
        elif order.number > self.number:
            self.number = order.number
            self._clock_ms = self._clock_ms or order.clock_ms
            self._open(order.reason, row, order.wait_ms, [], order.by)

    def as_json(self) -> dict[str, Any]:
        """Plain values; the same state gives the same."""
        window = self._window
        return {
            "state": self.state,
            "number": self.number,
            "reason": self.reason,
            "clock_ms": self._clock_ms,
            "until_ms": self._until_ms,
            "wait_ms": self._wait_ms,
            "tick_ms": self._tick_ms,
            "kinds": self._kinds,
            "policy": self._policy,
            "labelled_ms": self._labelled_ms,
            "acted_ms": self._acted_ms,
            "opened_labelled_ms": self._opened_labelled_ms,
            "window": [window.since_ms, window.rows, window.hits],
            "reference": self._reference.as_json(),
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> "Breaker":
        """What `as_json` gave; nothing, before there were breakers."""
        breaker = cls()
        if not plain:
            return breaker
        breaker.state = State(plain["state"])
        breaker.number, breaker.reason = plain["number"], plain["reason"]
        for name in ("clock_ms", "until_ms", "wait_ms", "tick_ms", "kinds", "policy"):
            setattr(breaker, f"_{name}", plain[name])
        for name in ("labelled_ms", "acted_ms", "opened_labelled_ms"):
            setattr(breaker, f"_{name}", plain[name])
        breaker._window = Window(*plain["window"])
        breaker._reference = Reference.from_json(plain["reference"])
        return breaker

    def _end_window(self, row: int, rule: BreakerRule) -> None:
        window, self._window = self._window, Window()
        if self.state is State.OPEN:
            return
        jumps = self._reference.jumps(window)
        if self.state is State.CLOSED:
            if jumps:
                self._trip(self._reference.words(window, jumps), row, rule, jumps)
            else:
                self._reference.learn(window)
            return
        shares = [kind for kind in self._kinds if kind != LABELS]
        bad = sorted({*jumps, *self._reference.still(window, shares)})
        if bad:
            self._trip(self._reference.words(window, bad), row, rule, bad)
        elif LABELS in self._kinds and self._labelled_ms <= self._opened_labelled_ms:
            self._trip("there is still no label", row, rule, [LABELS])
        else:
            self._close(f"{window.rows} proposals of the trial are as usual", row)

    def _look_for_labels(self, row: int, rule: BreakerRule) -> None:
        within_ms = rule.labels_within_ms
        if within_ms is None or not self._acted_ms or self.state is not State.CLOSED:
            return
        if self._clock_ms - self._acted_ms > within_ms:
            words = f"no label came for {format_duration(within_ms)} while actions went out"
            self._trip(words, row, rule, [LABELS])

    def _trip(self, reason: str, row: int, rule: BreakerRule, kinds: list[int]) -> None:
        """Open by own figures; after a trial for twice as long as before."""
        again = self.state is State.TRIAL
        wait_ms = min(MAX_WAIT_MS, 2 * self._wait_ms) if again else rule.retry_after_ms
        self.number += 1
        self._open(reason, row, max(wait_ms, rule.retry_after_ms), kinds)

    def _open(self, reason: str, row: int, wait_ms: int, kinds: list[int], by: str = "") -> None:
        self._wait_ms, self._until_ms, self._tick_ms = wait_ms, self._clock_ms + wait_ms, 0
        self._kinds, self._window = kinds, Window()
        self._opened_labelled_ms, self._acted_ms = self._labelled_ms, 0
        self._turn(State.OPEN, reason, row, by)

    def _try(self, row: int) -> None:
        self._window = Window()
        self._turn(State.TRIAL, f"trial, after: {self.reason}", row)

    def _close(self, reason: str, row: int, by: str = "") -> None:
        if self.state is not State.CLOSED:
            self._kinds, self._until_ms = [], 0
            self._turn(State.CLOSED, reason, row, by)

    def _turn(self, state: State, reason: str, row: int, by: str = "") -> None:
        self.state, self.reason = state, reason
        self.turned.append(
            Turned(state, reason, self._clock_ms, self._until_ms, row, self.number, by)
        )
