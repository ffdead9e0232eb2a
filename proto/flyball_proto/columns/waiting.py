"""Decisions that wait for people, what became of them, and turns of the breaker."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from flyball_proto import data_plane_pb2 as pb
from flyball_proto.columns.arrays import known
from flyball_proto.columns.rows import Model, model_of, model_ref
from flyball_proto.columns.words import Breaker, Outcome, Result


@dataclass(frozen=True, slots=True)
class Waiting:
    """A decision that waits, or waited, for a person; see `data_plane.proto` for the units."""

    decision: str
    element: str
    label_set: str
    action: str
    score: float
    risk: float
    category: int
    reason: str
    model: Model
    time_ms: int
    expires_ms: int
    opened_ms: int
    approvals: int = 0
    """People who must agree; 0 = as the policy says."""
    fact_set: str = ""
    """Canonical JSON object: what boundaries read of the decision beside the fields above."""


@dataclass(frozen=True, slots=True)
class Neighbour:
    """An element of the same group under an action; `label` as in "site=s1"."""

    element: str
    label: str
    time_ms: int


@dataclass(frozen=True, slots=True)
class Context:
    """What a person needs to see beside a decision that begins to wait; see `data_plane.proto`."""

    decision: str
    feature: Sequence[float] = ()
    signal: Mapping[str, float] = field(default_factory=dict)
    neighbour: Sequence[Neighbour] = ()
    history: Sequence[str] = ()


@dataclass(frozen=True, slots=True)
class Turned:
    """What a partition's breaker did; `before` rows of its batch came before it.

    `number` counts how often the pipeline's breaker opened; `by` is a person, or "partition 3" whose
    breaker opened, or empty: its own figures, or time.
    """

    state: Breaker
    reason: str
    clock_ms: int
    until_ms: int
    before: int = 0
    number: int = 0
    by: str = ""


@dataclass(frozen=True, slots=True)
class Released:
    """The end of a hold; `before` rows of its batch came before it."""

    hold: Waiting
    outcome: Outcome
    by: str
    why: str
    at_ms: int
    clock_ms: int
    before: int = 0
    code: str = ""
    """Reason code of the answer, see `holds.ReasonCode`; empty = none was given."""


@dataclass(frozen=True, slots=True)
class Answered:
    """What became of one person's answer; `sequence` is its place in DECISIONS."""

    sequence: int
    decision: str
    result: Result
    detail: str
    by: str
    at_ms: int


def put_waiting(hold: Waiting) -> pb.Waiting:
    """A hold on the wire."""
    return pb.Waiting(
        decision=hold.decision,
        element=hold.element,
        label_set=hold.label_set,
        action=hold.action,
        score=hold.score,
        risk=hold.risk,
        category=hold.category,
        reason=hold.reason,
        model=model_ref(hold.model),
        time_ms=hold.time_ms,
        expires_ms=hold.expires_ms,
        opened_ms=hold.opened_ms,
        approvals=hold.approvals,
        fact_set=hold.fact_set,
    )


def waiting(message: pb.Waiting) -> Waiting:
    """A hold."""
    return Waiting(
        message.decision,
        message.element,
        message.label_set,
        message.action,
        message.score,
        message.risk,
        message.category,
        message.reason,
        model_of(message.model),
        message.time_ms,
        message.expires_ms,
        message.opened_ms,
        message.approvals,
        message.fact_set,
    )


def put_released(end: Released) -> pb.Released:
    """The end of a hold on the wire."""
    return pb.Released(
        hold=put_waiting(end.hold),
        outcome=end.outcome,
        by=end.by,
        why=end.why,
        at_ms=end.at_ms,
        clock_ms=end.clock_ms,
        before=end.before,
        code=end.code,
    )


def released(message: pb.Released) -> Released:
    """The end of a hold."""
    return Released(
        waiting(message.hold),
        known(Outcome, message.outcome),
        message.by,
        message.why,
        message.at_ms,
        message.clock_ms,
        message.before,
        message.code,
    )


def put_context(context: Context) -> pb.Context:
    """What stands beside a hold, on the wire."""
    return pb.Context(
        decision=context.decision,
        feature=context.feature,
        signal=context.signal,
        neighbour=[
            pb.Neighbour(element=n.element, label=n.label, time_ms=n.time_ms)
            for n in context.neighbour
        ],
        history=context.history,
    )


def context(message: pb.Context) -> Context:
    """What stands beside a hold."""
    return Context(
        message.decision,
        tuple(message.feature),
        dict(message.signal),
        tuple(Neighbour(n.element, n.label, n.time_ms) for n in message.neighbour),
        tuple(message.history),
    )


def put_turned(turned: Turned) -> pb.Turned:
    """A turn of the breaker on the wire."""
    return pb.Turned(
        state=turned.state,
        reason=turned.reason,
        clock_ms=turned.clock_ms,
        until_ms=turned.until_ms,
        before=turned.before,
        number=turned.number,
        by=turned.by,
    )


def turned(message: pb.Turned) -> Turned:
    """A turn of the breaker."""
    return Turned(
        known(Breaker, message.state),
        message.reason,
        message.clock_ms,
        message.until_ms,
        message.before,
        message.number,
        message.by,
    )


def put_answered(answer: Answered) -> pb.Answered:
    """What became of an answer, on the wire."""
    return pb.Answered(
        sequence=answer.sequence,
        decision=answer.decision,
        result=answer.result,
        detail=answer.detail,
        by=answer.by,
        at_ms=answer.at_ms,
    )


def answered(message: pb.Answered) -> Answered:
    """What became of an answer."""
    return Answered(
        message.sequence,
        message.decision,
        known(Result, message.result),
        message.detail,
        message.by,
        message.at_ms,
    )
