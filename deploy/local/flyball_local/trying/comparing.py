"""What changes between two policies over the same recorded rows, and whether anything gets looser. Pure."""

import math
from collections import Counter, deque
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

from flyball_local.trying.again import Ruled
from flyball_proto.columns import Verdict
from flyball_proto.spec import Pipeline

MAX_EXAMPLES: Final = 10

LOOSE: Final = {Verdict.CLEAR: 4, Verdict.NOTIFY: 3, Verdict.REPLACE: 2, Verdict.HOLD: 1}
"""How easily something goes out; nothing does with the other verdicts, or without a proposal."""

NOT_REPLAYED: Final = (
    "people's answers and stops, and what other pipelines did: here every hold expires",
    "what happened before the oldest recorded verdict: cool-downs, budgets and groups begin empty",
    "calibration: the newest one judges all rows, whatever max_error the file says",
    "who is left alone at random: control_share is drawn with the default key",
)
"""For people."""


@dataclass(frozen=True, slots=True)
class Row:
    """One recorded row, as it was judged, and as both policies judge it again."""

    decision: str
    element: str
    time_ms: int
    score: float
    recorded: Ruled
    before: Ruled
    after: Ruled

    @property
    def differs(self) -> bool:
        """Whether something else becomes of it."""
        return (self.before.verdict, self.before.action) != (self.after.verdict, self.after.action)

    @property
    def is_looser(self) -> bool:
        """Whether something goes out that did not, or more easily; another action counts, too."""
        before, after = looseness(self.before), looseness(self.after)
        other = self.before.action != self.after.action
        return after > before or (other and after > 0)


@dataclass(slots=True)
class Comparison:
    """Counts over rows, and the newest examples of each kind of change.

    `keeps_budgets`: no cool-down or budget is wider than before. Then a row that was capped and is
    not any more goes out in the room that tighter rows leave, which is not looser.
    """

    keeps_budgets: bool = True
    rows: int = 0
    proposals: int = 0
    as_recorded: int = 0
    first_ms: int = 0
    last_ms: int = 0
    moves: Counter[tuple[str, str]] = field(default_factory=Counter)
    looser: int = 0
    tighter: int = 0
    room: int = 0
    boundaries_before: Counter[str] = field(default_factory=Counter)
    boundaries_after: Counter[str] = field(default_factory=Counter)
    settings: tuple[str, ...] = ()
    _kinds: dict[tuple[str, str], deque[Row]] = field(default_factory=dict)

    def add(self, row: Row) -> None:
        """Count a row that somebody proposes something for."""
        self.proposals += 1
        self.first_ms = min(self.first_ms or row.time_ms, row.time_ms)
        self.last_ms = max(self.last_ms, row.time_ms)
        self.as_recorded += row.recorded.verdict == row.before.verdict
        self.boundaries_before.update(row.before.boundaries)
        self.boundaries_after.update(row.after.boundaries)
        move = words(row.before, row.after)
        self.moves[move] += 1
        if row.differs:
            self.room += self.is_room(row)
            self.looser += self.is_looser_row(row)
            self.tighter += looseness(row.after) < looseness(row.before)
            self._kinds.setdefault(move, deque(maxlen=MAX_EXAMPLES)).append(row)

    def is_room(self, row: Row) -> bool:
        """Whether it goes out only because tighter rows leave room in a budget."""
        return row.is_looser and row.before.verdict is Verdict.CAP and self.keeps_budgets

    def is_looser_row(self, row: Row) -> bool:
        """Whether it goes out more easily, and not only in the room of others."""
        return row.is_looser and not self.is_room(row)

    @property
    def is_looser(self) -> bool:
        """Whether anything would become looser."""
        return bool(self.looser or self.settings)

    @property
    def changed(self) -> int:
        """Rows of which something else becomes."""
        return sum(n for (before, after), n in self.moves.items() if before != after)

    def examples(self) -> list[Row]:
        """At most `MAX_EXAMPLES`, of every kind of change in turn, looser ones first."""
        kinds = sorted(self._kinds.values(), key=lambda rows: not self.is_looser_row(rows[-1]))
        return list(_in_turn(kinds))[:MAX_EXAMPLES]

    def as_json(self) -> dict[str, Any]:
        """Plain values, for `--json`."""
        return {
            "rows": self.rows,
            "proposals": self.proposals,
            "as_recorded": self.as_recorded,
            "first_ms": self.first_ms,
            "last_ms": self.last_ms,
            "changed": self.changed,
            "looser": self.looser,
            "tighter": self.tighter,
            "room": self.room,
            "looser_settings": list(self.settings),
            "moves": [
                {"before": before, "after": after, "rows": n}
                for (before, after), n in self.moves.most_common()
            ],
            "boundaries": {
                name: {
                    "before": self.boundaries_before[name],
                    "after": self.boundaries_after[name],
                }
                for name in sorted({*self.boundaries_before, *self.boundaries_after})
            },
            "examples": [
                _example(row) | {"looser": self.is_looser_row(row)} for row in self.examples()
            ],
            "not_replayed": list(NOT_REPLAYED),
        }


