"""Operational limits of the domain expert, in CEL: they can only tighten a verdict. Pure.

What an expression may say, `flyball_proto.spec.boundaries` checks when it is applied. What cannot be
evaluated counts as applying: a limit that fails must not let anything through.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Final

from flyball_proto.columns import Verdict
from flyball_proto.spec import Boundary
from flyball_risk.limits.clauses import Clause, clauses_of
from flyball_risk.limits.facts import Facts

VERDICTS: Final = {"hold": Verdict.HOLD, "deny": Verdict.DENY}
STRICTNESS: Final = {Verdict.HOLD: 1, Verdict.DENY: 2}


@dataclass(frozen=True, slots=True)
class Limit:
    """A boundary, compiled: it applies when all of its clauses do."""

    name: str
    verdict: Verdict
    when: str
    clauses: tuple[Clause, ...]

    @property
    def paths(self) -> Iterator[str]:
        """The facts that it names."""
        for clause in self.clauses:
            yield from clause.paths


@dataclass(frozen=True, slots=True)
class Reached:
    """A limit that applies to a decision; `trouble` says why it could not be evaluated."""

    limit: Limit
    trouble: str = ""

    def reason(self, action: str) -> str:
        """What a person reads."""
        trouble = f" ({self.trouble})" if self.trouble else ""
        what = "waits for a person" if self.limit.verdict is Verdict.HOLD else "denied"
        return f"{action}: boundary {self.limit.name} applies{trouble}: {what}"


def compile_limits(boundaries: Sequence[Boundary]) -> tuple[Limit, ...]:
    """Compile once, strictest first, so that the first that applies decides."""
    limits = [Limit(b.name, VERDICTS[b.verdict], b.when, clauses_of(b.when)) for b in boundaries]
    return tuple(sorted(limits, key=lambda limit: -STRICTNESS[limit.verdict]))


def first_reached(limits: Iterable[Limit], facts: Facts) -> Reached | None:
    """The strictest limit that applies; None when none does."""
    for limit in limits:
        reached = _reached(limit, facts)
        if reached is not None:
            return reached
    return None


def _reached(limit: Limit, facts: Facts) -> Reached | None:
    """As CEL joins by &&: one clause that is false is enough, also beside one that fails."""
    trouble = ""
    for clause in limit.clauses:
        found = clause.ask(facts)
        if found is False:
            return None
        if found is not True:
            trouble = trouble or found
    return Reached(limit, trouble)
