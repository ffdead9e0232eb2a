"""Under what the rows of one output are judged. Pure."""

from dataclasses import dataclass, field

from flyball_proto.calibrations import Calibration
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
    def revisions(self) -> dict[str, int]:
        """Of what is judged under, those that are known."""
        found = {"policy": self.policy.revision, "calibration": self.calibration_revision}
        found["lease"] = self.allowance.revision if self.allowance else 0
        return {name: revision for name, revision in found.items() if revision or name == "policy"}
