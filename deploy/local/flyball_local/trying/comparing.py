"""What changes between two policies over the same recorded rows, and whether anything gets looser. Pure."""

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
    """Counts over rows, and the first examples of each kind of change."""

    rows: int = 0
    proposals: int = 0
    as_recorded: int = 0
    first_ms: int = 0
    last_ms: int = 0
    moves: Counter[tuple[str, str]] = field(default_factory=Counter)
    looser: int = 0
    tighter: int = 0
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
            self.looser += row.is_looser
            self.tighter += looseness(row.after) < looseness(row.before)
            self._kinds.setdefault(move, deque(maxlen=MAX_EXAMPLES)).append(row)

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
        kinds = sorted(self._kinds.values(), key=lambda rows: not rows[-1].is_looser)
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
            "examples": [_example(row) for row in self.examples()],
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
        "looser": row.is_looser,
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
