"""What each model did among all verdicts, with or without a label. Pure."""

from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from flyball_proto.columns import Column, Model, Tally, Verdicts


@dataclass(slots=True)
class _Counts:
    rows: int = 0
    not_finite: int = 0
    action: Counter[str] = field(default_factory=Counter)
    verdict: Counter[int] = field(default_factory=Counter)
    category: Counter[int] = field(default_factory=Counter)


class Tallies:
    """Counts since the last `take`; one entry a model that decided."""

    def __init__(self) -> None:
        self._counts: dict[Model, _Counts] = {}

    def __len__(self) -> int:
        return len(self._counts)

    def add(self, batch: Verdicts) -> None:
        """Count all rows of a batch."""
        for i in np.unique(batch.model_index).tolist():
            rows = batch.model_index == i
            counts = self._counts.setdefault(batch.model[i], _Counts())
            counts.rows += int(rows.sum())
            counts.not_finite += int((~np.isfinite(batch.score[rows])).sum())
            names = ("", *batch.action)
            for action, n in _count(batch.action_index[rows]).items():
                if action:
                    counts.action[names[action]] += n
            counts.verdict.update(_count(batch.verdict[rows]))
            counts.category.update(_count(batch.category[rows]))

    def take(self) -> Sequence[Tally]:
        """What was counted, in the order in which the models first decided."""
        counts, self._counts = self._counts, {}
        return tuple(
            Tally(
                model,
                found.rows,
                found.not_finite,
                dict(sorted(found.action.items())),
                dict(sorted(found.verdict.items())),
                dict(sorted(found.category.items())),
            )
            for model, found in counts.items()
        )


def _count(values: Column) -> Mapping[int, int]:
    found = np.bincount(values)
    return {value: int(found[value]) for value in np.flatnonzero(found).tolist()}
