"""Whether a window's share of something bad jumped against the windows before it. Pure.

The reference of each share is exponentially weighted over earlier windows, about the last twenty.
A jump is all of

* at least `TWICE` the reference, or nearer to 1 by half where that is less,
* too much for chance at `LEVEL`: beta-binomial, because the reference is an estimate too, and with
  fewer draws than there are proposals where earlier windows scattered more than draws do
  (neighbours that move together),
* after `LEAST_WINDOWS` windows, each with the least proposals of the specification.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from math import ceil, floor
from typing import Any, Final

from flyball_risk.breaking.binomial import chance_of_more

KINDS: Final = ("high-risk", "denied", "not a number")
LEVEL: Final = 1e-4
"""Of one share of one window; three shares: false trips in less than 1 of 1 000 windows."""
LEAST_WINDOWS: Final = 5
DECAY: Final = 0.95
TWICE: Final = 2.0


@dataclass(slots=True)
class Window:
    """What was proposed since its first proposal; `hits` are counts in the order of `KINDS`."""

    since_ms: int = 0
    rows: int = 0
    hits: list[int] = field(default_factory=lambda: [0] * len(KINDS))

    def count(self, clock_ms: int, *found: bool) -> None:
        """One proposal more."""
        if not self.rows:
            self.since_ms = clock_ms
        self.rows += 1
        for kind, is_hit in enumerate(found):
            self.hits[kind] += is_hit

    def is_over(self, clock_ms: int, window_ms: int, least: int) -> bool:
        """Whether its time is up; with fewer proposals than `least` it goes on."""
        return self.rows >= least and clock_ms >= self.since_ms + window_ms


@dataclass(slots=True)
class Share:
    """Weighted hits and rows of earlier windows, and by how much they scattered; 1 = as draws do."""

    hits: float = 0.0
    rows: float = 0.0
    scatter: float = 1.0

    @property
    def usual(self) -> float:
        """The share to compare with; half a hit is added, so that it is never 0."""
        return (self.hits + 0.5) / (self.rows + 1.0)

    def learn(self, hits: int, rows: int) -> None:
        """A window without a jump is over."""
        if self.rows:
            expected, usual = rows * self.usual, self.usual
            found = (hits - expected) ** 2 / max(1.0, expected * (1.0 - usual))
            self.scatter = DECAY * self.scatter + (1.0 - DECAY) * found
        self.hits = DECAY * self.hits + hits
        self.rows = DECAY * self.rows + rows

    def is_high(self, hits: int, rows: int) -> bool:
        """Whether the share is twice the usual one, or nearer to 1 by half."""
        return hits / rows >= min(TWICE * self.usual, (1.0 + self.usual) / 2)

    def jumped(self, hits: int, rows: int) -> bool:
        """Whether that is more than chance, too."""
        if not self.is_high(hits, rows):
            return False
        scatter = max(1.0, self.scatter)
        a, b = (self.hits + 0.5) / scatter, (self.rows - self.hits + 0.5) / scatter
        return chance_of_more(floor(hits / scatter), ceil(rows / scatter), a, b) <= LEVEL


@dataclass(slots=True)
class Reference:
    """What is usual, by kind."""

    windows: int = 0
    shares: list[Share] = field(default_factory=lambda: [Share() for _ in KINDS])

    def learn(self, window: Window) -> None:
        """A window without a jump is over."""
        self.windows += 1
        for share, hits in zip(self.shares, window.hits, strict=True):
            share.learn(hits, window.rows)

    def jumps(self, window: Window) -> list[int]:
        """The kinds whose share jumped; none before there is something to compare with."""
        if self.windows < LEAST_WINDOWS:
            return []
        found = enumerate(zip(self.shares, window.hits, strict=True))
        return [kind for kind, (share, hits) in found if share.jumped(hits, window.rows)]

    def still(self, window: Window, kinds: Sequence[int]) -> list[int]:
        """Those of the kinds that are as high as a jump is, be it by chance."""
        return [k for k in kinds if self.shares[k].is_high(window.hits[k], window.rows)]

    def words(self, window: Window, kinds: Sequence[int]) -> str:
        """The figures, for people."""
        return "; ".join(
            f"{window.hits[k] / window.rows:.0%} of {window.rows} proposals are {KINDS[k]}, "
            f"{self.shares[k].usual:.1%} were"
            for k in kinds
        )

    def as_json(self) -> dict[str, Any]:
        """Plain values; the same state gives the same."""
        return {
            "windows": self.windows,
            "shares": [[s.hits, s.rows, s.scatter] for s in self.shares],
        }

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> "Reference":
        """What `as_json` gave."""
        return cls(plain["windows"], [Share(*fields) for fields in plain["shares"]])
