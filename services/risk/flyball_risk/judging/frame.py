"""Under what the rows of one output are judged. Pure."""

from dataclasses import dataclass, field

from flyball_proto.calibrations import Calibration, CutOff
from flyball_risk.capacity.allowances import Allowance
from flyball_risk.capacity.claims import Claims
from flyball_risk.judging.policy import Policy


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

    @property
    def cut_off(self) -> CutOff | None:
        """Up to which probability of error decisions may be cleared; None = nobody has looked."""
        return self.calibration.cut_off if self.calibration else None

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
