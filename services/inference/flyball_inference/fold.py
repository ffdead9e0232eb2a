"""The inference fold: feature rows to scores and proposed actions. Stateless.

Between two commits it only gathers; the rows are scored at `take`, all by the seat of that moment.
So a swap of the seat falls between two messages, no output mixes two epochs, and within one an
element is answered for by one model alone.
"""

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import Final, Protocol

import numpy as np

from flyball_inference.doubting import doubts, shown_bytes
from flyball_inference.propose import propose
from flyball_inference.seat import Seat, Voice, by_canary
from flyball_kit.errors import PermanentError
from flyball_kit.fold import Input, InputChanged, Output
from flyball_proto.columns import (
    F64,
    U8,
    BatchError,
    Column,
    Decisions,
    Features,
    Model,
    Rows,
    decode_features,
    encode_decisions,
)
from flyball_proto.merge import merge_flows, merge_rows
from flyball_proto.streams import BATCH_BYTES

MAX_ROWS: Final = 8192
"""Rows of one output; each session is called once for all of its rows."""

DECIDED_ROW_BYTES: Final = 10
"""What model, score and action add to a row, less its features."""


class Scorer(Protocol):
    """Scores rows by one model; counts on the way what it likes."""

    def scores(self, voice: Voice, features: Column) -> Column:
        """Scores f64 (n,) or (n, outputs) of features f32 (n, width); see `scoring.score`."""
        ...

    def timed_scores(self, voice: Voice, features: Column) -> Column:
        """The same, and how long it took is remembered."""
        ...


class ForeignFeaturesError(InputChanged):
    """Rows of other features than the model was made for: a score would mean nothing."""

    def __init__(self, subject: str, found: str, seat: Seat) -> None:
        super().__init__(
            f"{subject} carries {found}; model {seat.active.model.digest[:12]} of "
            f"{seat.active.model.trainer} reads {seat.width} features of digest {seat.feature_digest}. Activate a model of the "
            "features that are published"
        )


class DamagedBatchError(PermanentError):
    """A stored batch does not decode."""

    kind = "damaged-batch"


class Scoring:
    """Implements `flyball_kit.fold.Fold`. Holds the batches of one output, at most `BATCH_BYTES`."""

    def __init__(self, seat: Callable[[], Seat], scorer: Scorer) -> None:
        self._seat, self._scorer = seat, scorer
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
        expected = self._bytes + shown_bytes(self._rows, batch.feature.shape[1])
        full = expected >= BATCH_BYTES or self._rows >= MAX_ROWS
        return full or batch.flow.mark is not None

    def tick(self, now_ms: int) -> None:
        """Ticks arrive in the flow; this fold asks for none of its own."""

    def take(self) -> Output | None:
        """Score what was gathered."""
        if not self._batches:
            return None
        batches, self._batches = self._batches, []
        self._rows = self._bytes = 0
        decisions = decide(batches, self._seat(), self._scorer)
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


def decide(batches: Sequence[Features], seat: Seat, scorer: Scorer) -> Decisions:
    """One output over consecutive inputs, every row by the same seat."""
    rows = merge_rows([b.rows for b in batches])
    flow = merge_flows([b.flow for b in batches])
    revisions = {
        **flow.revisions,
        "deployment": seat.epoch,
        "decisions": seat.rules_revision,
    }
    features = _joined([b.feature for b in batches])
    models, index, scores = _scored(seat, rows, features, scorer)
    said = propose(scores, seat.rules)
    return Decisions(
        pipeline=batches[0].pipeline,
        feature_digest=seat.feature_digest,
        flow=replace(flow, revisions=revisions),
        rows=rows,
        model=models,
        model_index=index,
        score=said.score,
        action=seat.rules.actions,
        action_index=said.action_index,
        quality=_joined([b.quality for b in batches]),
        class_name=seat.rules.classes if len(said.class_index) else (),
        class_index=said.class_index,
        doubts=doubts(seat, features, index, said),
    )


def _scored(
    seat: Seat, rows: Rows, features: Column, scorer: Scorer
) -> tuple[tuple[Model, ...], Column, Column]:
    """Models, for each row whose score it is, and the scores."""
    if seat.canary is None:
        index = np.zeros(len(rows), U8)
        return (seat.active.model,), index, scorer.scores(seat.active, features)
    voices = (seat.active, seat.canary)
    index = by_canary(rows, seat.canary.model.digest, seat.percent)
    outputs = len(seat.rules.classes)
    scores = np.empty((len(rows), outputs) if outputs else len(rows), F64)
    for place, voice in enumerate(voices):
        mine = index == place
        if mine.any():
            scores[mine] = scorer.timed_scores(voice, features[mine])
    return tuple(v.model for v in voices), index, scores


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
