"""Which model of each trainer answers for a row: the newest that was admitted before it. Pure."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from flyball_proto.columns import I64, Column
from flyball_proto.events import ModelRecord

MAX_MODELS: Final = 256
"""Newest models of a trainer that are told apart; rows wait for their label far less long."""


@dataclass(frozen=True, slots=True)
class Answer:
    """Rows, as positions (m,), that one model answers for."""

    digest: str
    rows: Column


@dataclass(frozen=True, slots=True)
class Timelines:
    """The admitted models of each trainer, oldest first; under 1 kB a model."""

    models: Mapping[str, tuple[ModelRecord, ...]]

    @staticmethod
    def of(records: Iterable[ModelRecord]) -> "Timelines":
        """From records in any order; refused ones do not count."""
        models: dict[str, list[ModelRecord]] = {}
        for record in records:
            if record.stage != "refused":
                models.setdefault(record.trainer, []).append(record)
        return Timelines(
            {
                trainer: tuple(sorted(found, key=_order))[-MAX_MODELS:]
                for trainer, found in sorted(models.items())
            }
        )

    @property
    def trainers(self) -> tuple[str, ...]:
        """Trainers with an admitted model, in order of name."""
        return tuple(self.models)

    def newest(self, trainer: str, unless: Iterable[str] = ()) -> ModelRecord | None:
        """A trainer's newest model, one that is not in `unless` if there is any."""
        found = self.models.get(trainer, ())
        passing = [model for model in found if model.digest not in set(unless)]
        return (passing or found or (None,))[-1]

    def answers(self, trainer: str, partition: Column, sequence: Column) -> Iterator[Answer]:
        """Who answers for rows at (partition, METRICS sequence), both (n,).

        A model answers for rows behind its `valid_from`; a partition that is not named there began
        later, all its rows are behind. Rows before a trainer's first model are left out.
        """
        models = self.models.get(trainer, ())
        chosen = np.full(len(sequence), -1, I64)
        for part in np.unique(partition):
            begins = np.array([model.valid_from.get(str(part), 0) for model in models], I64)
            here = partition == part
            behind = np.searchsorted(np.maximum.accumulate(begins), sequence[here].astype(I64))
            chosen[here] = behind - 1
        for index in np.unique(chosen[chosen >= 0]):
            yield Answer(models[index].digest, np.flatnonzero(chosen == index))


def _order(model: ModelRecord) -> tuple[int, int, float, str]:
    """By what it has seen, then by when it came: in lockstep admission times mean nothing."""
    through = sum(model.valid_from.values())
    return through, model.trained_through_ms, model.admitted_at.timestamp(), model.digest


def valid_from(trained_through: Mapping[str, int], position: Mapping[str, int]) -> dict[str, int]:
    """Behind which METRICS sequences a model that is admitted now answers, by partition."""
    return {
        partition: max(trained_through.get(partition, 0), position.get(partition, 0))
        for partition in sorted({*trained_through, *position})
    }
