"""Newer models of the seat's own trainer, and the rows on which they are compared. Pure."""

from collections import deque
from typing import Final

import numpy as np

from flyball_proto.columns import Column
from flyball_proto.deployments import ActiveModel
from flyball_proto.events import Manifest, ModelRecord
from flyball_proto.spec import BASELINE
from flyball_registry.evidence.gate import GateRows
from flyball_registry.scoring.rows import Sampled, joined
from flyball_registry.scoring.scoring import Score, by_class
from flyball_registry.scoring.timelines import Timelines

MAX_BYTES: Final = 64 << 20
"""Of features kept for the gate; with wide rows it looks at fewer of them."""


class Recent:
    """The newest usable rows of each partition, at most `most` of each and `MAX_BYTES` together."""

    def __init__(self, most: int, partitions: int) -> None:
        self._most, self._bytes = most, MAX_BYTES // partitions
        self._parts: dict[int, deque[Sampled]] = {}

    def add(self, rows: Sampled) -> None:
        """Take the usable ones of one partition's rows."""
        usable = rows.take(rows.usable)
        if not len(usable):
            return
        parts = self._parts.setdefault(int(usable.partition[0]), deque())
        parts.append(usable)
        while len(parts) > 1 and self._enough(parts):
            parts.popleft()

    def rows(self) -> Sampled | None:
        """All of them in order; None = there are none."""
        parts = [part for kept in self._parts.values() for part in kept]
        return joined(parts).ordered() if parts else None

    def needed(self, partition: int) -> int:
        """The oldest message that is kept of a partition; 0 = none."""
        parts = self._parts.get(partition)
        return int(parts[0].message[0]) if parts else 0

    def _enough(self, parts: deque[Sampled]) -> bool:
        """Whether the rest suffices without the oldest part."""
        rows = sum(map(len, parts)) - len(parts[0])
        held = sum(part.feature.nbytes for part in parts)
        return rows >= self._most or held > self._bytes


def candidate(
    timelines: Timelines, pointer: ActiveModel, judged: tuple[str, ...]
) -> ModelRecord | None:
    """The newest model of the seat's trainer, if it may refresh the active one and was not judged."""
    if pointer.trainer == BASELINE or not pointer.may_refresh or pointer.frozen:
        return None
    model = timelines.newest(pointer.trainer)
    if model is None or model.digest in {pointer.digest, *judged, *pointer.rolled_back}:
        return None
    order = [known.digest for known in timelines.models[pointer.trainer]]
    if pointer.digest in order and order.index(pointer.digest) > order.index(model.digest):
        return None
    return model


def unseen(rows: Sampled, model: ModelRecord, manifest: Manifest) -> Column:
    """Flags (n,) of rows that the model was not fitted to: held out, or behind its training."""
    through = np.array([model.trained_through.get(str(p), 0) for p in rows.partition], np.int64)
    behind = rows.sequence.astype(np.int64) > through
    if manifest.holdout_from_ms <= 0:
        return behind
    held_out: Column = behind | (rows.time_ms >= manifest.holdout_from_ms)
    return held_out


def gate_rows(
    rows: Sampled, model: ModelRecord, pointer: ActiveModel, score: Score, classes: int = 0
) -> GateRows:
    """The rows under the three models: the newer one, the anchor, the one it would replace."""
    said = {
        digest: score(digest, rows.feature)
        for digest in (model.digest, pointer.anchored.digest, pointer.digest)
    }
    if classes:
        said = {digest: by_class(scores, classes) for digest, scores in said.items()}
    return GateRows(
        time_ms=rows.time_ms.astype(np.int64),
        weight=rows.weight.astype(np.float64),
        censored=rows.censored,
        label=rows.label.astype(np.float64),
        new=said[model.digest],
        anchor=said[pointer.anchored.digest],
        replaced=said[pointer.digest],
    )
