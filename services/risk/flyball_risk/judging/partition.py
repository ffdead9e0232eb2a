"""All that judging one partition depends on: what was dispatched, who waits, whether it is stopped.

Pure. Survives a crash as one durable snapshot, and holds what the classes in it are bounded to.
"""

import json
import zlib
from dataclasses import dataclass, field
from typing import Any

import msgspec

from flyball_proto.breakers import BreakerOrder
from flyball_proto.columns import Answered, Context, Outcome, Released, Turned, Waiting
from flyball_proto.columns import Breaker as State
from flyball_proto.holds import StopOrder
from flyball_risk.breaking.breaker import Breaker
from flyball_risk.breaking.merits import Merits
from flyball_risk.holding.history import History
from flyball_risk.holding.holds import Holds
from flyball_risk.judging.caution import Caution
from flyball_risk.judging.clock import Clock
from flyball_risk.judging.policy import Policy
from flyball_risk.judging.recent import Recent
from flyball_risk.judging.written import Names


@dataclass(slots=True)
class Changes:
    """What became of holds since the last output; `rows` were judged in that time."""

    rows: int = 0
    opened: list[Waiting] = field(default_factory=list)
    released: list[Released] = field(default_factory=list)
    answered: list[Answered] = field(default_factory=list)
    context: list[Context] = field(default_factory=list)
    turned: list[Turned] = field(default_factory=list)

    def __len__(self) -> int:
        return len(self.opened) + len(self.released) + len(self.answered) + len(self.turned)


class Partition:
    """The state, and what changed in it since the last output."""

    def __init__(self) -> None:
        self.recent, self.holds, self.breaker = Recent(), Holds(), Breaker()
        self.clock = Clock()
        self.history = History()
        self.caution = Caution()
        self.merits = Merits()
        self.order: StopOrder | None = None
        self.changes = Changes()

    @property
    def stop_words(self) -> str:
        """`stopped by NAME: WHY`; empty while it is not stopped."""
        if self.order is None or not self.order.stop.stopped:
            return ""
        stop = self.order.stop
        return f"stopped by {stop.by}: {stop.why}" if stop.why else f"stopped by {stop.by}"

    @property
    def stop_revision(self) -> int:
        """Of the newest stop order; 0 = there never was one."""
        return self.order.revision if self.order else 0

    def obey(self, order: StopOrder) -> None:
        """A person stopped or resumed the pipeline; an order older than the last changes nothing."""
        if order.revision > self.stop_revision:
            self.order = order

    def advance(self, time_ms: int, policy: Policy, row: int) -> None:
        """Event time reached `time_ms` before row `row` of the output: holds may expire."""
        self.recent.advance(time_ms)
        clock_ms = self.recent.clock_ms
        self.merits.advance(clock_ms, policy.autonomy)
        self.breaker.advance(clock_ms, row, policy.risk.breaker, policy.digest)
        if self.breaker.turned:
            self._take_turns()
        for hold in self.holds.overdue(clock_ms):
            self._expire(hold, hold.expires_ms, policy, row)

    def tick(self, tick_ms: int, policy: Policy) -> None:
        """A second passed somewhere, whatever the source says."""
        for hold in self.holds.tick(tick_ms):
            self._expire(hold, self.recent.clock_ms, policy, self.changes.rows)
        self.breaker.tick(tick_ms, self.changes.rows)
        self._take_turns()

    def turn(self, order: BreakerOrder) -> bool:
        """The breaker of another partition opened, or a person resets them all; whether it turned."""
        self.breaker.obey(order, self.changes.rows)
        return self._take_turns()

    def open(self, hold: Waiting, context: Context, policy: Policy) -> None:
        """A row of the output begins to wait."""
        self.holds.open(hold, policy.hold_expires_ms)
        self.changes.opened.append(hold)
        self.changes.context.append(context)

    def end(self, released: Released, policy: Policy) -> None:
        """A hold ended."""
        rule = policy.rules.get(released.hold.action)
        self.holds.end(released, rule.cooldown_ms if rule else 0)
        self.changes.released.append(released)
        self.history.ended(released)
        self.merits.answered(released.outcome)

    def dump(self) -> bytes:
        """The whole state; the same state gives the same bytes."""
        names = Names()
        state = {
            **self.recent.as_json(names),
            "holds": self.holds.as_json(self.recent.clock_ms),
            "breaker": self.breaker.as_json(),
            "merits": self.merits.as_json(),
            "caution": self.caution.as_json(names),
            "history": self.history.as_json(),
            "leap": self.clock.as_json(),
            "order": self.order.model_dump(mode="json") if self.order else None,
            "names": names.as_json(),
        }
        return zlib.compress(msgspec.json.encode(state), 1)

    @classmethod
    def load(cls, data: bytes) -> "Partition":
        """What `dump` gave; before there were holds it gave neither them nor an order."""
        state: dict[str, Any] = json.loads(zlib.decompress(data))
        partition = cls()
        names = state.get("names", [])
        partition.recent = Recent.from_json(state, names)
        if holds := state.get("holds"):
            partition.holds = Holds.from_json(holds)
        partition.breaker = Breaker.from_json(state.get("breaker", {}))
        partition.merits = Merits.from_json(state.get("merits", {}))
        partition.caution = Caution.from_json(state.get("caution", {}), names)
        partition.history = History.from_json(state.get("history", []))
        partition.clock = Clock.from_json(state.get("leap"))
        if order := state.get("order"):
            partition.order = StopOrder.model_validate(order)
        return partition

    def _take_turns(self) -> bool:
        turned, self.breaker.turned = self.breaker.turned, []
        self.changes.turned += turned
        if any(each.state is State.OPEN for each in turned):
            self.merits.restart()
        return bool(turned)

    def _expire(self, hold: Waiting, clock_ms: int, policy: Policy, row: int) -> None:
        why = "nobody answered in time"
        self.end(Released(hold, Outcome.EXPIRED, "", why, 0, clock_ms, row), policy)
