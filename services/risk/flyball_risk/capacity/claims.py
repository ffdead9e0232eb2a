"""Which pipeline may change what at an element: one at a time, by priority and lease. Pure.

Shared by all pipelines that one process judges. A claim counts in event time: an action that goes
out claims its parameter for the lease. A pipeline of a higher priority is never kept out; it keeps
out others also while it goes on proposing. Among equals who came first keeps its lease.

Claims of different pipelines stand beside each other, so it does not matter in which order they
are taken up again after a restart. Bound: `MAX_CLAIMS`.
"""

from collections.abc import Callable, Iterable
from typing import Final, NamedTuple

MAX_CLAIMS: Final = 50_000
"""Elements times parameters times pipelines."""

MARGIN_MS: Final = 120_000
"""How far behind its pipeline's newest a row may be until a claim that is over is forgotten."""

SWEEP_EVERY_MS: Final = 1_000
"""Event time between two looks for claims that are over, while there is no room."""


class Claim(NamedTuple):
    """Until when (event time) a pipeline keeps others from a parameter of an element.

    `wanted_ms`: the same for pipelines of a lower priority, while it goes on proposing.
    """

    pipeline: str
    priority: int
    action: str
    until_ms: int
    wanted_ms: int = 0

    def is_in_the_way(self, pipeline: str, priority: int, time_ms: int) -> bool:
        """Whether it keeps a pipeline out at a time."""
        if self.pipeline == pipeline or self.priority < priority:
            return False
        is_higher = self.priority > priority
        return time_ms < (max(self.until_ms, self.wanted_ms) if is_higher else self.until_ms)


Place = tuple[str, str]
"""Parameter and pipeline."""


class Claims:
    """Changes only by `take`, `renew` and `drop`."""

    def __init__(self) -> None:
        self._elements: dict[str, dict[Place, Claim]] = {}
        self._count = 0
        self._clocks: dict[str, int] = {}  # newest time of each pipeline
        self._swept_ms: dict[str, int] = {}

    def __len__(self) -> int:
        return self._count

    def holder(
        self, pipeline: str, priority: int, element: str, parameter: str, time_ms: int
    ) -> Claim | None:
        """Another pipeline's claim that is in the way; of several the strongest. None = none is."""
        claims = self._elements.get(element)
        if not claims or (len(claims) == 1 and (parameter, pipeline) in claims):
            return None
        found = [
            claim
            for (claimed, _), claim in claims.items()
            if claimed == parameter and claim.is_in_the_way(pipeline, priority, time_ms)
        ]
        return max(found, key=lambda c: (c.priority, c.until_ms, c.pipeline)) if found else None

    def others(self, pipeline: str, element: str, time_ms: int) -> bool:
        """Whether another pipeline acted on the element lately, whatever it changed there."""
        claims = self._elements.get(element)
        if not claims or (len(claims) == 1 and next(iter(claims))[1] == pipeline):
            return False
        return any(c.pipeline != pipeline and time_ms < c.until_ms for c in claims.values())

    def has_room(self, pipeline: str, element: str, parameter: str, time_ms: int) -> bool:
        """Whether one more claim can be remembered, or this one is already."""
        if self._count < MAX_CLAIMS or (parameter, pipeline) in self._elements.get(element, {}):
            return True
        swept_ms = self._swept_ms.get(pipeline)
        if swept_ms is None or time_ms >= swept_ms + SWEEP_EVERY_MS:
            self._swept_ms[pipeline] = time_ms
            self._clocks[pipeline] = max(time_ms, self._clocks.get(pipeline, 0))
            self._forget()
        return self._count < MAX_CLAIMS

    def renew(
        self, pipeline: str, element: str, parameter: str, time_ms: int, lease_ms: int
    ) -> None:
        """A pipeline proposes to change what it holds: it keeps it from those below it."""
        claims = self._elements.get(element)
        claim = claims.get((parameter, pipeline)) if claims else None
        if claims is None or claim is None:
            return
        before_ms, wanted_ms = claim.wanted_ms, time_ms + lease_ms
        if wanted_ms > before_ms and (time_ms < claim.until_ms or time_ms < before_ms):
            claims[parameter, pipeline] = Claim(*claim[:4], wanted_ms)

    def take(self, element: str, parameter: str, claim: Claim, time_ms: int = 0) -> None:
        """A pipeline's action goes out: nobody of no higher priority changes the same until then.

        Taking one up again that is there already changes nothing. At the bound it is not
        remembered: ask `has_room` first.
        """
        place = (parameter, claim.pipeline)
        self._clocks[claim.pipeline] = max(time_ms, self._clocks.get(claim.pipeline, 0))
        if not self.has_room(claim.pipeline, element, parameter, time_ms):
            return
        claims = self._elements.setdefault(element, {})
        before = claims.get(place)
        if before is None:
            self._count += 1
            claims[place] = claim
        elif claim.until_ms >= before.until_ms:
            wanted_ms = max(claim.wanted_ms, before.wanted_ms)
            claims[place] = claim._replace(wanted_ms=wanted_ms)

    def take_up(self, claims: Iterable[tuple[str, str, Claim]]) -> None:
        """What a partition's state remembers: element, parameter and claim of each."""
        for element, parameter, claim in claims:
            self.take(element, parameter, claim)

    def drop(self, pipeline: str) -> None:
        """A pipeline is gone, and with it what it claimed."""
        self._keep(lambda claim: claim.pipeline != pipeline)
        self._clocks.pop(pipeline, None)
        self._swept_ms.pop(pipeline, None)

    def _forget(self) -> None:
        """Drop what counts no longer, by the clock of the pipeline that claimed it."""
        clocks = self._clocks
        self._keep(
            lambda claim: max(claim.until_ms, claim.wanted_ms) + MARGIN_MS > clocks[claim.pipeline]
        )

    def _keep(self, is_kept: Callable[[Claim], bool]) -> None:
        kept = {
            element: {place: claim for place, claim in claims.items() if is_kept(claim)}
            for element, claims in self._elements.items()
        }
        self._elements = {element: claims for element, claims in kept.items() if claims}
        self._count = sum(map(len, self._elements.values()))
