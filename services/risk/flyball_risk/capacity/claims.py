"""Which pipeline may change what at an element: one at a time, by priority and lease. Pure.

Shared by all pipelines that one process judges. A claim counts in event time.
"""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Claim:
    """Until when (event time) a pipeline keeps others from a parameter of an element."""

    pipeline: str
    priority: int
    action: str
    until_ms: int


class Claims:
    """Changes only by `take`."""

    def holder(
        self, pipeline: str, priority: int, element: str, parameter: str, time_ms: int
    ) -> Claim | None:
        """Another pipeline's claim that is in the way; None when there is none."""
        return None

    def others(self, pipeline: str, element: str, time_ms: int) -> bool:
        """Whether another pipeline has a claim on any parameter of the element."""
        return False

    def take(self, element: str, parameter: str, claim: Claim) -> None:
        """A pipeline's action goes out: nobody of no higher priority changes the same until then."""
