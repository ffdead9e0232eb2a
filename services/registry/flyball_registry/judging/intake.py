"""Samples in memory: what was read and not folded yet, and what the next looks need. Pure."""

from typing import Final

import numpy as np

from flyball_proto.columns import Mark, Samples, Tally
from flyball_registry.contract import Contract
from flyball_registry.records.scoreboard import Place, Scoreboard
from flyball_registry.scoring.candidates import Recent
from flyball_registry.scoring.rows import Sampled, joined, sampled

MAX_WAITING_BYTES: Final = 512 << 20
"""Of features of rows that wait for the clock. At the bound the oldest are dropped and counted."""


class Intake:
    """One pipeline's samples, from its scoreboard on."""

    def __init__(self, board: Scoreboard, contract: Contract, partitions: int) -> None:
        self.board = board
        self.tallies: list[Tally] = []
        self._partitions, self._block_ms = partitions, contract.block_ms
        self._waiting: list[Sampled] = []
        self._recent = Recent(contract.gate_rows, partitions)
        self._marks: dict[int, Mark] = {}

    def take(self, partition: int, sequence: int, samples: Samples | None) -> None:
        """Take a message; one that the scoreboard covers only fills memory again."""
        place = self.board.places.get(str(partition), Place())
        rows = sampled(partition, sequence, samples) if samples and len(samples.rows) else None
        if rows is not None:
            self._recent.add(rows)
        if sequence <= place.samples:
            if rows is not None:
                self._wait(rows.take(rows.time_ms > self.board.folded_ms))
            return
        if rows is not None:
            self._wait(rows)
        self._count(partition, place, sequence, samples, rows)

    def mark(self) -> Mark | None:
        """The mark that every partition has reached, once."""
        reached = list(self._marks.values())
        if len(reached) < self._partitions or len({mark.id for mark in reached}) > 1:
            return None
        self._marks.clear()
        return reached[0]

    def due(self, clock_ms: int) -> Sampled | None:
        """The waiting rows that the clock has reached, in order; they wait no more."""
        ready, later = [], []
        for rows in self._waiting:
            now = rows.time_ms <= clock_ms
            ready.append(rows.take(now))
            if not now.all():
                later.append(rows.take(~now))
        self._waiting = later
        found = [rows for rows in ready if len(rows)]
        return joined(found).ordered() if found else None

    def recent(self) -> Sampled | None:
        """The newest labelled rows, in order."""
        return self._recent.rows()

    def taken_tallies(self) -> list[Tally]:
        """What models did since the last call."""
        taken, self.tallies = self.tallies, []
        return taken

    def places(self) -> dict[str, Place]:
        """Positions, each with the oldest message that is needed to fill memory again."""
        oldest = {p: self._recent.needed(p) for p in range(self._partitions)}
        for rows in self._waiting:
            partition, message = int(rows.partition[0]), int(rows.message.min())
            oldest[partition] = min(oldest[partition] or message, message)
        return {
            key: place.model_copy(update={"needed": oldest[int(key)] or place.samples + 1})
            for key, place in self.board.places.items()
        }

    def _count(
        self,
        partition: int,
        place: Place,
        sequence: int,
        samples: Samples | None,
        rows: Sampled | None,
    ) -> None:
        update: dict[str, object] = {}
        now = place.model_copy(update={"samples": sequence})
        if samples is not None:
            self.tallies += samples.tally
            update["unlabelled"] = self.board.unlabelled + samples.unlabelled
            update["share"] = samples.share
            now = now.model_copy(update={"metrics": max(place.metrics, samples.flow.last)})
            if samples.flow.mark is not None:
                self._marks[partition] = samples.flow.mark
        if rows is not None:
            newest_ms = int(rows.known_ms.max())
            now = now.model_copy(update={"time_ms": max(place.time_ms, newest_ms)})
            update["first_ms"] = self.board.first_ms or int(rows.time_ms.min())
            update["effect"] = self.board.effect.add(rows, self._block_ms)
        places = {**self.board.places, str(partition): now}
        self.board = self.board.model_copy(update={**update, "places": places})

    def _wait(self, rows: Sampled) -> None:
        if not len(rows):
            return
        self._waiting.append(rows)
        held = sum(waiting.feature.nbytes for waiting in self._waiting)
        while held > MAX_WAITING_BYTES and len(self._waiting) > 1:
            dropped = self._waiting.pop(0)
            held -= dropped.feature.nbytes
            lost = self.board.lost + len(dropped)
            self.board = self.board.model_copy(update={"lost": lost})


def first_times(rows: Sampled) -> dict[int, int]:
    """The first event time of rows by epoch of the model that decided them."""
    epochs = np.array([model.epoch for model in rows.model], np.int64)
    return {int(e): int(rows.time_ms[epochs == e].min()) for e in np.unique(epochs)}
