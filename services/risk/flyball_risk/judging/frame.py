"""Under what the rows of one output are judged. Pure."""

import math
from dataclasses import dataclass, field
from typing import Final

from flyball_proto.calibrations import Calibration, CutOff
from flyball_risk.capacity.allowances import Allowance
from flyball_risk.capacity.claims import Claims
from flyball_risk.judging.policy import Policy

NO_ROWS: Final = "not proven yet: no labelled rows"


@dataclass(frozen=True, slots=True)
class Frame:
    """Does not change within an output; its revisions stand in the output's flow.

    `claims` are shared with the other pipelines of the process. `allowance` None: the partition's
    even share.
    """

    policy: Policy
    calibration: Calibration | None = None
    calibration_revision: int = 0
    allowance: Allowance | None = None
    claims: Claims = field(default_factory=Claims)
    learns: bool = False
    """Whether labels are looked at, so that a calibration that is missing proves nothing."""
    labelled_ms: int = 0
    """Newest event time at which any label was known; 0 = none was."""
    cut_off: CutOff | None = field(init=False)
    """None = nobody has looked at labels."""
    clears_up_to: float = field(init=False)
    """Probability of error up to which nobody need be asked; below 0 = a person always must be."""
    unproven: str = field(init=False)
    """Why nothing is known about the error of cleared decisions; empty when it is, or nobody asks."""

    def __post_init__(self) -> None:
        """Once an output instead of once a row."""
        cut_off = self.calibration.cut_off if self.calibration else None
        holds = self.policy.risk.unproven == "hold"
        object.__setattr__(self, "cut_off", cut_off)
        object.__setattr__(self, "clears_up_to", _clears_up_to(cut_off, holds=holds))
        object.__setattr__(self, "unproven", _unproven(cut_off, says=holds or self.learns))

    @property
    def stepped_back(self) -> str:
        """Why the pipeline is advisory until its decisions are right again; empty when it is not."""
        found = self.calibration.stepped_back if self.calibration else None
        if found is None:
            return ""
        most = self.policy.risk.max_error
        wrong = f"{found.error * 100:.3g} % of {found.rows} cleared decisions were wrong"
        return f"the pipeline stepped back, {wrong}, at most {most * 100:g} % may be"

    @property
    def revisions(self) -> dict[str, int]:
        """Of what is judged under, those that are known."""
        found = {"policy": self.policy.revision, "calibration": self.calibration_revision}
        found["lease"] = self.allowance.revision if self.allowance else 0
        return {name: revision for name, revision in found.items() if revision or name == "policy"}


def _clears_up_to(cut_off: CutOff | None, *, holds: bool) -> float:
    if cut_off is not None and cut_off.proven:
        return -1.0 if cut_off.at is None else cut_off.at
    return -1.0 if holds else math.inf


def _unproven(cut_off: CutOff | None, *, says: bool) -> str:
    if cut_off is None:
        return NO_ROWS if says else ""
    if cut_off.proven:
        return ""
    return f"not proven yet: {cut_off.rows} of {cut_off.needed} labelled rows"
