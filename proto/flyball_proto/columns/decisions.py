"""What the active model said of each row: `DecisionBatch`."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from flyball_proto import data_plane_pb2 as pb
from flyball_proto.columns.arrays import F32, F64, U8, Column, column, no_signal, packed, parsed
from flyball_proto.columns.rows import (
    Flow,
    Model,
    Rows,
    classes,
    get_flow,
    get_models,
    get_rows,
    put_flow,
    put_models,
    put_rows,
)


@dataclass(frozen=True, slots=True)
class Doubts:
    """What speaks for and against the p rows that propose an action, in the order of the rows.

    Empty columns = written by a version that did not look; see `data_plane.proto`.
    """

    novelty: Column = field(default_factory=no_signal)  # f32 (p,), NaN = not known
    disagreement: Column = field(default_factory=no_signal)  # f32 (p,), NaN = not known
    feature: Column = field(default_factory=lambda: np.empty((0, 0), F32))  # f32 (p, width)


@dataclass(frozen=True, slots=True)
class Decisions:
    """What the active model said of each row."""

    pipeline: str
    feature_digest: str
    flow: Flow
    rows: Rows
    model: Sequence[Model]
    model_index: Column  # u8 (n,)
    score: Column  # f64 (n,), rounded to 1e-6
    action: Sequence[str]
    action_index: Column  # u8 (n,), 0 = none
    quality: Column  # u8 (n,)
    class_name: Sequence[str] = ()  # of a multiclass target
    class_index: Column = field(default_factory=lambda: np.empty(0, U8))
    """u8 (n,) for multiclass: the class that the score is about; else empty."""
    doubts: Doubts = field(default_factory=Doubts)


def _get_doubts(message: pb.DecisionBatch) -> Doubts:
    found = message.doubts
    n = len(found.novelty) // F32.itemsize
    return Doubts(
        column(found.novelty, F32, n, "doubts.novelty"),
        column(found.disagreement, F32, n, "doubts.disagreement"),
        column(found.feature, F32, n * found.width, "doubts.feature").reshape(n, found.width),
    )


def encode_decisions(batch: Decisions) -> bytes:
    """`Decisions` as a `DecisionBatch` message."""
    message = pb.DecisionBatch(pipeline=batch.pipeline, feature_digest=batch.feature_digest)
    put_flow(message.flow, batch.flow)
    put_rows(message.rows, batch.rows)
    put_models(message, batch)
    doubts = batch.doubts
    if len(doubts.novelty) or doubts.feature.size:
        message.doubts.novelty = packed(doubts.novelty, F32)
        message.doubts.disagreement = packed(doubts.disagreement, F32)
        message.doubts.width = doubts.feature.shape[1]
        message.doubts.feature = packed(doubts.feature, F32)
    return message.SerializeToString()


def decode_decisions(data: bytes) -> Decisions:
    """`DecisionBatch` bytes as `Decisions`.

    Raises:
        BatchError: The bytes are no such message, or its columns disagree.
    """
    message = parsed(pb.DecisionBatch(), data)
    rows = get_rows(message.rows)
    n = len(rows)
    return Decisions(
        message.pipeline,
        message.feature_digest,
        get_flow(message.flow),
        rows,
        get_models(message),
        column(message.model_index, U8, n, "model_index"),
        column(message.score, F64, n, "score"),
        tuple(message.action),
        column(message.action_index, U8, n, "action_index"),
        column(message.quality, U8, n, "quality"),
        tuple(message.class_name),
        classes(message, n),
        _get_doubts(message),
    )
