"""Whether a newer model of the seat's own trainer may replace the active one.

It must be *shown not to be worse* than the anchor: the upper 95 % bound of the mean paired loss,
new less anchor, is at most `not_worse_by`, and so is the plain mean against the model it replaces.
The anchor, not only the predecessor, so that small losses cannot add up.

Rows of one instant move together, so they are never told apart: the instants, in order, form up to
20 batches, and the batches give the standard error (of the ratio of weighted sums, linearised),
with Student's t. Where neighbouring batches still agree, it grows by sqrt((1 + r) / (1 - r)) with
their lag-1 autocorrelation r in [0, 0.9]. Law & Kelton, *Simulation Modeling and Analysis*, 9.5.3.
"""

import math
from dataclasses import dataclass
from typing import Final, Literal

import numpy as np

from flyball_registry.evidence.betting import autocorrelation
from flyball_registry.evidence.design import Design, DesignError, Flags, Floats, Integers
from flyball_registry.evidence.losses import absent, errors, saturate
from flyball_registry.evidence.scales import MIN_SCALE, QUANTILE

MIN_ROWS: Final = 100
MIN_BATCHES: Final = 5
MAX_BATCHES: Final = 20
MAX_AUTOCORRELATION: Final = 0.9
STUDENT_95: Final = (
    2.132, 2.015, 1.943, 1.895, 1.860, 1.833, 1.812, 1.796,
    1.782, 1.771, 1.761, 1.753, 1.746, 1.740, 1.734, 1.729,
)  # fmt: skip
"""95 % points of Student's t with 4 to 19 degrees of freedom."""


@dataclass(frozen=True, slots=True)
class GateRows:
    """Labelled rows that no model compared was fitted to, in order of time; all (n,).

    Scores of multiclass are (n, k).

    The newest `gate_rows` usable ones count. A row is usable when it is labelled, not censored and
    each of the three models had a score (NaN = none; infinity = no finite number, loss 1).
    """

    time_ms: Integers
    weight: Floats
    censored: Flags
    label: Floats
    new: Floats
    anchor: Floats
    replaced: Floats


@dataclass(frozen=True, slots=True)
class Gate:
    """What the gate says; `inconclusive` is never an acceptance. Losses in [0, 1]."""

    outcome: Literal["accepted", "worse", "inconclusive"]
    upper_bound: float
    difference: float
    rows: int
    detail: str


def examine(rows: GateRows, design: Design) -> Gate:
    """Judge the newer model. Raises DesignError where columns do not fit."""
    lengths = {len(getattr(rows, name)) for name in GateRows.__slots__}
    if len(lengths) > 1:
        raise DesignError(f"gate columns have {sorted(lengths)} rows; give each the same number")
    at = np.flatnonzero(_usable(rows))[-design.gate_rows :]
    if len(at) < MIN_ROWS:
        detail = f"{len(at)} usable rows; {MIN_ROWS} are needed"
        return Gate("inconclusive", math.inf, math.inf, len(at), detail)
    new, anchor, replaced = _losses(rows, at, design)
    weight = rows.weight[at]
    difference = float(weight @ (new - replaced) / weight.sum())
    upper = upper_bound(rows.time_ms[at], weight, new - anchor)
    if upper is None:
        detail = (
            f"{len(np.unique(rows.time_ms[at]))} instants in {len(at)} rows; {MIN_BATCHES} are "
            "needed: spread the gate's rows over more time"
        )
        return Gate("inconclusive", math.inf, difference, len(at), detail)
    allowed = design.not_worse_by
    accepted = upper <= allowed and difference <= allowed
    detail = (
        f"at most {upper:.6f} worse than the anchor, {difference:+.6f} against the replaced model; "
        f"{allowed} is allowed"
    )
    return Gate("accepted" if accepted else "worse", upper, difference, len(at), detail)


def upper_bound(time_ms: Integers, weight: Floats, difference: Floats) -> float | None:
    """One-sided 95 % bound of the weighted mean; None = under five instants."""
    starts = np.flatnonzero(np.diff(time_ms, prepend=time_ms[0] - 1))
    batches = min(MAX_BATCHES, len(starts))
    if batches < MIN_BATCHES:
        return None
    first = starts[np.arange(batches) * len(starts) // batches]
    weights = np.add.reduceat(weight, first)
    mean = float(weight @ difference / weight.sum())
    residual = np.add.reduceat(weight * (difference - mean), first) / weights.mean()
    together = min(MAX_AUTOCORRELATION, max(0.0, autocorrelation(residual)))
    variance = float(residual @ residual) / (batches * (batches - 1))
    error = math.sqrt(variance * (1 + together) / (1 - together))
    return mean + STUDENT_95[batches - MIN_BATCHES] * error


def _usable(rows: GateRows) -> Flags:
    scored = ~(absent(rows.new) | absent(rows.anchor) | absent(rows.replaced))
    usable: Flags = scored & ~rows.censored & np.isfinite(rows.label)
    return usable


def _losses(rows: GateRows, at: Integers, design: Design) -> tuple[Floats, Floats, Floats]:
    """Regression errors are scaled by the anchor's 99th percentile over these rows."""
    label = rows.label[at]
    new, anchor, replaced = (
        errors(design.task, label, score[at]) for score in (rows.new, rows.anchor, rows.replaced)
    )
    scale = 1.0
    if design.task == "regression":
        finite = anchor[np.isfinite(anchor)]
        usual = float(np.quantile(finite, QUANTILE, method="higher")) if len(finite) else 1.0
        scale = max(usual, MIN_SCALE)
    return saturate(new, scale), saturate(anchor, scale), saturate(replaced, scale)
