"""Who the rows of a batch are, which model answered, and what travels beside them."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Protocol

import numpy as np

from flyball_proto import data_plane_pb2 as pb
from flyball_proto.columns.arrays import F64, I64, U8, U16, U32, U64, Column, column, packed


@dataclass(frozen=True, slots=True)
class Mark:
    """End of a lockstep stretch; behind the `last` one nobody waits for anybody."""

    id: str
    time_ms: int
    last: bool = False


@dataclass(frozen=True, slots=True)
class Skipped:
    """Rows without a decision, one entry a (report, reason)."""

    sequence: Column  # u64
    rows: Column  # u32
    reason: Column  # u8
    detail: Sequence[str] = ()

    @staticmethod
    def none() -> "Skipped":
        """No rows skipped."""
        return Skipped(np.empty(0, U64), np.empty(0, U32), np.empty(0, U8))


@dataclass(frozen=True, slots=True)
class Flow:
    """What every batch carries besides its rows."""

    origin: str = ""
    first: int = 0
    last: int = 0
    skipped: Skipped = field(default_factory=Skipped.none)
    mark: Mark | None = None
    tick_ms: int = 0
    revisions: Mapping[str, int] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Rows:
    """Who the rows are; n rows, m distinct elements."""

    element: Sequence[str]  # (m,)
    element_index: Column  # u32 (n,)
    sequence: Column  # u64 (n,)
    sample: Column  # u16 (n,)
    time_ms: Column  # i64 (n,)
    label_set: Sequence[str]  # canonical JSON objects
    label_index: Column  # u32 (m,)

    def __len__(self) -> int:
        return len(self.sequence)

    @staticmethod
    def none() -> "Rows":
        """No rows."""
        return Rows(
            (),
            np.empty(0, U32),
            np.empty(0, U64),
            np.empty(0, U16),
            np.empty(0, I64),
            (),
            np.empty(0, U32),
        )


@dataclass(frozen=True, slots=True)
class Model:
    """A model as a decision names it."""

    digest: str
    epoch: int
    stage: str
    trainer: str
    precision: str = ""
    """Of the variant that answered; empty = float32, the model as it was trained."""
    trained_ms: int = 0
    """Newest event time it has learnt from; 0 = it learnt nothing."""


class Scored(Protocol):
    """The columns that decisions and verdicts share."""

    @property
    def model(self) -> Sequence[Model]:
        """As in `Decisions`."""
        ...

    @property
    def model_index(self) -> Column:
        """As in `Decisions`."""
        ...

    @property
    def score(self) -> Column:
        """As in `Decisions`."""
        ...

    @property
    def action(self) -> Sequence[str]:
        """As in `Decisions`."""
        ...

    @property
    def action_index(self) -> Column:
        """As in `Decisions`."""
        ...

    @property
    def quality(self) -> Column:
        """As in `Decisions`."""
        ...

    @property
    def class_name(self) -> Sequence[str]:
        """As in `Decisions`."""
        ...

    @property
    def class_index(self) -> Column:
        """As in `Decisions`."""
        ...


def put_flow(message: pb.Flow, flow: Flow) -> None:
    """Write what travels beside the rows."""
    message.covers.origin, message.covers.first, message.covers.last = (
        flow.origin,
        flow.first,
        flow.last,
    )
    message.skipped.sequence = packed(flow.skipped.sequence, U64)
    message.skipped.rows = packed(flow.skipped.rows, U32)
    message.skipped.reason = packed(flow.skipped.reason, U8)
    message.skipped.detail.extend(flow.skipped.detail)
    if flow.mark:
        mark = flow.mark
        message.mark.id, message.mark.time_ms, message.mark.last = mark.id, mark.time_ms, mark.last
    message.tick_ms = flow.tick_ms
    message.revisions.update(flow.revisions)


def get_flow(message: pb.Flow) -> Flow:
    """What travels beside the rows."""
    return Flow(
        message.covers.origin,
        message.covers.first,
        message.covers.last,
        get_skipped(message.skipped),
        _get_mark(message.mark) if message.HasField("mark") else None,
        message.tick_ms,
        dict(message.revisions),
    )


def _get_mark(message: pb.Mark) -> Mark:
    return Mark(message.id, message.time_ms, message.last)


def get_skipped(message: pb.Skipped) -> Skipped:
    """Rows without a decision."""
    n = len(message.reason)
    return Skipped(
        column(message.sequence, U64, n, "skipped.sequence"),
        column(message.rows, U32, n, "skipped.rows"),
        column(message.reason, U8, n, "skipped.reason"),
        tuple(message.detail),
    )


def put_rows(message: pb.Rows, rows: Rows) -> None:
    """Write who the rows are."""
    message.element.extend(rows.element)
    message.element_index = packed(rows.element_index, U32)
    message.sequence = packed(rows.sequence, U64)
    message.sample = packed(rows.sample, U16)
    message.time_ms = packed(rows.time_ms, I64)
    message.label_set.extend(rows.label_set)
    message.label_index = packed(rows.label_index, U32)


def get_rows(message: pb.Rows) -> Rows:
    """Who the rows are."""
    n = len(message.sequence) // U64.itemsize
    return Rows(
        tuple(message.element),
        column(message.element_index, U32, n, "element_index"),
        column(message.sequence, U64, n, "sequence"),
        column(message.sample, U16, n, "sample"),
        column(message.time_ms, I64, n, "time_ms"),
        tuple(message.label_set),
        column(message.label_index, U32, len(message.element), "label_index"),
    )


def put_models(message: pb.DecisionBatch | pb.VerdictBatch, batch: Scored) -> None:
    """Write the columns that decisions and verdicts share."""
    message.model.extend(model_ref(m) for m in batch.model)
    message.model_index = packed(batch.model_index, U8)
    message.score = packed(batch.score, F64)
    message.action.extend(batch.action)
    message.action_index = packed(batch.action_index, U8)
    message.quality = packed(batch.quality, U8)
    message.class_name.extend(batch.class_name)
    message.class_index = packed(batch.class_index, U8)


def classes(message: pb.DecisionBatch | pb.VerdictBatch, rows: int) -> Column:
    """The class column; empty where the target has no classes."""
    return column(message.class_index, U8, rows if message.class_name else 0, "class_index")


def get_models(message: pb.DecisionBatch | pb.VerdictBatch) -> tuple[Model, ...]:
    """The dictionary of models."""
    return tuple(map(model_of, message.model))


def model_ref(model: Model) -> pb.ModelRef:
    """A model on the wire."""
    return pb.ModelRef(
        digest=model.digest,
        epoch=model.epoch,
        stage=model.stage,
        trainer=model.trainer,
        precision=model.precision,
        trained_ms=model.trained_ms,
    )


def model_of(message: pb.ModelRef) -> Model:
    """A model as a decision names it."""
    return Model(
        message.digest,
        message.epoch,
        message.stage,
        message.trainer,
        message.precision,
        message.trained_ms,
    )
