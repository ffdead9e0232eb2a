"""Whether what is cleared errs more often than it may, looked at after every row. Pure.

A bet on every cleared row that a person or the control share let us see, as in Waudby-Smith &
Ramdas, *Estimating means of bounded random variables by betting*, JRSS-B 2024: the capital is

    mean over p of (p / m)^k * ((1 - p) / (1 - m))^(n - k),   k errors among n rows, m = max_error

and while the true share is m or less it reaches `ALARM` once in `ALARM` beginnings at most (Ville).
Each time nothing is left of it, it begins anew, so that a long good time is no credit: between two
false alarms lie at least `ALARM` cleared rows on average, and far more while the share is below m.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from flyball_proto.columns import Column

ALARM: Final = 2_000.0
EXCESS: Final = np.array([0.02, 0.05, 0.1, 0.2, 0.4, 0.8])
"""Shares bet on, as parts of the way from `max_error` to 1."""

ODDS: Final = np.array([0.5, 1.0, 2.0])
"""Log of how many times the odds of an error are higher than they were assessed to be."""
DRIFT_ALARM: Final = 1_000.0


@dataclass(frozen=True, slots=True)
class Suspicion:
    """Cleared rows since there last was none, and the wrong ones among them."""

    rows: int = 0
    errors: int = 0
    since_ms: int = 0

    def saw(self, time_ms: int, max_error: float, *, wrong: bool) -> "Suspicion":
        """One more row."""
        now = Suspicion(self.rows + 1, self.errors + wrong, self.since_ms or time_ms)
        return now if capital(now.errors, now.rows, max_error) > 1.0 else NONE

    def is_certain(self, max_error: float) -> bool:
        """Whether the share of errors is above `max_error`."""
        return capital(self.errors, self.rows, max_error) >= ALARM

    @property
    def lower_bound(self) -> float:
        """The share of errors is at least that, in the sense of the module."""
        low, high = 0.0, self.errors / max(1, self.rows)
        for _ in range(40):
            middle = (low + high) / 2
            if middle > 0 and capital(self.errors, self.rows, middle) < ALARM:
                high = middle
            else:
                low = middle
        return low


NONE: Final = Suspicion()


def capital(errors: int, rows: int, max_error: float) -> float:
    """What the bets have made of 1."""
    if not rows:
        return 1.0
    share = max_error + (1.0 - max_error) * EXCESS
    logs = errors * np.log(share / max_error)
    logs += (rows - errors) * (np.log1p(-share) - math.log1p(-max_error))
    return float(np.exp(np.minimum(logs, 700.0)).mean())


def drifting(logs: Column, error: float, *, wrong: bool) -> Column:
    """The same bet against assessed probabilities: log capitals (3,) after one more row.

    A row that was assessed to err with probability q really does with that of higher odds.
    """
    q = min(max(error, 1e-3), 1.0 - 1e-3)
    higher = q * np.exp(ODDS) / (1.0 - q + q * np.exp(ODDS))
    now: Column = logs + (np.log(higher / q) if wrong else np.log((1.0 - higher) / (1.0 - q)))
    return now if np.exp(np.minimum(now, 700.0)).mean() > 1.0 else np.zeros(len(ODDS))


def has_drifted(logs: Column) -> bool:
    """Whether errors are more frequent than assessed."""
    return bool(np.exp(np.minimum(logs, 700.0)).mean() >= DRIFT_ALARM)
