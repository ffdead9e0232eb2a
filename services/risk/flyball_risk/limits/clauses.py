"""A boundary's expression, compiled so that it costs little for every proposal. Pure.

An expression gets only the facts that it names. Of what is joined by && at its top, that whose facts
come again and again, as labels and hours do, is one clause, whose answers are remembered; the rest,
with scores and signals, is another, and asked only where the first applies.
"""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Final

import cel

from flyball_proto.spec.boundaries import facts_in
from flyball_proto.spec.expressions import conjuncts, parse
from flyball_proto.spec.tokens import BoundaryError
from flyball_proto.spec.typed import LABELS
from flyball_risk.limits.facts import RARELY_AGAIN, READERS, Facts, Reader, reader

MAX_REMEMBERED: Final = 4096
"""Answers of one clause; at the bound all are forgotten."""

NO_CEL: Final = "its expression is not valid CEL"

_UNUSABLE: Final = (LookupError, RuntimeError, TypeError, ValueError, ArithmeticError)
"""What the CEL interpreter raises for a bad expression, an absent label, mixed types."""

Found = bool | str
"""Whether it applies, or why that cannot be said."""


@dataclass(frozen=True, slots=True)
class Clause:
    """Part of an expression; `program` is None when it is no CEL."""

    program: cel.Program | None
    paths: tuple[str, ...]
    readers: tuple[Reader, ...]
    is_remembered: bool
    remembered: dict[tuple[Any, ...], Found] = field(default_factory=dict, compare=False)

    def ask(self, facts: Facts) -> Found:
        """Whether it applies to a decision."""
        values = tuple([read(facts) for read in self.readers])
        if not self.is_remembered:
            return self._asked(values)
        found = self.remembered.get(values)
        if found is None:
            if len(self.remembered) >= MAX_REMEMBERED:
                self.remembered.clear()
            found = self.remembered[values] = self._asked(values)
        return found

    def _asked(self, values: Sequence[Any]) -> Found:
        if self.program is None:
            return NO_CEL
        try:
            applies = self.program.execute(_nested(self.paths, values))
        except _UNUSABLE as error:
            return f"it could not be evaluated: {self._why(values, error)}"
        if not isinstance(applies, bool):
            return f"it gives {type(applies).__name__}, not true or false"
        return applies

    def _why(self, values: Sequence[Any], error: Exception) -> str:
        """What is not known, if something is not; else the interpreter's own words."""
        if isinstance(error, KeyError):
            name = str(error.args[0])
            for path, value in zip(self.paths, values, strict=True):
                if value is None and path.rpartition(".")[2] == name:
                    is_label = path.startswith(f"{LABELS}.")
                    return (
                        f"the element has no label {name!r}" if is_label else f"{path} is not known"
                    )
        return " ".join(f"{type(error).__name__} {error}".split())[:160]


def clauses_of(when: str) -> tuple[Clause, ...]:
    """One clause, or two of which the first is remembered."""
    try:
        parts = [(part, _paths(part)) for part in conjuncts(when)]
    except BoundaryError:  # applied before expressions were checked
        return (_clause(when, tuple(READERS)),)
    often = [part for part, paths in parts if RARELY_AGAIN.isdisjoint(paths)]
    rarely = [part for part, paths in parts if not RARELY_AGAIN.isdisjoint(paths)]
    joined = ["\n&& ".join(chosen) for chosen in (often, rarely) if chosen]
    return tuple(_clause(text, _paths(text)) for text in joined)


def _clause(text: str, paths: tuple[str, ...]) -> Clause:
    readers = [reader(path) for path in paths]
    known = [read for read in readers if read is not None]
    if len(known) < len(readers):  # such a fact was never there: it cannot be evaluated
        paths, known = tuple(READERS), list(READERS.values())
    try:
        program = cel.compile(text)
    except _UNUSABLE:
        program = None
    is_remembered = LABELS not in paths and RARELY_AGAIN.isdisjoint(paths)
    return Clause(program, paths, tuple(known), is_remembered)


def _paths(text: str) -> tuple[str, ...]:
    return tuple(sorted(set(facts_in(parse(text)))))


def _nested(paths: Sequence[str], values: Sequence[Any]) -> dict[str, Any]:
    """Facts as the interpreter reads them; what is not known is absent."""
    seen: dict[str, Any] = {}
    for path, value in zip(paths, values, strict=True):
        *way, name = path.split(".")
        here = seen
        for step in way:
            here = here.setdefault(step, {})
        if value is not None:
            here[name] = value
    return seen
