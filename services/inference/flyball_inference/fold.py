"""The inference fold: feature rows to scores and proposed actions. Stateless.

Between two commits it only gathers; the rows are scored at `take`, all by the seat of that moment.
So a swap of the seat falls between two messages and no output mixes two models.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from flyball_inference.propose import Rules, propose
from flyball_inference.scoring import Run, score
from flyball_kit.errors import PermanentError
from flyball_kit.fold import Input, InputChanged, Output
from flyball_proto.columns import (
    U8,
    BatchError,
    Column,
    Decisions,
    Features,
    Model,
    decode_features,
    encode_decisions,
)
from flyball_proto.merge import merge_flows, merge_rows
from flyball_proto.streams import BATCH_BYTES

MAX_ROWS: Final = 8192
"""Rows of one output; the session is called once for all of them."""

DECIDED_ROW_BYTES: Final = 10
"""What model, score and action add to a row, less its features."""


@dataclass(frozen=True, slots=True)
class Seat:
    """Who answers for a pipeline: the active model, and the rules that turn scores to actions.

    `rules_revision` is the revision of the pipeline's record that the rules come from.
    """

    model: Model
    feature_digest: str
    width: int
    run: Run
    rules: Rules
    rules_revision: int


class ForeignFeaturesError(InputChanged):
    """Rows of other features than the model was made for: a score would mean nothing."""

    def __init__(self, subject: str, found: str, seat: Seat) -> None:
        super().__init__(
            f"{subject} carries {found}; model {seat.model.digest[:12]} of {seat.model.trainer} "
            f"reads {seat.width} features of digest {seat.feature_digest}. Activate a model of the "
            "features that are published"
        )


class DamagedBatchError(PermanentError):
    """A stored batch does not decode."""

    kind = "damaged-batch"


class Scoring:
    """Implements `flyball_kit.fold.Fold`. Holds the batches of one output, at most `BATCH_BYTES`."""

    def __init__(self, seat: Callable[[], Seat]) -> None:
        self._seat = seat
        self._batches: list[Features] = []
        self._rows = self._bytes = 0

    def step(self, message: Input) -> bool:
        """Gather one FEATURES message; a mark ends the output.

        Raises:
            ForeignFeaturesError: its features are not those of the model.
            DamagedBatchError: it does not decode.
        """
        batch = _decoded(message)
        _check(message.subject, batch, self._seat())
        self._batches.append(batch)
        rows = len(batch.rows)
        self._rows += rows
        gone = batch.feature.nbytes + batch.target.nbytes
        self._bytes += len(message.data) - gone + DECIDED_ROW_BYTES * rows
        full = self._bytes >= BATCH_BYTES or self._rows >= MAX_ROWS
        return full or batch.flow.mark is not None

    def tick(self, now_ms: int) -> None:
        """Ticks arrive in the flow; this fold asks for none of its own."""

    def take(self) -> Output | None:
        """Score what was gathered."""
        if not self._batches:
            return None
        batches, self._batches = self._batches, []
        self._rows = self._bytes = 0
        decisions = decide(batches, self._seat())
        mark = decisions.flow.mark
        return Output(
            encode_decisions(decisions),
            rows=len(decisions.rows),
            mark=mark.id if mark else None,
        )

    def since(self) -> int | None:
        """Stateless."""
        return None

    def dump(self) -> bytes:
        """No state."""
        return b""

    def load(self, data: bytes) -> None:
        """No state."""


def decide(batches: Sequence[Features], seat: Seat) -> Decisions:
    """One output over consecutive inputs, every row by the same seat."""
    rows = merge_rows([b.rows for b in batches])
    flow = merge_flows([b.flow for b in batches])
    revisions = {
        **flow.revisions,
        "deployment": seat.model.epoch,
        "decisions": seat.rules_revision,
    }
    scores = score(seat.run, _joined([b.feature for b in batches]))
    return Decisions(
        pipeline=batches[0].pipeline,
        feature_digest=seat.feature_digest,
        flow=replace(flow, revisions=revisions),
        rows=rows,
        model=(seat.model,),
        model_index=np.zeros(len(rows), U8),
        score=scores,
        action=seat.rules.actions,
        action_index=propose(scores, seat.rules),
        quality=_joined([b.quality for b in batches]),
    )


def _joined(columns: Sequence[Column]) -> Column:
    return columns[0] if len(columns) == 1 else np.concatenate(columns)


def _decoded(message: Input) -> Features:
    try:
        return decode_features(message.data)
    except BatchError as error:
        raise DamagedBatchError(
            f"{message.subject} {message.sequence}: {error}; was it written by another version?"
        ) from error


def _check(subject: str, batch: Features, seat: Seat) -> None:
    if batch.feature_digest != seat.feature_digest:
        raise ForeignFeaturesError(subject, f"features of digest {batch.feature_digest}", seat)
    width = batch.feature.shape[1]
    if width != seat.width and len(batch.rows):
        raise ForeignFeaturesError(subject, f"{width} features a row", seat)
