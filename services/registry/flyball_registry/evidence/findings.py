"""What the fold of labelled rows concludes. `at_ms`: end of the block that decided, event time."""

from dataclasses import dataclass
from typing import Literal

Decision = Literal["keep", "roll-back", "retrain", "compare"]


@dataclass(frozen=True, slots=True)
class Figures:
    """What is known of a comparison; `better_by_at_least` in units of the row loss.

    `threshold` is what `log_e` has to reach. `blocks` and `expected_blocks` are base blocks of the
    design's size; `expected_blocks` until superior, None while the evidence does not grow.
    """

    at_ms: int
    trainer: str
    over: str
    comparison: int
    log_e: float
    threshold: float
    blocks: int
    better_by_at_least: float
    expected_blocks: int | None
    saturated_ratio: float
    detail: str


@dataclass(frozen=True, slots=True)
class Superior(Figures):
    """The trainer should take the seat. Said once; the seat then has to move."""


@dataclass(frozen=True, slots=True)
class Inferior(Figures):
    """The trainer is worse than the seat's by more than the margin. A report."""


@dataclass(frozen=True, slots=True)
class Equivalent(Figures):
    """They differ by less than the margin. A report."""


@dataclass(frozen=True, slots=True)
class Undecided(Figures):
    """Many blocks and no verdict, or one that a slice forbids. A report."""


@dataclass(frozen=True, slots=True)
class Degraded:
    """The watch over the seat sounded; `harm` and `relative` against `threshold`."""

    at_ms: int
    digest: str
    anchor_digest: str
    decision: Decision
    harm: float
    relative: float
    threshold: float
    blocks: int


@dataclass(frozen=True, slots=True)
class Drifted:
    """The active model's loss rose: a reason to train."""

    at_ms: int
    before: float
    after: float
    detail: str


@dataclass(frozen=True, slots=True)
class Standing(Figures):
    """How a comparison stands now, for people to look at; no finding."""

    word: Literal["superior", "inferior", "equivalent", "undecided", "continue"]


Outcome = Superior | Inferior | Equivalent | Undecided
Finding = Superior | Inferior | Equivalent | Undecided | Degraded | Drifted
