"""How much doubt each comparison may use, so that few successions are false: e-LOND.

    alpha_k = alpha * gamma_k * (successions before it + 1)
    gamma_k = 1 / ((k + 1) * log(k + 1)^2) / C,   C = sum over k >= 1

The expected share of false ones among all successions (FDR) stays under alpha, however the
comparisons depend on each other (Xu & Ramdas, *Online multiple testing with e-values*, 2024).
"""

import math
from typing import Final

from flyball_proto.events import Wire

NORMALISER: Final = 2.1097428012368919
"""Sum over n >= 2 of 1 / (n log(n)^2)."""

MAX_ENTRIES: Final = 64


def gamma(k: int) -> float:
    """The share of the k-th comparison, k >= 1; all shares sum to 1."""
    return 1.0 / ((k + 1) * math.log(k + 1) ** 2) / NORMALISER


class Entry(Wire):
    """One comparison in the account; `outcome` is the last word said of it."""

    comparison: int
    trainer: str
    over: str
    alpha: float
    opened_ms: int
    outcome: str = "open"


class Account(Wire):
    """Comparisons ever opened, and the newest `MAX_ENTRIES` of them for people to see."""

    opened: int = 0
    successions: int = 0
    entries: tuple[Entry, ...] = ()

    def open(self, trainer: str, over: str, alpha: float, at_ms: int) -> tuple["Account", Entry]:
        """The next comparison with its level; the number is never used again."""
        k = self.opened + 1
        level = alpha * gamma(k) * (self.successions + 1)
        entry = Entry(comparison=k, trainer=trainer, over=over, alpha=level, opened_ms=at_ms)
        entries = (*self.entries, entry)[-MAX_ENTRIES:]
        return Account(opened=k, successions=self.successions, entries=entries), entry

    def note(self, comparison: int, outcome: str) -> "Account":
        """What came of a comparison; `superior` is a succession and earns later ones more."""
        entries = tuple(
            e.model_copy(update={"outcome": outcome}) if e.comparison == comparison else e
            for e in self.entries
        )
        won = self.successions + (outcome == "superior")
        return Account(opened=self.opened, successions=won, entries=entries)
