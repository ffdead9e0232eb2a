"""Operational limits of the domain expert, in CEL: they can only tighten a verdict. Pure.

What an expression may say, `flyball_proto.spec.boundaries` checks when it is applied. What cannot be
evaluated counts as applying: a limit that fails must not let anything through.

An expression gets only the facts that it names, and where the same ones come again and again, as
labels and hours do, its answer is remembered: at most `MAX_REMEMBERED`, then all are forgotten.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import cel

from flyball_proto.columns import Verdict
from flyball_proto.spec import Boundary
from flyball_proto.spec.boundaries import LABELS, facts_in
from flyball_proto.spec.expressions import parse
from flyball_proto.spec.tokens import BoundaryError
from flyball_risk.limits.facts import RARELY_AGAIN, READERS, Facts

VERDICTS: Final = {"hold": Verdict.HOLD, "deny": Verdict.DENY}
STRICTNESS: Final = {Verdict.HOLD: 1, Verdict.DENY: 2}
MAX_REMEMBERED: Final = 4096

_UNUSABLE: Final = (LookupError, RuntimeError, TypeError, ValueError, ArithmeticError)
"""What the CEL interpreter raises for a bad expression, an absent label, mixed types."""


@dataclass(frozen=True, slots=True)
class Limit:
    """A boundary, compiled; `program` is None when its expression is no CEL.

    `paths` are the facts it names, `remembered` its answers by their values.
    """

    name: str
    verdict: Verdict
    when: str
    program: cel.Program | None
    paths: tuple[str, ...]
    is_remembered: bool
    remembered: dict[Any, "Reached | None"] = field(default_factory=dict, compare=False)


@dataclass(frozen=True, slots=True)
class Reached:
    """A limit that applies to a decision; `trouble` says why it could not be evaluated."""

    limit: Limit
    trouble: str = ""

    def reason(self, action: str) -> str:
        """What a person reads; `boundary_in` finds the name again."""
        trouble = f" ({self.trouble})" if self.trouble else ""
        what = "waits for a person" if self.limit.verdict is Verdict.HOLD else "denied"
        return f"{action}: {_MARK}{self.limit.name} applies{trouble}: {what}"


_MARK: Final = "boundary "


def compile_limits(boundaries: Sequence[Boundary]) -> tuple[Limit, ...]:
    """Compile once, strictest first, so that the first that applies decides."""
    limits = [_limit(boundary) for boundary in boundaries]
    return tuple(sorted(limits, key=lambda limit: -STRICTNESS[limit.verdict]))


def first_reached(limits: Iterable[Limit], facts: Facts) -> Reached | None:
    """The strictest limit that applies; None when none does."""
    for limit in limits:
        reached = _asked(limit, facts) if limit.is_remembered else _reached(limit, facts)
        if reached is not None:
            return reached
    return None


def boundary_in(reason: str) -> str:
    """The name of the boundary that a verdict's reason is about; empty = none."""
    _, _, words = reason.partition(f": {_MARK}")
    name, _, rest = words.partition(" ")
    return name if rest.startswith("applies") else ""


def _limit(boundary: Boundary) -> Limit:
    try:
        paths = tuple(sorted(set(facts_in(parse(boundary.when)))))
    except BoundaryError:  # applied before expressions were checked
        paths = tuple(READERS)
    if not all(path in READERS for path in paths):
        paths = tuple(READERS)
    return Limit(
        boundary.name,
        VERDICTS[boundary.verdict],
        boundary.when,
        _compiled(boundary.when),
        paths,
        is_remembered=RARELY_AGAIN.isdisjoint(paths),
    )


def _compiled(expression: str) -> cel.Program | None:
    try:
        return cel.compile(expression)
    except _UNUSABLE:
        return None


def _asked(limit: Limit, facts: Facts) -> Reached | None:
    key = tuple(facts.label_set if path == LABELS else READERS[path](facts) for path in limit.paths)
    remembered = limit.remembered
    if key not in remembered:
        if len(remembered) >= MAX_REMEMBERED:
            remembered.clear()
        remembered[key] = _reached(limit, facts)
    return remembered[key]


def _reached(limit: Limit, facts: Facts) -> Reached | None:
    if limit.program is None:
        return Reached(limit, "its expression is not valid CEL")
    seen: dict[str, dict[str, Any]] = {}
    for path in limit.paths:
        root, _, name = path.partition(".")
        known, value = seen.setdefault(root, {}), READERS[path](facts)
        if value is not None:
            known[name] = dict(value) if path == LABELS else value
    try:
        applies = limit.program.execute(seen)
    except _UNUSABLE as error:
        return Reached(limit, f"it could not be evaluated: {_why(limit, seen, error)}")
    if not isinstance(applies, bool):
        return Reached(limit, f"it gives {type(applies).__name__}, not true or false")
    return Reached(limit) if applies else None


def _why(limit: Limit, seen: dict[str, dict[str, Any]], error: Exception) -> str:
    """What was missing, if something was; else the interpreter's own words."""
    if isinstance(error, KeyError):
        name = str(error.args[0])
        for path in limit.paths:
            root, _, known = path.partition(".")
            if known == name and name not in seen[root]:
                return f"{path} is not known"
        return f"the element has no label {name!r}"
    return " ".join(f"{type(error).__name__} {error}".split())[:160]
