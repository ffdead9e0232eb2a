"""Words that columns carry as numbers."""

from enum import IntEnum, IntFlag
from typing import Final


class SkipReason(IntEnum):
    """Why a row that came in yields no decision."""

    QUARANTINED = 1
    DOUBLE = 2
    LATE = 3
    WARMING_UP = 4


class Quality(IntFlag):
    """What is known to be wrong with a row's inputs; 0 = nothing."""

    OK = 0
    CLIPPED = 1
    """A value lay outside its range and was clipped."""
    NULL = 2
    """A metric that features need is missing."""
    STALE = 4
    """The row's window reaches beyond a gap longer than the look-back."""
    LATE_INPUT = 8
    """An earlier row arrived after later ones; the window was repaired."""


class Category(IntEnum):
    """Risk category of a decision, in rising order."""

    NEGLIGIBLE = 0
    LOW = 1
    MEDIUM = 2
    HIGH = 3
    CRITICAL = 4


class Verdict(IntEnum):
    """What may happen with a decision."""

    CLEAR = 0
    NOTIFY = 1
    """Cleared, and an operator is told."""
    CAP = 2
    """Would exceed a budget or a cool-down: not dispatched."""
    REPLACE = 3
    """The fallback is dispatched instead."""
    HOLD = 4
    """Waits for a person; expires to the safe side."""
    DENY = 5
    ADVISE = 6
    """Recorded only: the pipeline is advisory."""
    WITHHOLD = 7
    """Would have been dispatched, but was left alone at random, so that effects stay measurable."""

    SUPERSEDED = 8
    """Another pipeline holds the lease on what the action would change at this element."""


class Breaker(IntEnum):
    """What a pipeline's breaker does."""

    CLOSED = 0
    """Nothing: decisions are judged as they are."""
    OPEN = 1
    """The pipeline is advisory."""
    TRIAL = 2
    """A share of the actions goes out, to find out whether it may close."""


class Outcome(IntEnum):
    """How a hold ended."""

    APPROVED = 1
    """The action goes out."""
    DENIED = 2
    EXPIRED = 3
    """Nobody answered in time."""


class Result(IntEnum):
    """What an answer to a hold came to."""

    ENDED = 1
    """It ended the hold."""
    NOTED = 2
    """It counts, but more people must agree."""
    REFUSED = 3
    """The action may not go out now; the hold still waits."""
    UNKNOWN = 4
    """No such hold waits (any more)."""
    CAPPED = 5
    """As `REFUSED`, for a cool-down or a budget."""
    STOPPED = 6
    """As `REFUSED`, because a person stopped the pipeline."""


ASSESSED: Final = ("novelty", "disagreement", "confidence", "credibility", "error", "impact")
"""Columns of an `Assessment`, in order."""


DISPATCHED: Final = (Verdict.CLEAR, Verdict.NOTIFY, Verdict.REPLACE)
"""Verdicts that let a proposed action reach its element."""
