"""What risk judged of each row: `VerdictBatch`."""

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np

from flyball_proto import data_plane_pb2 as pb
from flyball_proto.columns.arrays import (
    F32,
    F64,
    U8,
    U16,
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
    classes,
    get_flow,
    get_models,
    get_rows,
    put_flow,
    put_models,
    put_rows,
)
from flyball_proto.columns.waiting import (
    Answered,
    Context,
    Released,
    Turned,
    Waiting,
    answered,
    context,
    put_answered,
    put_context,
    put_released,
    put_turned,
    put_waiting,
    released,
    turned,
    waiting,
)
from flyball_proto.columns.words import ASSESSED


@dataclass(frozen=True, slots=True)
class Assessment:
    """What was found about the p rows that propose an action, in the order of the rows.

    Empty columns = written by a version that did not assess.
    """

    novelty: Column = field(default_factory=no_signal)  # f32 (p,), as in `Doubts`
    disagreement: Column = field(default_factory=no_signal)  # f32 (p,), as in `Doubts`
    confidence: Column = field(default_factory=no_signal)  # f32 (p,), NaN = not calibrated
    credibility: Column = field(default_factory=no_signal)  # f32 (p,), NaN = not calibrated
    error: Column = field(default_factory=no_signal)  # f32 (p,), probability that acting is wrong
    impact: Column = field(default_factory=no_signal)  # f32 (p,), in [0, 1], how bad that would be


@dataclass(frozen=True, slots=True)
class Verdicts:
    """What risk judged of each row."""

    pipeline: str
    feature_digest: str
    flow: Flow
    rows: Rows
    model: Sequence[Model]
    model_index: Column  # u8 (n,)
    score: Column  # f64 (n,)
    action: Sequence[str]
    action_index: Column  # u8 (n,)
    quality: Column  # u8 (n,)
    verdict: Column  # u8 (n,)
    category: Column  # u8 (n,)
    risk: Column  # f64 (n,), rounded to 1e-6
    reason: Sequence[str]
    reason_index: Column  # u16 (n,), 0 = none
    opened: Sequence[Waiting] = ()
    released: Sequence[Released] = ()
    answered: Sequence[Answered] = ()
    class_name: Sequence[str] = ()
    class_index: Column = field(default_factory=lambda: np.empty(0, U8))
    """As in `Decisions`."""
    policy_hash: str = ""
    """SHA-256, hex, of the rules that were applied."""
    assessment: Assessment = field(default_factory=Assessment)
    context: Sequence[Context] = ()
    """Of those in `opened`, in the same order; or none."""
    turned: Sequence[Turned] = ()


def _get_assessment(message: pb.VerdictBatch) -> Assessment:
    found = message.assessment
    n = len(found.error) // F32.itemsize
    columns = ((name, getattr(found, name)) for name in ASSESSED)
    return Assessment(
        *(column(data, F32, n if data else 0, f"assessment.{name}") for name, data in columns)
    )


def encode_verdicts(batch: Verdicts) -> bytes:
    """`Verdicts` as a `VerdictBatch` message."""
    message = pb.VerdictBatch(pipeline=batch.pipeline, feature_digest=batch.feature_digest)
    put_flow(message.flow, batch.flow)
    put_rows(message.rows, batch.rows)
    put_models(message, batch)
    message.verdict = packed(batch.verdict, U8)
    message.category = packed(batch.category, U8)
    message.risk = packed(batch.risk, F64)
    message.reason.extend(batch.reason)
    message.reason_index = packed(batch.reason_index, U16)
    message.opened.extend(map(put_waiting, batch.opened))
    message.released.extend(map(put_released, batch.released))
    message.answered.extend(map(put_answered, batch.answered))
    message.policy_hash = batch.policy_hash
    if len(batch.assessment.error):
        for name in ASSESSED:
            setattr(message.assessment, name, packed(getattr(batch.assessment, name), F32))
    message.context.extend(map(put_context, batch.context))
    message.turned.extend(map(put_turned, batch.turned))
    return message.SerializeToString()


def decode_verdicts(data: bytes) -> Verdicts:
    """`VerdictBatch` bytes as `Verdicts`.

    Raises:
        BatchError: The bytes are no such message, or its columns disagree.
    """
    message = parsed(pb.VerdictBatch(), data)
    rows = get_rows(message.rows)
    n = len(rows)
    return Verdicts(
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
        column(message.verdict, U8, n, "verdict"),
        column(message.category, U8, n, "category"),
        column(message.risk, F64, n, "risk"),
        tuple(message.reason),
        column(message.reason_index, U16, n, "reason_index"),
        tuple(map(waiting, message.opened)),
        tuple(map(released, message.released)),
        tuple(map(answered, message.answered)),
        tuple(message.class_name),
        classes(message, n),
        message.policy_hash,
        _get_assessment(message),
        tuple(map(context, message.context)),
        tuple(map(turned, message.turned)),
    )


def verdicts_digest(data: bytes) -> str:
    """The feature digest of a `VerdictBatch`, without decoding its rows.

    Raises:
        BatchError: The bytes are no such message.
    """
    return parsed(pb.VerdictBatch(), data).feature_digest
