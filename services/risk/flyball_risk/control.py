"""The control share: would-be actions left alone at random, so that their effect stays measurable. Pure.

An action is meant to make its prediction false. Only what would have been acted on and was not says
how right the predictions are there. Who is left alone depends on a keyed hash of the decision alone:
the same after every restart and on every machine, and without the key nobody can tell beforehand.
"""

from collections.abc import Set as AbstractSet
from typing import Final

from flyball_proto import sticky
from flyball_proto.columns import Verdict

DEFAULT_KEY: Final = "flyball"

SEVERITIES: Final[AbstractSet[str]] = {"low", "medium"}
"""Only actions of these severities are ever withheld."""

WITHHOLDABLE: Final = (Verdict.CLEAR, Verdict.NOTIFY)
"""What would be dispatched as it was proposed: of high or critical risk, or at a boundary, nothing is."""


def is_drawn(key: str, share: float, *, pipeline: str, element: str, row: tuple[int, int]) -> bool:
    """Whether a decision falls into the control share; `row` is its event time and its sample."""
    time_ms, sample = row
    return share > 0 and sticky.fraction(key, pipeline, element, str(time_ms), str(sample)) < share
