"""What one part of the evidence consists of: claims that hold or not, and the tables beside them."""

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Size:
    """How much is simulated: `full` for the document, else as much as a test may take."""

    full: bool

    def of(self, full: int, small: int) -> int:
        """A number of streams, runs or blocks."""
        return full if self.full else small


SMALL, FULL = Size(full=False), Size(full=True)


@dataclass(frozen=True, slots=True)
class Claim:
    """A sentence that the simulation shows or refutes, with what was found."""

    sentence: str
    found: str
    holds: bool


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of text under a caption."""

    caption: str
    head: Sequence[str]
    rows: Sequence[Sequence[str]]


@dataclass(frozen=True, slots=True)
class Section:
    """One part of the evidence."""

    title: str
    method: str
    tables: Sequence[Table]
    claims: Sequence[Claim]

    @property
    def refuted(self) -> list[Claim]:
        """Claims that do not hold."""
        return [claim for claim in self.claims if not claim.holds]


def chance(share: float, runs: int) -> float:
    """The largest share of so many runs that a true share explains: three standard errors, or one run."""
    return share + max(3 * math.sqrt(share * (1 - share) / runs), 1 / runs)


def at_most(sentence: str, share: float, level: float, runs: int) -> Claim:
    """A share of runs is explained by a level."""
    found = f"{percent(share)} of {runs}, level {percent(level)}"
    return Claim(sentence, found, share <= chance(level, runs))


def percent(share: float) -> str:
    """With one digit, as a table shows it."""
    return f"{100 * share:.1f} %"


def share(values: Iterable[object]) -> float:
    """Of the true ones."""
    found = [bool(value) for value in values]
    return sum(found) / len(found)


def quantile(found: Sequence[int | None], q: float) -> str:
    """Of times to a verdict, where None is later than all; `> all` when that many have none."""
    reached = sorted(value for value in found if value is not None)
    at = math.ceil(q * len(found)) - 1
    return str(reached[at]) if at < len(reached) else "none"
