"""What a comparison is made of: the frozen design, who holds the seat, and the labelled rows."""

import dataclasses
import hashlib
import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final, Literal

import numpy as np
from numpy.typing import NDArray

from flyball_kit.errors import PermanentError

MAX_TRAINERS: Final = 16
"""Compared at once; with them the state fits one record of 1 MiB."""

MAX_SLICE_LABELS: Final = 8

ACTIVE: Final = "active"
ANCHOR: Final = "anchor"

Floats = NDArray[np.float64]
Flags = NDArray[np.bool_]
Integers = NDArray[np.int64]
Task = Literal["binary", "regression", "multiclass"]


class DesignError(PermanentError):
    """An evaluation that cannot be made sense of; nothing was folded."""

    kind = "impossible-evaluation"


@dataclass(frozen=True, slots=True)
class Design:
    """How trainers are compared and the seat is watched. A change opens new comparisons.

    `margin`, `not_worse_by` and `tolerance` are in units of the row loss, which lies in [0, 1].
    `season_ms` 0 = the source has none. `max_comparisons`: trainers beside the seat's. `classes`:
    of multiclass, 0 for the other tasks.
    """

    task: Task
    margin: float
    alpha: float
    block_ms: int
    horizon_ms: int
    season_ms: int
    not_worse_by: float
    gate_rows: int
    tolerance: float
    false_alarm_every_days: float
    slices: tuple[str, ...] = ()
    min_block_rows: int = 20
    max_comparisons: int = MAX_TRAINERS
    classes: int = 0

    def __post_init__(self) -> None:
        """Raise DesignError for the first thing that cannot be."""
        wrong = next((words for bad, words in self._checks() if bad), None)
        if wrong is not None:
            raise DesignError(wrong)

    def digest(self) -> str:
        """SHA-256 of the design; equal designs have equal digests on every machine."""
        fields = dataclasses.asdict(self)
        if not self.classes:
            del fields["classes"]  # designs that were frozen before there were classes go on
        plain = json.dumps(fields, sort_keys=True, separators=(",", ":"))
        return hashlib.sha256(plain.encode()).hexdigest()

    @property
    def alarm_blocks(self) -> float:
        """A: blocks until a false alarm, on average at least."""
        return max(1.0, self.false_alarm_every_days * 86_400_000 / self.block_ms)

    def _checks(self) -> tuple[tuple[bool, str], ...]:
        return (
            (
                (self.task == "multiclass") != (self.classes > 1),
                f"{self.classes} classes for {self.task}; give multiclass at least 3, and others none",
            ),
            (
                self.block_ms < max(1, 2 * self.horizon_ms),
                f"a block of {self.block_ms} ms is under two horizons; use {4 * self.horizon_ms} ms",
            ),
            (not 0 < self.alpha < 1, f"alpha {self.alpha} is not between 0 and 1; use 0.05"),
            (not 0 <= self.margin < 1, f"margin {self.margin} is not in [0, 1); use 0.005"),
            (
                min(self.horizon_ms, self.season_ms, self.not_worse_by, self.tolerance) < 0,
                "horizon, season, not_worse_by and tolerance cannot be negative",
            ),
            (
                not self.false_alarm_every_days > 0,
                f"one false alarm in {self.false_alarm_every_days} days is not possible; use 30",
            ),
            (self.min_block_rows < 1, "a block needs at least one labelled row; use 20"),
            (
                not 1 <= self.max_comparisons <= MAX_TRAINERS,
                f"{self.max_comparisons} comparisons at once; 1 to {MAX_TRAINERS} are possible",
            ),
            (
                len(self.slices) > MAX_SLICE_LABELS,
                f"{len(self.slices)} slice labels; at most {MAX_SLICE_LABELS} are possible",
            ),
        )


@dataclass(frozen=True, slots=True)
class Seat:
    """Who is active and since when, as the deployer's pointer says.

    `since_ms` is event time: the first decision of this epoch. When the trainer changed, or the seat
    was rolled back, rows decided earlier are no evidence; 0 = all rows count. The anchor is the model that last won by evidence or was
    set by a person.
    """

    epoch: int
    trainer: str
    digest: str
    anchor_trainer: str
    anchor_digest: str
    since_ms: int = 0


@dataclass(frozen=True, slots=True)
class Scored:
    """`n` labelled rows, ordered by (event time, element, sequence).

    `score` has `active` (the decision really taken), perhaps `anchor`, and each trainer's name: what
    that trainer's newest model admitted at decision time said. NaN = nothing was admitted then, the
    row does not count for that column; a model that gave no finite number is written as infinity
    and has the largest loss. Of multiclass a label is the number of a class. A label that is not finite makes the row unlabelled.
    """

    time_ms: Integers  # (n,) decision time
    known_ms: Integers  # (n,) end of the label window, or when the truth arrived; event time
    element: NDArray[np.uint32]  # (n,) only identity matters
    weight: Floats  # (n,) 1 / probability of being seen; above 0
    censored: Flags  # (n,) under an applied action: counts nowhere
    label: Floats  # (n,)
    score: Mapping[str, Floats]  # (n,) each; multiclass (n, k), probabilities by class
    slices: Mapping[str, Sequence[str]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Raise DesignError where columns do not fit each other."""
        rows = len(self.time_ms)
        columns: dict[str, Sequence[str] | NDArray[np.generic]] = {
            "known_ms": self.known_ms,
            "element": self.element,
            "weight": self.weight,
            "censored": self.censored,
            "label": self.label,
            **{f"score of {name}": column for name, column in self.score.items()},
            **{f"slice {name}": column for name, column in self.slices.items()},
        }
        for name, column in columns.items():
            if len(column) != rows:
                raise DesignError(f"{name} has {len(column)} rows, time_ms has {rows}")
        if ACTIVE not in self.score:
            raise DesignError(f"scores of {sorted(self.score)} without {ACTIVE!r}; give it always")
        if rows and not (np.isfinite(self.weight).all() and self.weight.min() > 0):
            raise DesignError("a weight is not a number above 0; give 1 / probability")

    @property
    def trainers(self) -> tuple[str, ...]:
        """Trainers with a column, in order of name."""
        return tuple(sorted(self.score.keys() - {ACTIVE, ANCHOR}))
