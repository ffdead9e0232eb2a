"""Progress of all trainers of a pipeline: which are due, which are under way, what came of it."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Literal

from flyball_proto.columns import Column
from flyball_trainer.learning.progress import Rate
from flyball_trainer.learning.schedule import (
    MIN_NEW_ROWS,
    Because,
    Cadence,
    Progress,
    due,
    failed,
    known,
    noticed,
    trained,
)

Outcome = Literal["trained", "refused", "failed"]
"""Refused: the rows do not suffice yet, which cost nothing. Failed: it cost a fit."""


@dataclass(frozen=True, slots=True)
class Due:
    """A trainer that is due, and why."""

    trainer: str
    because: Because


class Pace:
    """One entry a trainer that is in the specification or trained once; a handful.

    What becomes known during a training is counted twice: towards the next one if this one gives a
    model, and towards trying again if it does not.
    """

    def __init__(self, found: Mapping[str, Progress]) -> None:
        self.now_ms = 0
        self.rate = Rate()
        self._newcomer = Progress()
        self._progress = dict(found)
        self._under_way: dict[str, Progress] = {}
        self._looked_at: dict[str, int] = {}

    @property
    def busy(self) -> bool:
        """Whether any training is under way."""
        return bool(self._under_way)

    def know(self, known_ms: Column, time_ms: Column, usable: Column) -> None:
        """Samples came; `usable` bool (n,): no action falsified the label."""
        if not len(known_ms):
            return
        self.now_ms = max(self.now_ms, int(known_ms.max()))
        known_ms, time_ms = known_ms[usable], time_ms[usable]
        self.rate.know(self.now_ms, len(time_ms))
        self._newcomer = known(self._newcomer, known_ms, time_ms)
        for progress in (self._progress, self._under_way):
            progress.update({n: known(p, known_ms, time_ms) for n, p in progress.items()})

    def progress(self, trainer: str) -> Progress:
        """How far a trainer is, whether it is in the specification yet or not."""
        return self._progress.get(trainer, self._newcomer)

    def notice(self) -> None:
        """Drift was noticed."""
        for progress in (self._progress, self._under_way):
            progress.update({name: noticed(p) for name, p in progress.items()})

    def due(self, cadences: Iterable[Cadence], horizon_ms: int, *, at_mark: bool) -> list[Due]:
        """Who is due and not under way, in the order of `cadences`.

        Live, rows that were refused are looked at again once enough came; at a mark always, because
        a trainer that was restarted must come to the same.
        """
        found = []
        for cadence in cadences:
            name = cadence.trainer
            progress = self.progress(name)
            waits = progress.rows < self._looked_at.get(name, -MIN_NEW_ROWS) + MIN_NEW_ROWS
            if name in self._under_way or (waits and not at_mark):
                continue
            why = due(progress, cadence, now_ms=self.now_ms, horizon_ms=horizon_ms)
            if why is not None:
                found.append(Due(name, why))
        return found

    def begin(self, trainer: str) -> None:
        """A training on everything that is known now is under way."""
        progress = self._progress.setdefault(trainer, self._newcomer)
        self._looked_at[trainer] = progress.rows
        self._under_way[trainer] = trained(self.now_ms)

    def end(self, trainer: str, outcome: Outcome, now_ms: int) -> None:
        """A training that began at event time `now_ms` has ended."""
        behind = self._under_way.pop(trainer)
        if outcome == "trained":
            self._progress[trainer] = behind
            self._looked_at.pop(trainer)
        elif outcome == "failed":
            self._progress[trainer] = failed(self._progress[trainer], now_ms)
