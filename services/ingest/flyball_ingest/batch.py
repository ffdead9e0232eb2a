"""What a fold has to say since its last output, and its form on the wire. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from flyball_ingest.contract import Contract
from flyball_ingest.features import NEVER, Floats, Integers, feature_rows, inside_look_back
from flyball_ingest.windows import Gathered
from flyball_kit.fold import Output
from flyball_proto import columns
from flyball_proto.columns import (
    Arrivals,
    Features,
    Flow,
    Mark,
    Quality,
    Rows,
    Skipped,
    SkipReason,
)
from flyball_proto.headers import COVERS

SKIP_BYTES = 16
ARRIVAL_BYTES = 36


class Computed(NamedTuple):
    """Feature rows with what identifies them; n rows."""

    feature: NDArray[np.float32]
    target: Floats
    time_ms: Integers
    sequence: Integers
    sample: NDArray[np.uint16]
    entry: NDArray[np.uint32]
    quality: NDArray[np.uint8]
    came: Integers
    """Rows pushed before it since the last output, also those that are still warming up."""


class Arrival(NamedTuple):
    """Truth that arrived behind the first `pushed` rows since the last output."""

    element: str
    sequence: int
    time_ms: int
    value: float
    pushed: int


@dataclass(slots=True)
class Batch:
    """Everything that one output will carry except the rows under way in the windows.

    `entries` is the dictionary of (element, labels) that rows point into; `pushed` counts the rows
    under way, `truth` has the features of truth of each, if there are such; `bytes` estimates the
    output's size.
    """

    origin: str
    first: int = 0
    last: int = 0
    entries: list[tuple[str, str]] = field(default_factory=list)
    entry_of: dict[int, int] = field(default_factory=dict)
    skipped: dict[tuple[int, int], tuple[int, str]] = field(default_factory=dict)
    mark: Mark | None = None
    tick_ms: int = 0
    bytes: int = 0
    pushed: int = 0
    truth: list[tuple[float, ...]] = field(default_factory=list)
    arrivals: list[Arrival] = field(default_factory=list)

    def entry(self, slot: int, name: str, labels: str) -> int:
        """The dictionary entry for rows of this slot."""
        found = self.entry_of.get(slot)
        if found is None:
            found = self.entry_of[slot] = len(self.entries)
            self.entries.append((name, labels))
            self.bytes += len(name) + len(labels) + 8
        return found

    def skip(self, sequence: int, reason: SkipReason, rows: int = 1, detail: str = "") -> None:
        """Count rows of one report that yield no decision."""
        key = (sequence, int(reason))
        before, known = self.skipped.get(key, (0, ""))
        self.skipped[key] = (before + rows, detail or known)
        if not before:
            self.bytes += SKIP_BYTES + len(detail)

    def arrive(self, element: str, sequence: int, time_ms: int, value: float) -> None:
        """Note a truth behind all rows so far."""
        self.arrivals.append(Arrival(element, sequence, time_ms, value, self.pushed))
        self.bytes += ARRIVAL_BYTES + len(element)


def compute(contract: Contract, gathered: Gathered, batch: Batch, start: int) -> Computed:
    """Features of gathered rows; those whose window holds too few rows are skipped.

    `start` = rows pushed before them since the last output.
    """
    plan = contract.plan
    inside = inside_look_back(plan, gathered.times)
    before = gathered.times[:, -2]
    quality = gathered.quality.copy()
    quality[(before != NEVER) & ~inside[:, -2]] |= np.uint8(Quality.STALE)
    quality[gathered.repaired] |= np.uint8(Quality.LATE_INPUT)
    came = np.arange(start, start + len(quality))
    feature = feature_rows(plan, gathered.windows, gathered.times)
    if contract.truth is not None:
        feature[:, -contract.truth.width :] = batch.truth[start : start + len(quality)]
    computed = Computed(
        feature,
        gathered.values[:, contract.target_columns],
        gathered.time_ms,
        gathered.sequence,
        np.array(gathered.sample, np.uint16),
        np.array(gathered.entry, np.uint32),
        quality,
        came,
    )
    warm = inside.sum(1) >= min(plan.warm_up_rows, plan.depth)
    if warm.all():
        return computed
    for sequence in gathered.sequence[~warm].tolist():
        batch.skip(sequence, SkipReason.WARMING_UP)
    return Computed(*(column[warm] for column in computed))


def encode(contract: Contract, batch: Batch, parts: Sequence[Computed]) -> Output | None:
    """The output of a batch; None when there is nothing to say."""
    rows = sum(len(part.sequence) for part in parts)
    if not (rows or batch.skipped or batch.arrivals or batch.mark or batch.tick_ms):
        return None
    joined = _join(contract, parts)
    label_sets: dict[str, int] = {}
    label_index = [label_sets.setdefault(labels, len(label_sets)) for _, labels in batch.entries]
    features = Features(
        contract.pipeline,
        contract.feature_digest,
        Flow(
            batch.origin,
            batch.first,
            batch.last,
            _skipped(batch),
            batch.mark,
            batch.tick_ms,
            contract.revisions,
        ),
        Rows(
            [name for name, _ in batch.entries],
            joined.entry,
            joined.sequence,
            joined.sample,
            joined.time_ms,
            tuple(label_sets),
            np.array(label_index, np.uint32),
        ),
        joined.feature,
        joined.quality,
        contract.targets,
        joined.target,
        _arrivals(batch, joined.came),
    )
    return Output(
        columns.encode_features(features),
        {COVERS: f"{batch.origin} {batch.first} {batch.last}"},
        rows,
        batch.mark.id if batch.mark else None,
    )


def _join(contract: Contract, parts: Sequence[Computed]) -> Computed:
    if len(parts) == 1:
        return parts[0]
    if parts:
        return Computed(*(np.concatenate(column) for column in zip(*parts, strict=True)))
    return Computed(
        np.empty((0, contract.plan.width), np.float32),
        np.empty((0, len(contract.targets))),
        np.empty(0, np.int64),
        np.empty(0, np.int64),
        np.empty(0, np.uint16),
        np.empty(0, np.uint32),
        np.empty(0, np.uint8),
        np.empty(0, np.int64),
    )


def _arrivals(batch: Batch, came: Integers) -> Arrivals:
    """Truth in order of METRICS; `came` are the places of the rows that go out, rising."""
    if not batch.arrivals:
        return Arrivals.none()
    names, sequence, time_ms, value, pushed = zip(*batch.arrivals, strict=True)
    place = {name: i for i, name in enumerate(dict.fromkeys(names))}
    return Arrivals(
        tuple(place),
        np.array([place[name] for name in names], columns.U32),
        np.array(sequence, columns.U64),
        np.array(time_ms, columns.I64),
        np.array(value, columns.F64),
        np.searchsorted(came, pushed).astype(columns.U32),
    )


def _skipped(batch: Batch) -> Skipped:
    """Entries in order of (METRICS sequence, reason), however rows fell into batches."""
    if not batch.skipped:
        return Skipped.none()
    keys = sorted(batch.skipped)
    found = [batch.skipped[key] for key in keys]
    details = tuple(detail for _, detail in found)
    return Skipped(
        np.array([sequence for sequence, _ in keys], columns.U64),
        np.array([rows for rows, _ in found], columns.U32),
        np.array([reason for _, reason in keys], columns.U8),
        details if any(details) else (),
    )
