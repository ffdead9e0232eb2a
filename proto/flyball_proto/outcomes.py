"""What became of actions, as elements tell: `outcomes.<pipeline>.<element>`, and what risk makes of it.

JSON: `{"decision": "load.17.0", "result": "applied"}`; optionally `detail`, a sentence, and `effect`,
figures that the element measured itself, e.g. `{"load": 0.62}`.
"""

from collections.abc import Mapping
from hashlib import sha256
from typing import Annotated, Final, Literal

from pydantic import AwareDatetime, Field, StringConstraints, TypeAdapter, ValidationError

from flyball_proto.events import Event, Wire

MAX_OUTCOME_BYTES: Final = 8 << 10
MAX_DETAIL_CHARS: Final = 500
MAX_FIGURES: Final = 16
MAX_NAMED: Final = 500
"""Decisions that one event names."""

Result = Literal["applied", "rejected", "failed"]
"""`rejected`: the element would not; `failed`: it tried in vain. Neither changed anything."""

NOT_APPLIED: Final = ("rejected", "failed")

DECISION: Final = r"^[a-z0-9][a-z0-9-]{0,62}\.[0-9]{1,20}\.[0-9]{1,5}$"

_Finite = Annotated[float, Field(allow_inf_nan=False)]
_Name = Annotated[str, StringConstraints(min_length=1, max_length=64)]


class OutcomeReport(Wire):
    """What an element sends about one action that it received."""

    decision: str = Field(pattern=DECISION, description="As the action named it.")
    result: Result
    detail: str = Field(default="", max_length=MAX_DETAIL_CHARS)
    effect: dict[_Name, _Finite] = Field(
        default={}, max_length=MAX_FIGURES, description="What the element measured itself."
    )


class Awaited(Wire):
    """An action about which an element owes a word: KV `acknowledged`, key `<decision>`."""

    kind: Literal["awaited"] = "awaited"
    version: Literal[1] = 1
    pipeline: str
    decision: str
    element: str
    action: str
    sent_at: AwareDatetime
    due_at: AwareDatetime


class Told(Wire):
    """What an element said about an action: KV `acknowledged`, key `told_key`; the newest counts."""

    kind: Literal["told"] = "told"
    version: Literal[1] = 1
    decision: str
    element: str
    result: Result
    detail: str = ""
    effect: dict[str, float] = Field(default={})
    at: AwareDatetime


class Overdue(Wire):
    """Nobody said in time what became of an action: KV `acknowledged`, key `<decision>.overdue`."""

    kind: Literal["overdue"] = "overdue"
    version: Literal[1] = 1
    decision: str
    at: AwareDatetime


AnyRecord = Annotated[Awaited | Told | Overdue, Field(discriminator="kind")]
"""What KV `acknowledged` holds."""


def overdue_key(decision: str) -> str:
    """Where it stands that nobody said in time what became of an action."""
    return f"{decision}.overdue"


def told_key(decision: str, element: str) -> str:
    """Of the element's word about an action; no word of another element takes its place."""
    return f"{decision}.{sha256(element.encode()).hexdigest()[:12]}.outcome"


class ActionRejected(Event):
    """An element says that it did not carry an action out."""

    domain, what = "risk", "action-rejected"
    decision: str
    element: str
    action: str
    result: Literal["rejected", "failed"]
    detail: str


class ActionsUnacknowledged(Event):
    """Actions about which their elements said nothing in time."""

    domain, what = "risk", "actions-unacknowledged"
    decisions: tuple[str, ...] = Field(
        min_length=1, max_length=MAX_NAMED, description="`<pipeline>.<METRICS sequence>.<sample>`."
    )


class OutcomeError(ValueError):
    """What an element sent is no outcome; the text says what was found and what would be valid."""


_reports: Final = TypeAdapter(OutcomeReport)


def decode_outcome(data: bytes) -> OutcomeReport:
    """The JSON of an element.

    Raises:
        OutcomeError: It is too large, no JSON, or not of that form.
    """
    if len(data) > MAX_OUTCOME_BYTES:
        raise OutcomeError(f"{len(data)} bytes; at most {MAX_OUTCOME_BYTES}")
    try:
        return _reports.validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        place = ".".join(map(str, first["loc"])) or "the message"
        raise OutcomeError(f"{place}: {first['msg']}") from error


class ActionOutcome(Wire):
    """One action and what is known of it."""

    decision: str
    pipeline: str
    element: str
    action: str
    state: Literal["awaited", "applied", "rejected", "failed", "overdue"]
    sent_at: AwareDatetime
    due_at: AwareDatetime
    told_at: AwareDatetime | None = Field(default=None, description="When the element spoke.")
    detail: str = ""
    effect: dict[str, float] = Field(default={})


def action_outcomes(records: Mapping[str, AnyRecord]) -> list[ActionOutcome]:
    """What stands in KV `acknowledged`, by key, as one entry an action, the newest first.

    A word about an action that is not awaited, or by another element, is not among them.
    """
    found = [
        _joined(
            record,
            records.get(told_key(record.decision, record.element)),
            is_overdue=overdue_key(key) in records,
        )
        for key, record in records.items()
        if isinstance(record, Awaited)
    ]
    return sorted(found, key=lambda one: (one.sent_at, one.decision), reverse=True)


def _joined(awaited: Awaited, told: AnyRecord | None, *, is_overdue: bool) -> ActionOutcome:
    said = told if isinstance(told, Told) and told.element == awaited.element else None
    return ActionOutcome(
        decision=awaited.decision,
        pipeline=awaited.pipeline,
        element=awaited.element,
        action=awaited.action,
        state=said.result if said else "overdue" if is_overdue else "awaited",
        sent_at=awaited.sent_at,
        due_at=awaited.due_at,
        told_at=said.at if said else None,
        detail=said.detail if said else "",
        effect=said.effect if said else {},
    )
