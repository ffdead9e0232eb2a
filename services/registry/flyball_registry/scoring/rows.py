"""Labelled rows on their way from SAMPLES to the evaluation. Pure.

Sampled    columns of rows of one or several messages, of all partitions
Waiting    rows that were taken and lie after the clock: they are folded when it reaches them
"""

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields
from functools import lru_cache
from typing import Any

import numpy as np

from flyball_proto.columns import U8, U64, Column, Model, Samples

Names = np.ndarray[Any, np.dtype[np.object_]]


@dataclass(frozen=True, slots=True)
class Sampled:
    """`n` rows; as large as its features."""

    partition: Column  # i64 (n,)
    message: Column  # u64 (n,), sequence in SAMPLES
    sequence: Column  # u64 (n,), of METRICS
    sample: Column  # u16 (n,)
    time_ms: Column  # i64 (n,)
    known_ms: Column  # i64 (n,)
    element: Names  # (n,)
    labels: Names  # (n,), canonical JSON object of the element's labels
    feature: Column  # f32 (n, width)
    label: Column  # f64 (n,)
    weight: Column  # f64 (n,)
    censored: Column  # bool (n,)
    verdict: Column  # u8 (n,)
    model: Names  # (n,), of `columns.Model`
    score: Column  # f64 (n,)
    action: Names  # (n,), what was proposed; empty = nothing, or an older version wrote it

    def __len__(self) -> int:
        return len(self.time_ms)

    def take(self, chosen: Column | slice) -> "Sampled":
        """Some rows: positions, flags, or a slice."""
        return Sampled(*(getattr(self, f.name)[chosen] for f in fields(self)))

    def ordered(self) -> "Sampled":
        """By (event time, element, METRICS sequence), the order in which everything is computed."""
        return self.take(np.lexsort((self.sequence, self.element.astype(str), self.time_ms)))

    def newest(self, most: int) -> "Sampled":
        """The last `most` rows."""
        return self.take(slice(-most, None))

    @property
    def usable(self) -> Column:
        """Rows (n,) that may be evidence: labelled, and not under an applied action."""
        return ~self.censored & np.isfinite(self.label)


def joined(parts: Sequence[Sampled]) -> Sampled:
    """All rows of one or more parts of the same width."""
    if len(parts) == 1:
        return parts[0]
    return Sampled(
        *(np.concatenate([getattr(part, f.name) for part in parts]) for f in fields(Sampled))
    )


def sampled(partition: int, message: int, samples: Samples) -> Sampled:
    """The rows of one message."""
    rows, n = samples.rows, len(samples.rows)
    return Sampled(
        np.full(n, partition, np.int64),
        np.full(n, message, U64),
        rows.sequence,
        rows.sample,
        rows.time_ms,
        samples.known_ms,
        _looked_up(rows.element, rows.element_index),
        _looked_up(
            _looked_up(rows.label_set, rows.label_index[: len(rows.element)]), rows.element_index
        ),
        samples.feature,
        samples.label,
        samples.weight,
        samples.censored.astype(bool),
        samples.verdict,
        _looked_up(samples.model, samples.model_index),
        samples.score,
        _actions(samples, n),
    )


def slices(rows: Sampled, names: Sequence[str]) -> Mapping[str, Sequence[str]]:
    """What each row's element is labelled with; empty where it has no such label."""
    return {name: [_labels(text).get(name, "") for text in rows.labels] for name in names}


def models(rows: Sampled) -> list[Model]:
    """The models that decided, each once, in order of appearance."""
    return list(dict.fromkeys(rows.model.tolist()))


@lru_cache(maxsize=4096)
def _labels(text: str) -> dict[str, str]:
    found: Any = json.loads(text) if text else {}
    return {str(k): str(v) for k, v in found.items()} if isinstance(found, dict) else {}


def _actions(samples: Samples, rows: int) -> Names:
    index = samples.action_index if len(samples.action_index) else np.zeros(rows, U8)
    return _looked_up(("", *samples.action), index)


def _looked_up(words: Sequence[Any] | Names, index: Column) -> Names:
    table = np.empty(len(words), object)
    table[:] = list(words)
    return table[index]
