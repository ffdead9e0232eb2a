"""The control share: would-be actions left alone at random, so that their effect stays measurable. Pure.

An action is meant to make its prediction false. Only what would have been acted on and was not says
how right the predictions are there. Who is left alone depends on a keyed hash of the element and the
event time alone: the same after every restart and on every machine, and without the key nobody can
tell beforehand.
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


def is_drawn(key: str, share: float, *, pipeline: str, element: str, spell: int) -> bool:
    """Whether an element is left alone for a spell of event time, see `spell_ms`."""
    return share > 0 and sticky.fraction(key, pipeline, element, str(spell)) < share


def spell_ms(cooldown_ms: int, horizon_ms: int) -> int:
    """How long an element is left alone at a stretch: a cool-down, or a horizon if that is longer.

    Drawn row by row, a row that is left alone would be followed by one that is not, within the time
    that its label looks at: the label would be censored, and nothing learnt.
    """
    return max(cooldown_ms, horizon_ms, 1)
