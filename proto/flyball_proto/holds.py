"""Decisions that wait for a person, answers to them, and pipelines that a person has stopped."""

from typing import Final, Literal

from pydantic import AwareDatetime, Field

from flyball_proto.events import Event, Wire

MAX_WHY_CHARS: Final = 500

MAX_BULK: Final = 1000
"""Holds that one command may answer."""

Outcome = Literal["approved", "denied", "expired"]

ReasonCode = Literal[
    "agree",
    "wrong-prediction",
    "wrong-action",
    "bad-timing",
    "maintenance",
    "data-quality",
    "policy",
    "other",
]
"""Why a person answered as they did, so that it can be counted; `why` says it in words."""


class Hold(Wire):
    """One decision that waits or waited for a person: KV `holds`, key `id`.

    Written by risk alone, from committed verdicts. Of one element and action at most one is open.
    """

    version: Literal[1] = 1
    id: str = Field(description="`<pipeline>.<METRICS sequence>.<sample>`: the decision row.")
    pipeline: str
    partition: int = Field(ge=0)
    element: str
    labels: dict[str, str] = Field(default={})
    action: str
    score: float
    risk: float = Field(ge=0, le=1)
    category: str
    reason: str = Field(description="Why a person is asked, in words.")
    model: str = Field(description="Digest of the model that decided.")
    trainer: str
    epoch: int
    time_ms: int = Field(description="Event time of the decision.")
    expires_ms: int = Field(description="Event time from which it is expired.")
    opened_at: AwareDatetime = Field(description="When the decision was stored.")
    approvals: int = Field(
        default=1, ge=1, le=2, description="People who must agree before the action goes out."
    )
    agreed_by: tuple[str, ...] = Field(
        default=(), max_length=2, description="Who approved so far, while it is open."
    )
    state: Literal["open", "approved", "denied", "expired"] = "open"
    answered_by: str = Field(
        default="", description="Several people joined by commas; empty = nobody did."
    )
    answered_why: str = ""
    answered_code: ReasonCode | None = Field(
        default=None, description="Of the answer that ended it; null = nobody answered."
    )
    answered_at: AwareDatetime | None = None


class Nearby(Wire):
    """An element of the same group that an action reached lately."""

    element: str
    label: str = Field(description="What they share, as in `site=s1`.")
    time_ms: int = Field(description="Event time of that action.")


class HoldContext(Wire):
    """What a person needs to see beside a hold: KV `contexts`, key as the hold's.

    Written once, when the hold opens, by risk alone; removed with the hold's record. About 1 kB.
    """

    version: Literal[1] = 1
    hold: str
    feature_digest: str = Field(description="In whose order `features` are.")
    features: tuple[float | None, ...] = Field(
        default=(), description="As decided on; null = missing. Empty = not told."
    )
    signals: dict[str, float] = Field(
        default={}, description="novelty, disagreement, confidence, ..., those that are known."
    )
    neighbours: tuple[Nearby, ...] = Field(
        default=(), description="Of its groups, acted on lately, newest first."
    )
    history: tuple[str, ...] = Field(
        default=(), description="What became of the element's last proposals, newest first."
    )


class Answer(Wire):
    """A person's answer to a hold, in band on `decisions.<pipeline>.<partition>.answers`."""

    version: Literal[1] = 1
    hold: str
    answer: Literal["approve", "deny"]
    by: str
    why: str
    code: ReasonCode = "other"
    at: AwareDatetime


class BulkAnswer(Wire):
    """One answer to many holds of a partition, in band like `Answer`; each is judged by itself.

    What needs two people is never approved this way.
    """

    version: Literal[1] = 1
    holds: tuple[str, ...] = Field(min_length=1, max_length=MAX_BULK)
    answer: Literal["approve", "deny"]
    by: str
    why: str
    code: ReasonCode = "other"
    at: AwareDatetime


class Withdrawal(Wire):
    """Approvals of somebody that count no longer, in band like `Answer`.

    Only open holds change, which wait for a second person: they need two others again.
    """

    version: Literal[1] = 1
    withdrawn: str = Field(min_length=1, description="Whose approvals.")
    by: str
    why: str
    at: AwareDatetime


class Stop(Wire):
    """Whether a person has stopped a pipeline: KV `stops`, key `<pipeline>`; written by risk."""

    version: Literal[1] = 1
    pipeline: str
    stopped: bool
    by: str
    why: str
    at: AwareDatetime


class StopOrder(Wire):
    """A changed `Stop`, in band on `decisions.<pipeline>.<partition>.answers`.

    `revision` is that of its record in KV `stops`; an older one than the last counts for nothing.
    """

    version: Literal[1] = 1
    stop: Stop
    revision: int = Field(ge=1)


class Held(Event):
    """A decision began to wait for a person."""

    domain, what = "risk", "held"
    hold: Hold


class HoldAnswered(Event):
    """A hold ended: a person approved or denied it, or nobody answered in time."""

    domain, what = "risk", "hold-answered"
    hold: Hold


class Stopped(Event):
    """A person stopped the pipeline: no action goes out until a person resumes it."""

    domain, what = "risk", "stopped"
    by: str
    why: str


class Resumed(Event):
    """A person let the pipeline act again."""

    domain, what = "risk", "resumed"
    by: str
    why: str


class ActionsStopped(Event):
    """Actions that were cleared and, because a person stopped the pipeline, never sent."""

    domain, what = "risk", "actions-stopped"
    partition: int
    decisions: tuple[str, ...] = Field(
        min_length=1, max_length=500, description="`<pipeline>.<METRICS sequence>.<sample>` each."
    )
