"""Models that cannot answer, so that each is told of once an epoch. Pure."""

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Trip:
    """A model that answers, or should, cannot."""

    digest: str
    epoch: int
    detail: str


class Trips:
    """Those of the newest epoch that had any; at most one for each model of it."""

    def __init__(self) -> None:
        self._known: dict[str, Trip] = {}
        self._told: set[str] = set()

    @property
    def untold(self) -> list[Trip]:
        """Those that nobody heard of yet."""
        return [trip for digest, trip in self._known.items() if digest not in self._told]

    def note(self, trip: Trip) -> bool:
        """Whether it is the first of its model in its epoch."""
        if any(known.epoch != trip.epoch for known in self._known.values()):
            self._known, self._told = {}, set()
        if trip.digest in self._known:
            return False
        self._known[trip.digest] = trip
        return True

    def told(self, trip: Trip) -> None:
        """Somebody heard."""
        self._told.add(trip.digest)
