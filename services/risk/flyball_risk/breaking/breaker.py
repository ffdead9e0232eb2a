"""When a pipeline steps back to advisory by itself, and how it finds its way back. Pure.

The state of one partition. While it is open every proposal is recorded only; in a trial a share of
them goes out.
"""

from collections.abc import Mapping
from typing import Any

from flyball_proto.columns import Breaker as State
from flyball_proto.columns import Category, Turned, Verdict


class Breaker:
    """Changes only by `advance` and `note`; what it did since the last output is in `turned`."""

    def __init__(self) -> None:
        self.state = State.CLOSED
        self.turned: list[Turned] = []

    def why_not(self, element: str, time_ms: int) -> str:
        """Why a proposal of this element may only be recorded now; empty when it may go on."""
        return ""

    def advance(self, clock_ms: int, row: int) -> None:
        """The partition's clock reached `clock_ms` before row `row` of the output."""

    def note(self, verdict: Verdict, category: Category, *, finite: bool) -> None:
        """A proposal was judged."""

    def as_json(self) -> dict[str, Any]:
        """Plain values; the same state gives the same."""
        return {}

    @classmethod
    def from_json(cls, plain: Mapping[str, Any]) -> "Breaker":
        """What `as_json` gave."""
        return cls()
