"""Two models side by side on the same labelled rows. For people: no evidence, it moves nothing. Pure.

The interval is that of the weighted mean paired difference. Rows of one block move together, so the
blocks, in order of time, form up to 20 batches that give the standard error (of the ratio of
weighted sums, linearised) with Student's t; where neighbouring batches still agree it grows by
sqrt((1 + r) / (1 - r)) with their lag-1 autocorrelation r in [0, 0.9], as in the gate.
"""

import math
from dataclasses import dataclass
from typing import Final

import numpy as np

from flyball_kit.errors import PermanentError
from flyball_proto.commands import ModelComparison
from flyball_registry.contract import Contract
from flyball_registry.evidence.betting import autocorrelation
from flyball_registry.evidence.board import Score, Taken
from flyball_registry.evidence.design import Floats, Integers
from flyball_registry.evidence.losses import absent, errors, saturate
from flyball_registry.evidence.measures import Layout, measures
from flyball_registry.evidence.slices import Labelled
from flyball_registry.records.figures import of_slices, rounded
from flyball_registry.scoring.rows import Sampled, slices

MIN_ROWS: Final = 100
MIN_BLOCKS: Final = 5
MAX_BATCHES: Final = 20
MAX_AUTOCORRELATION: Final = 0.9
STUDENT_975: Final = (
    2.776, 2.571, 2.447, 2.365, 2.306, 2.262, 2.228, 2.201,
    2.179, 2.160, 2.145, 2.131, 2.120, 2.110, 2.101, 2.093,
)  # fmt: skip
"""97.5 % points of Student's t with 4 to 19 degrees of freedom."""


class IncomparableError(PermanentError):
    """Two models cannot be compared; says what was found and what is needed."""

    kind = "incomparable"


@dataclass(frozen=True, slots=True)
class Side:
    """One model, and its scores of the rows: f64 (n,), of k classes (n, k)."""

    digest: str
    score: Floats


def compared(rows: Sampled, one: Side, other: Side, contract: Contract) -> ModelComparison:
    """The comparison on labelled rows that neither was fitted to, in order of time.

    Raises:
        IncomparableError: too few rows or blocks, or a model that gives no scores.
    """
    label = rows.label.astype(np.float64)
    error, error_of_other = (_errors(side, label, contract) for side in (one, other))
    kept = np.ones(len(rows), np.bool_)
    if contract.task == "regression":
        kept = np.isfinite(error) & np.isfinite(error_of_other)
    else:
        error, error_of_other = saturate(error, 1.0), saturate(error_of_other, 1.0)
    at = np.flatnonzero(kept)
    block = rows.time_ms[at] // contract.block_ms
    _check(len(at), len(np.unique(block)))
    better_by, margin = interval(
        block, rows.weight[at].astype(np.float64), error_of_other[at] - error[at]
    )
    scores = [_score(rows, at, side, contract) for side in (one, other)]
    full, lean = (Layout.of(contract.task, contract.classes, lean=lean) for lean in (False, True))
    found, found_of_other = (rounded(measures(score.whole, full)) for score in scores)
    return ModelComparison(
        digest=one.digest,
        other=other.digest,
        rows=len(at),
        first_ms=int(rows.time_ms[at[0]]),
        last_ms=int(rows.time_ms[at[-1]]),
        metric=contract.metric,
        measures=found,
        other_measures=found_of_other,
        better_by=better_by,
        low=better_by - margin,
        high=better_by + margin,
        blocks=len(np.unique(block)),
        slices=of_slices(scores[0], lean),
        other_slices=of_slices(scores[1], lean),
    )


def interval(block: Integers, weight: Floats, difference: Floats) -> tuple[float, float]:
    """The weighted mean, and half of its 95 % interval; rows (n,) in at least five blocks."""
    starts = np.flatnonzero(np.diff(block, prepend=block[0] - 1))
    batches = min(MAX_BATCHES, len(starts))
    first = starts[np.arange(batches) * len(starts) // batches]
    mean = float(weight @ difference / weight.sum())
    weights = np.add.reduceat(weight, first)
    residual = np.add.reduceat(weight * (difference - mean), first) / weights.mean()
    together = min(MAX_AUTOCORRELATION, max(0.0, autocorrelation(residual)))
    variance = float(residual @ residual) / (batches * (batches - 1))
    error = math.sqrt(variance * (1 + together) / (1 - together))
    return mean, STUDENT_975[batches - MIN_BLOCKS] * error


def _errors(side: Side, label: Floats, contract: Contract) -> Floats:
    if absent(side.score).any():
        raise IncomparableError(
            f"model {side.digest[:12]} gives no scores of these rows: its bundle is not what its "
            f"record says, or it is none of {contract.classes} classes; compare another one"
        )
    return errors(contract.task, label, side.score)


def _check(rows: int, blocks: int) -> None:
    if rows < MIN_ROWS:
        raise IncomparableError(
            f"{rows} recent labelled rows are there that neither model was fitted to; {MIN_ROWS} "
            "are needed: wait for more labels, or compare models that learnt earlier"
        )
    if blocks < MIN_BLOCKS:
        raise IncomparableError(
            f"the {rows} rows that neither model was fitted to lie in {blocks} blocks; {MIN_BLOCKS} "
            "are needed for an interval: wait for later rows"
        )


def _score(rows: Sampled, at: Integers, side: Side, contract: Contract) -> Score:
    label = rows.label.astype(np.float64)
    nowhere = np.zeros(len(rows), np.int64)
    taken = Taken(
        contract.task,
        contract.classes,
        rows.weight.astype(np.float64),
        label,
        stretch_ms=nowhere,
        is_since=nowhere > 0,
        slices=[Labelled.of(*one) for one in slices(rows, contract.slices).items()],
        oldest_ms=0,
    )
    return Score().add(taken.column(at, side.score, errors(contract.task, label, side.score)))
