"""The watch over the seat, for as long as it is held: two e-detectors and what they mean together.

For block numbers X in [0, 1] with tolerated mean m0, for each l of a grid with 0 < l < 1/m0:

    M_l <- (M_l + 1) * (1 + l * (X - m0))        alarm when the mean of M_l over l >= A

Without a change it takes at least A blocks on average until an alarm (Shin, Ramdas & Rinaldo,
*E-detectors*, NEJSDS 2023). A = `false_alarm_every_days` in blocks. M_l is cut off at `CEILING` A,
which only delays alarms and lets them end when the harm does.

    D1 harm      X = mean loss of the active model
                 m0 = upper 95 % bound of the usual loss + tolerance, by part of the season; the usual
                 one is that of the comparison which won the seat, else of the seat's own first blocks
                 (40 of them and one season). Until it is known D1 says nothing
    D2 relative  X = (clip((D - not_worse_by) / 4s, -1, 1) + 1) / 2, m0 = 1/2
                 D = mean loss of the active less that of the anchor, s as in betting.py over the
                 first 20 blocks. A block in which both said the same adds nothing

The watch runs through refreshes; a rollback or a new anchor starts D1 and D2 anew.
"""

from typing import Final, Self

import numpy as np

from flyball_proto.events import Wire
from flyball_registry.evidence.betting import PILOT_BLOCKS, spread_of
from flyball_registry.evidence.blocks import Sums
from flyball_registry.evidence.design import Design
from flyball_registry.evidence.findings import Decision
from flyball_registry.evidence.scales import Scale
from flyball_registry.evidence.seasons import Usual

HARM_GRID: Final = (0.5, 1.0, 2.0, 3.0, 5.0)
RELATIVE_GRID: Final = (0.1, 0.25, 0.5, 1.0, 1.8)
REFERENCE_BLOCKS: Final = 40
CEILING: Final = 4.0
MAX_TOLERATED: Final = 0.999

DECISIONS: Final[dict[tuple[bool, bool], Decision]] = {
    # (active does harm, anchor is better)
    (False, False): "keep",
    (True, True): "roll-back",
    (True, False): "retrain",
    (False, True): "compare",
}


class Watch(Wire):
    """Both detectors of one seat; under 4 kB as JSON but for the pool of an unknown scale (10 kB)."""

    scale: Scale
    usual: Usual
    first_ms: int = -1
    blocks: int = 0
    tolerated: tuple[float, ...] | None = None  # m0 of D1 by part of the season
    own: Sums = Sums()  # of the open block: the active's loss
    paired: Sums = Sums()  # of the open block: active less anchor
    harm: tuple[float, ...] = (0.0,) * len(HARM_GRID)
    pilot: tuple[float, ...] = ()
    spread: float = 0.0
    relative: tuple[float, ...] = (0.0,) * len(RELATIVE_GRID)
    said: Decision = "keep"

    @classmethod
    def begin(cls, design: Design, scale: Scale | None = None, usual: Usual | None = None) -> Self:
        """A new seat's watch; scale and usual loss from the comparison that won it, if any."""
        enough = usual is not None and sum(usual.visits) >= REFERENCE_BLOCKS
        upper = usual.upper() if usual is not None and enough else None
        known = scale is not None and scale.reference is not None
        return cls(
            scale=scale if scale is not None and known else Scale.of(design.task),
            usual=Usual.of(design.season_ms, design.block_ms),
            tolerated=_tolerated(upper, design.tolerance) if upper and known else None,
        )

    def again(self) -> Self:
        """The watch after a rollback or with a new anchor: the usual loss stays, the rest goes."""
        return type(self)(
            scale=self.scale, usual=self.usual, first_ms=self.first_ms, tolerated=self.tolerated
        )

    def close_own(self, end_ms: int, design: Design) -> tuple[Self, float]:
        """D1 takes the open block; its mean loss is returned too."""
        loss, part = self.own.means[0], self.usual.part(end_ms, design.season_ms)
        closed = self.model_copy(update={"own": Sums(), "blocks": self.blocks + 1})
        if self.tolerated is not None:
            m0 = self.tolerated[part]
            harm = _detect(self.harm, harm_grid(self.tolerated), loss - m0, design.alarm_blocks)
            return closed.model_copy(update={"harm": harm}), loss
        usual, tolerated = self.usual.add(part, loss), None
        whole = end_ms - self.first_ms >= design.season_ms
        if sum(usual.visits) >= REFERENCE_BLOCKS and whole and (upper := usual.upper()):
            tolerated = _tolerated(upper, design.tolerance)
        return closed.model_copy(update={"usual": usual, "tolerated": tolerated}), loss

    def close_paired(self, design: Design) -> Self:
        """D2 takes the open block."""
        worse_by = self.paired.means[0]
        closed = self.model_copy(update={"paired": Sums()})
        if worse_by == 0.0:
            return closed
        if not self.spread:
            pilot = (*self.pilot, worse_by)
            if len(pilot) < PILOT_BLOCKS:
                return closed.model_copy(update={"pilot": pilot})
            spread = spread_of(pilot, design.not_worse_by)
            return closed.model_copy(update={"pilot": (), "spread": spread})
        excess = (worse_by - design.not_worse_by) / (4 * self.spread)
        above = min(1.0, max(-1.0, excess)) / 2
        relative = _detect(self.relative, RELATIVE_GRID, above, design.alarm_blocks)
        return closed.model_copy(update={"relative": relative})

    @property
    def harm_evidence(self) -> float:
        """D1, against A."""
        used = harm_grid(self.tolerated) if self.tolerated else HARM_GRID
        return float(np.mean(self.harm[: len(used)]))

    @property
    def relative_evidence(self) -> float:
        """D2, against A."""
        return float(np.mean(self.relative))

    def decision(self, design: Design) -> Decision:
        """What both detectors mean together."""
        a = design.alarm_blocks
        return DECISIONS[(self.harm_evidence >= a, self.relative_evidence >= a)]


def harm_grid(tolerated: tuple[float, ...]) -> tuple[float, ...]:
    """The part of the grid that can never make evidence negative: l < 1 / m0 everywhere."""
    return tuple(step for step in HARM_GRID if step < 1 / max(tolerated))


def _tolerated(upper: tuple[float, ...], tolerance: float) -> tuple[float, ...]:
    return tuple(min(MAX_TOLERATED, bound + tolerance) for bound in upper)


def _detect(
    evidence: tuple[float, ...], grid: tuple[float, ...], excess: float, alarm: float
) -> tuple[float, ...]:
    """One step of M_l; `excess` = X - m0. Values beyond the grid stay."""
    stepped = (
        min(CEILING * alarm, (m + 1.0) * (1.0 + step * excess))
        for m, step in zip(evidence, grid, strict=False)
    )
    return (*stepped, *evidence[len(grid) :])