def words(before: Ruled, after: Ruled) -> tuple[str, str]:
    """Both verdicts for people, with the actions where they differ."""
    found = tuple(
        "nothing" if r.verdict is None else r.verdict.name.lower() for r in (before, after)
    )
    if before.action != after.action:
        found = tuple(
            f"{w} {r.action}".strip() for w, r in zip(found, (before, after), strict=True)
        )
    return found[0], found[1]


def looseness(ruled: Ruled) -> int:
    """How easily something goes out; 0 = nothing can."""
    return LOOSE.get(ruled.verdict, 0) if ruled.verdict is not None else 0


def looser_settings(before: Pipeline, after: Pipeline) -> tuple[str, ...]:
    """Settings that recorded rows cannot tell apart, where the new policy is looser."""
    old, new = before.spec.risk, after.spec.risk
    found = []
    if new.hold.approvals < old.hold.approvals:
        found.append(f"risk.hold.approvals: {old.hold.approvals} → {new.hold.approvals}")
    if new.max_error > old.max_error:
        found.append(f"risk.max_error: {old.max_error:g} → {new.max_error:g}")
    if new.confidence < old.confidence:
        found.append(f"risk.confidence: {old.confidence:g} → {new.confidence:g}")
    if old.breaker.enabled and not new.breaker.enabled:
        found.append("risk.breaker.enabled: true → false")
    return tuple(found)


def keeps_budgets(before: Pipeline, after: Pipeline) -> bool:
    """Whether no cool-down and no budget is wider after than before."""
    old, new = before.spec.risk.budgets, after.spec.risk.budgets
    endless = math.inf
    pairs = [
        (old.actions_per_minute, new.actions_per_minute),
        (old.per_element or endless, new.per_element or endless),
        (new.window_ms, old.window_ms),
        *((n, new.per_action.get(a, endless)) for a, n in old.per_action.items()),
        *((n, new.elements_per_label.get(x, endless)) for x, n in old.elements_per_label.items()),
    ]
    cooldowns = {d.action: d.cooldown_ms for d in before.spec.decisions}
    pairs += [(d.cooldown_ms, cooldowns.get(d.action, 0)) for d in after.spec.decisions]
    return all(now <= was for was, now in pairs)


def _in_turn(kinds: list[deque[Row]]) -> Iterator[Row]:
    for place in range(MAX_EXAMPLES):
        for rows in kinds:
            if place < len(rows):
                yield rows[place]


def _example(row: Row) -> dict[str, Any]:
    return {
        "decision": row.decision,
        "element": row.element,
        "time_ms": row.time_ms,
        "score": row.score,
        **{
            name: {
                "verdict": ruled.verdict.name.lower() if ruled.verdict is not None else "nothing",
                "action": ruled.action,
                "reason": ruled.reason,
            }
            for name, ruled in (
                ("recorded", row.recorded),
                ("before", row.before),
                ("after", row.after),
            )
        },
    }
