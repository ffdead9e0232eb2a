"""Rows as a model reads them, and truth that arrived: `FeatureBatch`."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from flyball_proto import data_plane_pb2 as pb
from flyball_proto.columns.arrays import F32, F64, I64, U8, U32, U64, Column, column, packed, parsed
from flyball_proto.columns.rows import (
    Flow,
    Rows,
    Skipped,
    get_flow,
    get_rows,
    get_skipped,
    put_flow,
    put_rows,
)


@dataclass(frozen=True, slots=True)
class Arrivals:
    """Truth that arrived; n labels, m distinct elements."""

    element: Sequence[str]  # (m,)
    element_index: Column  # u32 (n,)
    sequence: Column  # u64 (n,), of METRICS
    time_ms: Column  # i64 (n,), event time of the row it is the truth about
    value: Column  # f64 (n,)
    before: Column  # u32 (n,), rows of its batch that came before it

    def __len__(self) -> int:
        return len(self.sequence)

    @staticmethod
    def none() -> "Arrivals":
        """No labels."""
        return Arrivals(
            (),
            np.empty(0, U32),
            np.empty(0, U64),
            np.empty(0, I64),
            np.empty(0, F64),
            np.empty(0, U32),
        )


@dataclass(frozen=True, slots=True)
class Features:
    """Rows as a model reads them."""

    pipeline: str
    feature_digest: str
    flow: Flow
    rows: Rows
    feature: Column  # f32 (n, width)
    quality: Column  # u8 (n,)
    target_metric: Sequence[str] = ()
    target: Column = field(default_factory=lambda: np.empty((0, 0), F64))  # f64 (n, target_metric)
    arrivals: Arrivals = field(default_factory=Arrivals.none)


def _put_arrivals(message: pb.Arrivals, arrivals: Arrivals) -> None:
    message.element.extend(arrivals.element)
    message.element_index = packed(arrivals.element_index, U32)
    message.sequence = packed(arrivals.sequence, U64)
    message.time_ms = packed(arrivals.time_ms, I64)
    message.value = packed(arrivals.value, F64)
    message.before = packed(arrivals.before, U32)


def _get_arrivals(message: pb.Arrivals) -> Arrivals:
    n = len(message.sequence) // U64.itemsize
    return Arrivals(
        tuple(message.element),
        column(message.element_index, U32, n, "arrivals.element_index"),
        column(message.sequence, U64, n, "arrivals.sequence"),
        column(message.time_ms, I64, n, "arrivals.time_ms"),
        column(message.value, F64, n, "arrivals.value"),
        column(message.before, U32, n, "arrivals.before"),
    )


def encode_features(batch: Features) -> bytes:
    """`Features` as a `FeatureBatch` message."""
    message = pb.FeatureBatch(
        pipeline=batch.pipeline,
        feature_digest=batch.feature_digest,
        width=batch.feature.shape[1],
        feature=packed(batch.feature, F32),
        quality=packed(batch.quality, U8),
        target_metric=batch.target_metric,
        target=packed(batch.target, F64),
    )
    put_flow(message.flow, batch.flow)
    put_rows(message.rows, batch.rows)
    if len(batch.arrivals):
        _put_arrivals(message.arrivals, batch.arrivals)
    return message.SerializeToString()


def decode_features(data: bytes) -> Features:
    """`FeatureBatch` bytes as `Features`; the arrays are read-only views of `data`'s copy.

    Raises:
        BatchError: The bytes are no such message, or its columns disagree.
    """
    message = parsed(pb.FeatureBatch(), data)
    rows = get_rows(message.rows)
    n, width, targets = len(rows), message.width, len(message.target_metric)
    return Features(
        message.pipeline,
        message.feature_digest,
        get_flow(message.flow),
        rows,
        column(message.feature, F32, n * width, "feature").reshape(n, width),
        column(message.quality, U8, n, "quality"),
        tuple(message.target_metric),
        column(message.target, F64, n * targets, "target").reshape(n, targets),
        _get_arrivals(message.arrivals) if message.HasField("arrivals") else Arrivals.none(),
    )


def decode_skipped(data: bytes) -> Skipped:
    """What was skipped in a `FeatureBatch`, without decoding its rows.

    Raises:
        BatchError: The bytes are no such message, or the columns of what was skipped disagree.
    """
    found = parsed(pb.FeatureBatch(), data).flow.skipped
    return get_skipped(found) if found.reason else Skipped.none()
