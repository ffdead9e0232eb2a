"""What a verification found, and how it reads. Pure."""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Any, Final

MAX_PROBLEMS: Final = 100
"""Beyond them they are counted only."""


@dataclass(slots=True)
class Chain:
    """How far one subject was followed; numbers are those of its chain, 0 = nothing was chained."""

    subject: str
    entries: int = 0
    before: int = 0
    """Entries from before there was a chain."""
    first: int = 0
    last: int = 0
    gaps: int = 0
    """Entries that the archive says it went without."""
    vouched: int = 0
    """Last number that a checkpoint names and that was found as it says."""
    is_signed: bool = False
    """Whether that checkpoint is signed."""


@dataclass(slots=True)
class Findings:
    """Problems are contradictions; notes are what could not be checked, or is as it was said."""

    chains: list[Chain] = field(default_factory=list)
    problems: list[str] = field(default_factory=list)
    more: int = 0
    notes: list[str] = field(default_factory=list)

    @property
    def holds(self) -> bool:
        """Whether nothing contradicts anything."""
        return not self.problems

    def wrong(self, where: str, sequence: int | None, found: str, expected: str) -> None:
        """Add a problem."""
        if len(self.problems) >= MAX_PROBLEMS:
            self.more += 1
            return
        place = where if sequence is None else f"{where}, sequence {sequence}"
        self.problems.append(f"{place}: found {found}; expected {expected}")

    def as_json(self) -> dict[str, Any]:
        """Plain values, for `--json`."""
        return {
            "holds": self.holds,
            "chains": [
                {name: getattr(chain, name) for name in chain.__slots__} for chain in self.chains
            ],
            "problems": self.problems,
            "more_problems": self.more,
            "notes": self.notes,
        }


def lines(findings: Findings) -> Iterator[str]:
    """For people."""
    for chain in findings.chains:
        yield _chain(chain)
    if not findings.chains:
        yield "nothing is chained here"
    for note in findings.notes:
        yield f"note: {note}"
    for problem in findings.problems:
        yield f"PROBLEM: {problem}"
    if findings.more:
        yield f"and {findings.more} more problems"
    yield "the record holds" if findings.holds else "the record does NOT hold"


def _chain(chain: Chain) -> str:
    words = [f"{chain.subject}: {chain.entries} entries"]
    if chain.first:
        words.append(f"numbers {chain.first} to {chain.last}")
    if chain.before:
        words.append(f"{chain.before} from before there was a chain")
    if chain.gaps:
        words.append(f"{chain.gaps} in no archive, as it said itself")
    if chain.vouched:
        words.append(f"{'signed' if chain.is_signed else 'vouched for'} up to {chain.vouched}")
    elif chain.first:
        words.append("no checkpoint yet")
    return ", ".join(words)
