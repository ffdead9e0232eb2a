"""What a pipeline did well since something last went wrong: counts of one partition. Pure.

They begin anew when the specification's autonomy changes, the breaker opens, or the pipeline
steps back because cleared decisions were wrong.
"""

from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any

from flyball_proto.columns import Category, Outcome, Verdict

HARMLESS = (Verdict.CLEAR, Verdict.NOTIFY, Verdict.ADVISE)


@dataclass(slots=True)
class Merits:
    """`good` are proposals that were cleared, or in an advisory pipeline would have been.

    `agreed` and `denied` are answers of people to holds; expiries are neither.
    """

    autonomy: str = ""
    since_ms: int = 0
    clock_ms: int = 0
    good: int = 0
    agreed: int = 0
    denied: int = 0

    def advance(self, clock_ms: int, autonomy: str) -> None:
        """The partition's clock reached `clock_ms` under this autonomy."""
        self.clock_ms = clock_ms
        if autonomy != self.autonomy or not self.since_ms:
            self.autonomy = autonomy
            self.restart()

    def restart(self) -> None:
        """Something went wrong, or is otherwise than before."""
        self.since_ms, self.good, self.agreed, self.denied = self.clock_ms, 0, 0, 0

    def judged(self, verdict: Verdict, category: Category) -> None:
        """A proposal was judged, before anything but its risk and the policy was looked at."""
        self.good += verdict in HARMLESS and category <= Category.MEDIUM

    def answered(self, outcome: Outcome) -> None:
        """A hold ended."""
        self.agreed += outcome is Outcome.APPROVED
        self.denied += outcome is Outcome.DENIED

    def as_json(self) -> dict[str, Any]:
        """Plain values; the same state gives the same."""
        return asdict(self)

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> "Merits":
        """What `as_json` gave; nothing, before there were merits."""
        return cls(**plain)


def together(partitions: Iterable[Merits]) -> Merits | None:
    """Of all partitions: the time that they share, and the sums; None while one has no row yet."""
    found = list(partitions)
    if not found or not all(each.clock_ms for each in found):
        return None
    return Merits(
        found[0].autonomy,
        max(each.since_ms for each in found),
        min(each.clock_ms for each in found),
        sum(each.good for each in found),
        sum(each.agreed for each in found),
        sum(each.denied for each in found),
    )
