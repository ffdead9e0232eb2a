"""Labelled rows that a model is fitted to, in canonical order: event time, element, sequence, sample."""

from dataclasses import dataclass

import numpy as np

from flyball_proto.columns import F32, F64, I64, U16, U32, U64, Column


@dataclass(frozen=True, slots=True, eq=False)
class TrainingRows:
    """n rows of m distinct elements; nothing censored, every label finite."""

    element: tuple[str, ...]  # (m,), sorted
    element_index: Column  # u32 (n,)
    label_set: tuple[str, ...]  # (k,), sorted; canonical JSON objects
    label_index: Column  # u32 (n,)
    sequence: Column  # u64 (n,)
    sample: Column  # u16 (n,)
    time_ms: Column  # i64 (n,)
    known_ms: Column  # i64 (n,)
    feature: Column  # f32 (n, width), NaN = missing
    label: Column  # f64 (n,)
    weight: Column  # f64 (n,)

    def __len__(self) -> int:
        return len(self.sequence)

    @property
    def width(self) -> int:
        """Number of features."""
        return int(self.feature.shape[1])

    def part(self, chosen: slice | Column) -> "TrainingRows":
        """Some of the rows, in the order given; names are kept, also those no longer used."""
        return TrainingRows(
            self.element,
            self.element_index[chosen],
            self.label_set,
            self.label_index[chosen],
            self.sequence[chosen],
            self.sample[chosen],
            self.time_ms[chosen],
            self.known_ms[chosen],
            self.feature[chosen],
            self.label[chosen],
            self.weight[chosen],
        )

    @staticmethod
    def none(width: int) -> "TrainingRows":
        """No rows."""
        return TrainingRows(
            (),
            np.empty(0, U32),
            (),
            np.empty(0, U32),
            np.empty(0, U64),
            np.empty(0, U16),
            np.empty(0, I64),
            np.empty(0, I64),
            np.empty((0, width), F32),
            np.empty(0, F64),
            np.empty(0, F64),
        )
