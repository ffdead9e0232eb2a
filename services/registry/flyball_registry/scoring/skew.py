"""Whether decisions carry the scores that their models give: some rows are scored again here. Pure.

Which rows follows from their names alone, so a runtime cannot tell them from the others. Scores agree
when they are no farther apart than rounding, last bits, and what was allowed of the variant that
answered. A decision carries one number; with several classes it must be the probability of one.
A row without a number is no skew, `runtime.*.tripped` tells of it.
"""

from dataclasses import dataclass
from typing import Final

import numpy as np

from flyball_proto.columns import Column, Model
from flyball_proto.events import Manifest, Wire
from flyball_registry.scoring.rows import Sampled

SHARE: Final = 8
"""One row in so many is scored again,"""
MAX_ROWS: Final = 64
"""and at most so many a look."""
TOLERANCE: Final = 1e-6
"""Between two machines; scores beyond 1 may be this share of themselves apart."""
HOUR_MS: Final = 3_600_000
MAX_SAID: Final = 64


class Said(Wire):
    """A skew that was told: once a model, an epoch and an hour of event time."""

    digest: str
    epoch: int
    hour_ms: int
    detail: str


@dataclass(frozen=True, slots=True)
class Skew:
    """Rows of one model that were more than `tolerance` apart; `farthest` is the worst one's place."""

    rows: int
    looked_at: int
    apart: float
    tolerance: float
    farthest: int


def chosen(rows: Sampled) -> Column:
    """Positions (m,) of the rows to score again, in order."""
    mixed = _mixed((rows.sequence.astype(np.uint64) << np.uint64(16)) ^ rows.sample)
    drawn = np.flatnonzero((mixed % np.uint64(SHARE) == 0) & np.isfinite(rows.score))
    lowest = np.argsort(mixed[drawn], kind="stable")[:MAX_ROWS]
    return np.sort(drawn[lowest])


def tolerance(model: Model, manifest: Manifest) -> float:
    """How far a decision of this model may be off; a variant that is not known may not be at all."""
    allowed = {variant.precision: variant.tolerance for variant in manifest.variants}
    return TOLERANCE + allowed.get(model.precision, 0.0)  # type: ignore[call-overload, no-any-return]


def compared(decided: Column, said: Column, allowed: float) -> Skew | None:
    """Decided scores (n,) with what the model says here, (n,) or (n, classes); None = they agree."""
    each = said[:, None] if said.ndim == 1 else said
    off = np.abs(each - decided[:, None]).min(axis=1)
    known = np.isfinite(off)
    limit = np.where(np.abs(decided) > 1, TOLERANCE * np.abs(decided), TOLERANCE)
    limit += allowed - TOLERANCE
    beyond = known & (off > limit)
    if not beyond.any():
        return None
    farthest = int(np.argmax(np.where(beyond, off, -1.0)))
    return Skew(
        int(beyond.sum()), int(known.sum()), float(off[farthest]), float(limit[farthest]), farthest
    )


def is_new(said: tuple[Said, ...], model: Model, time_ms: int) -> bool:
    """Whether a skew of this model at this time was not told yet."""
    told = {(one.digest, one.epoch, one.hour_ms) for one in said}
    return (model.digest, model.epoch, time_ms // HOUR_MS * HOUR_MS) not in told


def noted(said: tuple[Said, ...], model: Model, time_ms: int, detail: str) -> tuple[Said, ...]:
    """With one more that was told; the oldest go first."""
    hour_ms = time_ms // HOUR_MS * HOUR_MS
    one = Said(digest=model.digest, epoch=model.epoch, hour_ms=hour_ms, detail=detail)
    return (*said, one)[-MAX_SAID:]


def present(said: tuple[Said, ...], now_ms: int) -> str | None:
    """The newest skew in words if it is less than two hours of event time old."""
    if not said or now_ms >= said[-1].hour_ms + 2 * HOUR_MS:
        return None
    return said[-1].detail


def _mixed(names: Column) -> Column:
    """SplitMix64: every bit of a name changes every bit of the number."""
    mixed = names.astype(np.uint64) + np.uint64(0x9E3779B97F4A7C15)
    mixed = (mixed ^ (mixed >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
    mixed = (mixed ^ (mixed >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
    return mixed ^ (mixed >> np.uint64(31))
