"""Operational limits of the domain expert, in CEL: they can only tighten a verdict. Pure.

An expression sees `element.name`, `element.labels.<label>`, `decision.action` and
`decision.score`. What cannot be evaluated counts as applying: a limit that fails must not let
anything through.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

import cel

from flyball_proto.columns import Verdict
from flyball_proto.spec import Boundary

VERDICTS: Final = {"hold": Verdict.HOLD, "deny": Verdict.DENY}
STRICTNESS: Final = {Verdict.HOLD: 1, Verdict.DENY: 2}

_UNUSABLE: Final = (LookupError, RuntimeError, TypeError, ValueError, ArithmeticError)
"""What the CEL interpreter raises for a bad expression, an absent label, mixed types."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A boundary, compiled; `program` is None when its expression is no CEL."""

    name: str
    verdict: Verdict
    program: cel.Program | None


@dataclass(frozen=True, slots=True)
class Reached:
    """A limit that applies to a decision; `trouble` says why it could not be evaluated."""

    limit: Limit
    trouble: str = ""


def compile_limits(boundaries: Sequence[Boundary]) -> tuple[Limit, ...]:
    """Compile once, strictest first, so that the first that applies decides."""
    limits = [Limit(b.name, VERDICTS[b.verdict], _compiled(b.when)) for b in boundaries]
    return tuple(sorted(limits, key=lambda limit: -STRICTNESS[limit.verdict]))


def first_reached(
    limits: Sequence[Limit], *, element: str, labels: Mapping[str, str], action: str, score: float
) -> Reached | None:
    """The strictest limit that applies; None when none does."""
    facts = {
        "element": {"name": element, "labels": dict(labels)},
        "decision": {"action": action, "score": score},
    }
    for limit in limits:
        if limit.program is None:
            return Reached(limit, "its expression is not valid CEL")
        try:
            applies = limit.program.execute(facts)
        except _UNUSABLE as error:
            return Reached(limit, f"it could not be evaluated: {_one_line(error)}")
        if not isinstance(applies, bool):
            return Reached(limit, f"it gives {type(applies).__name__}, not true or false")
        if applies:
            return Reached(limit)
    return None


def _compiled(expression: str) -> cel.Program | None:
    try:
        return cel.compile(expression)
    except _UNUSABLE:
        return None


def _one_line(error: Exception) -> str:
    return " ".join(f"{type(error).__name__} {error}".split())[:160]
