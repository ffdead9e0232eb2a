"""What an output of samples says, and its form on the wire. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple

import numpy as np

from flyball_ingest.decided import Decided
from flyball_proto.columns import (
    F32,
    F64,
    I64,
    U8,
    U16,
    U32,
    U64,
    Column,
    Flow,
    Mark,
    Model,
    Rows,
    Samples,
    Skipped,
    SkipReason,
    Tally,
    encode_samples,
)
from flyball_proto.streams import MIB

ROW_BYTES: Final = 72
"""What a sample takes beside its features and its names, about."""

PART_BYTES: Final = 2 * MIB
"""More samples than that at once go out in parts."""

MAX_WORDS: Final = 255
"""Models, and actions, that a column of `U8` can tell apart."""


@dataclass(slots=True)
class Gathered:
    """Everything since the last output.

    Holds what one input message came to, and before it at most `BATCH_BYTES`. `refused` are labels by METRICS sequence, with reason codes; `bytes` estimates the output.
    """

    first: int = 0
    last: int = 0
    origin: str = ""
    revisions: dict[str, int] = field(default_factory=dict)
    mark: Mark | None = None
    rows: list[Decided] = field(default_factory=list)
    refused: dict[int, dict[str, None]] = field(default_factory=dict)
    unlabelled: int = 0
    bytes: int = 0

    def cover(self, flow: Flow) -> None:
        """Another input message begins."""
        self.revisions.update(flow.revisions)
        if flow.last:
            self.first, self.last = self.first or flow.first, flow.last
            self.origin = flow.origin
        self.mark = flow.mark

    def add(self, rows: Sequence[Decided]) -> None:
        """More samples, in order."""
        self.rows.extend(rows)
        self.bytes += sum(map(row_bytes, rows))

    def refuse(self, sequence: int, code: str) -> None:
        """A label is not used; its message goes to quarantine with every such code, once."""
        self.refused.setdefault(sequence, {})[code] = None
        self.bytes += ROW_BYTES

    @property
    def says_something(self) -> bool:
        """Whether there is more to tell than that input was read."""
        return bool(self.last and (self.rows or self.refused or self.unlabelled or self.mark))

    def flow(self, revisions: Mapping[str, int]) -> Flow:
        """The flow of the whole output; `revisions` are those under which samples are made."""
        skipped, revised = _skipped(self.refused), {**self.revisions, **revisions}
        return Flow(self.origin, self.first, self.last, skipped, self.mark, 0, revised)

    def flow_of_part(self, revisions: Mapping[str, int]) -> Flow:
        """The flow of a part that others follow: it covers nothing yet."""
        revised = {**self.revisions, **revisions}
        return Flow(self.origin, self.first, self.first - 1, revisions=revised)


@dataclass(frozen=True, slots=True)
class Head:
    """What is the same for all samples of an output."""

    pipeline: str
    feature_digest: str
    width: int
    share: float


def row_bytes(row: Decided) -> int:
    """What a sample takes on the wire, at most about."""
    return ROW_BYTES + len(row.feature) + len(row.element) + len(row.labels)


def part_of(rows: Sequence[Decided]) -> int:
    """How many of the rows go out together."""
    total, models, actions = 0, set(), set()
    for i, row in enumerate(rows):
        total += row_bytes(row)
        models.add(id(row.model))
        actions.add(row.said.action)
        if i and (total > PART_BYTES or max(len(models), len(actions)) > MAX_WORDS):
            return i
    return len(rows)


def encode(
    head: Head,
    flow: Flow,
    rows: Sequence[Decided],
    tally: Sequence[Tally] = (),
    unlabelled: int = 0,
) -> bytes:
    """A `SampleBatch` of these rows."""
    models: dict[Model, int] = {}
    data = b"".join(row.feature for row in rows)
    model_index = [models.setdefault(row.model, len(models)) for row in rows]
    samples = Samples(
        head.pipeline,
        head.feature_digest,
        flow,
        _rows(rows),
        np.frombuffer(data, F32).reshape(len(rows), head.width),
        _column((row.label for row in rows), F64),
        _column((row.known_ms for row in rows), I64),
        _column((row.weight for row in rows), F64),
        _column((row.censored for row in rows), U8),
        tuple(models),
        _column(model_index, U8),
        _column((row.score for row in rows), F64),
        _column((row.verdict for row in rows), U8),
        _column((row.quality for row in rows), U8),
        tally,
        unlabelled,
        head.share,
        *_said(rows),
    )
    return encode_samples(samples)


class _Proposed(NamedTuple):
    """The last columns of `Samples`."""

    action: tuple[str, ...]
    action_index: Column
    category: Column
    novelty: Column
    disagreement: Column


def _said(rows: Sequence[Decided]) -> _Proposed:
    """Nothing where nothing was proposed or known: SAMPLES is bounded, and trainers need it long."""
    said = [row.said for row in rows]
    if not any(one.action for one in said):
        return _Proposed((), *(np.empty(0, dtype) for dtype in (U8, U8, F32, F32)))
    actions: dict[str, int] = {"": 0}
    index = [actions.setdefault(one.action, len(actions)) for one in said]
    return _Proposed(
        tuple(actions)[1:],
        _column(index, U8),
        _column((one.category for one in said), U8),
        _if_known(_column((one.novelty for one in said), F32)),
        _if_known(_column((one.disagreement for one in said), F32)),
    )


def _if_known(signal: Column) -> Column:
    return np.empty(0, F32) if np.isnan(signal).all() else signal


def _rows(rows: Sequence[Decided]) -> Rows:
    entries: dict[tuple[str, str], int] = {}
    index = [entries.setdefault((row.element, row.labels), len(entries)) for row in rows]
    sets: dict[str, int] = {}
    label_index = [sets.setdefault(labels, len(sets)) for _, labels in entries]
    return Rows(
        tuple(element for element, _ in entries),
        _column(index, U32),
        _column((row.sequence for row in rows), U64),
        _column((row.sample for row in rows), U16),
        _column((row.time_ms for row in rows), I64),
        tuple(sets),
        _column(label_index, U32),
    )


def _skipped(refused: dict[int, dict[str, None]]) -> Skipped:
    n = len(refused)
    if not n:
        return Skipped.none()
    return Skipped(
        _column(refused, U64),
        np.zeros(n, U32),
        np.full(n, SkipReason.QUARANTINED, U8),
        tuple(",".join(codes) for codes in refused.values()),
    )


def _column(values: Any, dtype: np.dtype[Any]) -> Column:
    return np.array(list(values), dtype)
