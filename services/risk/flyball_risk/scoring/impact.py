"""How bad it is when an action is wrong: severity, reversibility, blast radius, conflict. Pure."""

from collections.abc import Mapping
from typing import Final, Literal

Severity = Literal["low", "medium", "high", "critical"]

SEVERITY: Final[Mapping[Severity, float]] = {
    "low": 0.1,
    "medium": 0.3,
    "high": 0.6,
    "critical": 1.0,
}
"""Impact of an action that nobody can take back, by its severity."""

REVERSIBLE_RATIO: Final = 0.5
"""What remains of the impact when the element itself can undo the action."""

CONTESTED_RATIO: Final = 1.5
"""How much worse it gets when another pipeline acted on the element lately: nobody measured both."""


def impact(severity: Severity, *, reversible: bool) -> float:
    """Impact of one wrong action at one element, in [0, 1]."""
    return SEVERITY[severity] * (REVERSIBLE_RATIO if reversible else 1.0)


def spread(impact_of_one: float, share: float, *, contested: bool = False) -> float:
    """Impact when `share` (0 to 1) of the element's group is under an action already, in [0, 1].

    One wrong action among neighbours that stay as they are is repaired by them; with the whole
    group under actions nobody is left, and the impact doubles. `contested`: another pipeline
    acted on the same element lately.
    """
    return min(1.0, impact_of_one * (1.0 + share) * (CONTESTED_RATIO if contested else 1.0))
