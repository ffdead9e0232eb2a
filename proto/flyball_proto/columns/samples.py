"""Decided rows with the truth about them: `SampleBatch`."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np

from flyball_proto import data_plane_pb2 as pb
from flyball_proto.columns.arrays import (
    F32,
    F64,
    I64,
    U8,
    Column,
    column,
    no_signal,
    packed,
    parsed,
)
from flyball_proto.columns.rows import (
    Flow,
    Model,
    Rows,
    get_flow,
    get_rows,
    model_of,
    model_ref,
    put_flow,
    put_rows,
)


@dataclass(frozen=True, slots=True)
class Tally:
    """What one model did among all verdicts behind a batch, with or without a label."""

    model: Model
    rows: int
    not_finite: int = 0
    action: Mapping[str, int] = field(default_factory=dict)
    verdict: Mapping[int, int] = field(default_factory=dict)
    category: Mapping[int, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Samples:
    """Decided rows with the truth about them, in the order in which it became known."""

    pipeline: str
    feature_digest: str
    flow: Flow
    rows: Rows
    feature: Column  # f32 (n, width), as decided on
    label: Column  # f64 (n,)
    known_ms: Column  # i64 (n,), event time at which the label was complete
    weight: Column  # f64 (n,), 1 / probability of having been left alone
    censored: Column  # u8 (n,), 1 = an applied action falsified the label
    model: Sequence[Model]
    model_index: Column  # u8 (n,)
    score: Column  # f64 (n,), as decided
    verdict: Column  # u8 (n,)
    quality: Column  # u8 (n,)
    tally: Sequence[Tally] = ()
    unlabelled: int = 0
    share: float = 1.0
    action: Sequence[str] = ()
    action_index: Column = field(default_factory=lambda: np.empty(0, U8))
    """u8 (n,), 0 = nothing was proposed; where this or what follows says nothing, it is left out on the wire."""
    category: Column = field(default_factory=lambda: np.empty(0, U8))  # u8 (n,)
    novelty: Column = field(default_factory=no_signal)  # f32 (n,), NaN = not known
    disagreement: Column = field(default_factory=no_signal)  # f32 (n,), NaN = not known


def encode_samples(batch: Samples) -> bytes:
    """`Samples` as a `SampleBatch` message."""
    message = pb.SampleBatch(
        pipeline=batch.pipeline,
        feature_digest=batch.feature_digest,
        width=batch.feature.shape[1],
        feature=packed(batch.feature, F32),
        label=packed(batch.label, F64),
        known_ms=packed(batch.known_ms, I64),
        weight=packed(batch.weight, F64),
        censored=packed(batch.censored, U8),
        model_index=packed(batch.model_index, U8),
        score=packed(batch.score, F64),
        verdict=packed(batch.verdict, U8),
        quality=packed(batch.quality, U8),
        unlabelled=batch.unlabelled,
        share=batch.share,
        action=batch.action,
        action_index=packed(batch.action_index, U8),
        category=packed(batch.category, U8),
        novelty=packed(batch.novelty, F32),
        disagreement=packed(batch.disagreement, F32),
    )
    put_flow(message.flow, batch.flow)
    put_rows(message.rows, batch.rows)
    message.model.extend(model_ref(m) for m in batch.model)
    for tally in batch.tally:
        message.tally.add(
            model=model_ref(tally.model),
            rows=tally.rows,
            not_finite=tally.not_finite,
            action=tally.action,
            verdict=tally.verdict,
            category=tally.category,
        )
    return message.SerializeToString()


def decode_samples(data: bytes) -> Samples:
    """`SampleBatch` bytes as `Samples`.

    Raises:
        BatchError: The bytes are no such message, or its columns disagree.
    """
    message = parsed(pb.SampleBatch(), data)
    rows = get_rows(message.rows)
    n, width = len(rows), message.width
    return Samples(
        message.pipeline,
        message.feature_digest,
        get_flow(message.flow),
        rows,
        column(message.feature, F32, n * width, "feature").reshape(n, width),
        column(message.label, F64, n, "label"),
        column(message.known_ms, I64, n, "known_ms"),
        column(message.weight, F64, n, "weight"),
        column(message.censored, U8, n, "censored"),
        tuple(map(model_of, message.model)),
        column(message.model_index, U8, n, "model_index"),
        column(message.score, F64, n, "score"),
        column(message.verdict, U8, n, "verdict"),
        column(message.quality, U8, n, "quality"),
        tuple(map(_tally, message.tally)),
        message.unlabelled,
        message.share,
        tuple(message.action),
        _or(
            0, column(message.action_index, U8, n if message.action_index else 0, "action_index"), n
        ),
        _or(0, column(message.category, U8, n if message.category else 0, "category"), n),
        _or(np.nan, column(message.novelty, F32, n if message.novelty else 0, "novelty"), n),
        _or(
            np.nan,
            column(message.disagreement, F32, n if message.disagreement else 0, "disagreement"),
            n,
        ),
    )


def _tally(message: pb.Tally) -> Tally:
    return Tally(
        model_of(message.model),
        message.rows,
        message.not_finite,
        dict(message.action),
        dict(message.verdict),
        dict(message.category),
    )


def _or(nothing: float, found: Column, rows: int) -> Column:
    """A column that was left out says nothing of any row."""
    return found if len(found) or not rows else np.full(rows, nothing, found.dtype)
