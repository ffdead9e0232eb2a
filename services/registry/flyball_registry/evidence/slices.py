"""Slices that veto a succession: better on the whole, yet worse at a site, is not better.

A slice is one value of a declared label. It vetoes with at least `MIN_ROWS` labelled rows and a
confidence sequence that lies wholly on the worse side of the margin, that is: when the bet that the
challenger is worse by more than the margin has won at level 0.05 / number of slices. Values with
fewer rows are pooled; so are those beyond a label's part of `MAX_VALUES`. Block numbers as for the
whole, but never doubled: correlated blocks make a veto likelier, not a succession.

The whole can win before a slice with a tenth of its rows has said anything. So a slice that *leans*
makes a succession wait: one in which the challenger's blocks, those of the pilot too, were worse by
`LEANS` standard errors. A slice that is worse comes to its veto so, another loses its lean.
Measured: docs/evidence.md.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Self

import numpy as np

from flyball_proto.events import Wire
from flyball_registry.evidence.betting import LAMBDAS, PILOT_BLOCKS, log_mean_exp, spread_of
from flyball_registry.evidence.blocks import Sums
from flyball_registry.evidence.design import Floats, Integers

MIN_ROWS: Final = 200
MAX_VALUES: Final = 24
"""Told apart in one comparison; each declared label has an equal part of them."""

MAX_CHARS: Final = 64
"""Of a value; longer ones are cut off."""

LEVEL: Final = 0.05
LEANS: Final = 1.28
"""One-sided 90 %: standard errors above the margin."""

POOL: Final = "(smaller)"


class Slice(Wire):
    """The bet that one slice is worse; at most 20 pilot blocks, six wealths and a mean."""

    rows: int = 0
    sums: Sums = Sums()
    pilot: tuple[float, ...] = ()
    spread: float = 0.0
    wealth: tuple[float, ...] = (0.0,) * len(LAMBDAS)
    blocks: int = 0
    mean: float = 0.0  # of all blocks: by how much the challenger was worse
    squares: float = 0.0  # of the deviations from it

    def close(self, margin: float, min_rows: int) -> Self:
        """A block's end; with too few rows it goes on."""
        if self.sums.rows < min_rows:
            return self
        worse_by = -self.sums.means[0]
        update: dict[str, object] = {"rows": self.rows + self.sums.rows, "sums": Sums()}
        step, blocks = worse_by - self.mean, self.blocks + 1
        mean = self.mean + step / blocks
        squares = self.squares + step * (worse_by - mean)
        update |= {"blocks": blocks, "mean": mean, "squares": squares}
        if self.spread:
            stake = min(1.0, max(-1.0, (worse_by - margin) / (4 * self.spread)))
            update["wealth"] = tuple((np.array(self.wealth) + np.log1p(stake * LAMBDAS)).tolist())
        elif len(pilot := (*self.pilot, worse_by)) < PILOT_BLOCKS:
            update["pilot"] = pilot
        else:
            update |= {"pilot": (), "spread": spread_of(pilot, margin)}
        return self.model_copy(update=update)

    @property
    def log_e(self) -> float:
        """Evidence that the challenger is worse here by more than the margin."""
        return float(log_mean_exp(np.array(self.wealth)))

    def leans(self, margin: float) -> bool:
        """Whether the challenger may well be worse here; a slice of few rows never leans."""
        if self.rows < MIN_ROWS:
            return False
        error = math.sqrt(self.squares / max(1, self.blocks - 1) / self.blocks)
        return self.mean - margin > LEANS * error


FRESH: Final = Slice()
Slices = dict[str, Slice]
"""By `label=value`; at most `MAX_VALUES` and a pool for each declared label."""


@dataclass(frozen=True, slots=True)
class Labelled:
    """The values of one declared label, and which of them each row has."""

    label: str
    values: tuple[str, ...]
    code: Integers  # (n,)

    @classmethod
    def of(cls, label: str, values: Sequence[str]) -> "Labelled":
        """From one value a row."""
        found, code = np.unique(np.asarray(values, dtype=f"<U{MAX_CHARS}"), return_inverse=True)
        return cls(label, tuple(found.tolist()), code.astype(np.int64))

    def at(self, rows: Integers) -> "Labelled":
        """Of some of the rows."""
        return Labelled(self.label, self.values, self.code[rows])


def gather(
    slices: Slices, labels: Sequence[Labelled], weight: Floats, difference: Floats
) -> Slices:
    """Take rows (n,): `difference` is active less challenger."""
    grown, most = dict(slices), MAX_VALUES // max(1, len(labels))
    for labelled in labels:
        pooled = np.zeros(len(weight), np.bool_)
        known = _known(grown, labelled.label)
        codes, first = np.unique(labelled.code, return_index=True)
        for code in codes[np.argsort(first)].tolist():
            key, chosen = f"{labelled.label}={labelled.values[code]}", labelled.code == code
            if key in grown or known < most:
                known += key not in grown
                grown[key] = _add(grown.get(key, FRESH), weight[chosen], difference[chosen])
            if key not in slices or slices[key].rows < MIN_ROWS:
                pooled |= chosen
        if pooled.any():
            key = f"{labelled.label}={POOL}"
            grown[key] = _add(grown.get(key, FRESH), weight[pooled], difference[pooled])
    return grown


def close(slices: Slices, margin: float, min_rows: int) -> Slices:
    """The end of a block for all of them."""
    return {key: one.close(margin, min_rows) for key, one in slices.items()}


def veto(slices: Slices) -> str | None:
    """The slice that forbids a succession; None = none does."""
    if not slices:
        return None
    needed = math.log(len(slices) / LEVEL)
    against = (key for key, s in slices.items() if s.rows >= MIN_ROWS and s.log_e >= needed)
    return next(against, None)


def leaning(slices: Slices, margin: float) -> str | None:
    """The slice that makes a succession wait; None = none does."""
    return next((key for key, one in slices.items() if one.leans(margin)), None)


def _add(one: Slice, weight: Floats, difference: Floats) -> Slice:
    return one.model_copy(update={"sums": one.sums.add(weight, difference)})


def _known(slices: Slices, label: str) -> int:
    own = f"{label}="
    return sum(key.startswith(own) and key != own + POOL for key in slices)
