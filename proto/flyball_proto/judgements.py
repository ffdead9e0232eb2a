"""What the registry concludes from evidence: crossed thresholds, and only they move the deployer.

Judgements of a pipeline are numbered from 1 without a gap; whoever acts on them remembers the last
number, so that one that comes twice is acted on once.
"""

from typing import Annotated, Literal

from pydantic import Field

from flyball_proto.events import Event, Wire


class Judgement(Event):
    """Base of all judgements, published on `evaluation.<pipeline>.<what>`."""

    domain = "evaluation"
    number: int = Field(ge=1)
    event_ms: int = Field(description="Event time of the evidence, Unix milliseconds.")
    mark: str | None = Field(default=None, description="The lockstep mark at which it was made.")


class Superior(Judgement):
    """Another trainer is better than the one in the seat, by evidence."""

    what = "superior"
    kind: Literal["superior"] = "superior"
    trainer: str
    digest: str = Field(description="That trainer's newest admitted model.")
    over: str = Field(description="The trainer in the seat.")
    comparison: int = Field(ge=1, description="The how-manieth comparison ever opened.")
    log_e: float
    threshold: float = Field(description="log(1 / alpha) of this comparison.")
    blocks: int
    better_by: float = Field(description="At least, in units of the metric.")


class Concluded(Judgement):
    """A comparison has another outcome than `superior`; it is a report, not an end."""

    what = "concluded"
    kind: Literal["concluded"] = "concluded"
    trainer: str
    over: str
    comparison: int = Field(ge=1)
    outcome: Literal["inferior", "equivalent", "undecided"]
    blocks: int
    detail: str


class Refreshed(Judgement):
    """The seat's own trainer has a newer model that passed the gate against the anchor."""

    what = "refreshed"
    kind: Literal["refreshed"] = "refreshed"
    trainer: str
    digest: str
    replaces: str
    anchor: str
    upper_bound: float = Field(description="95 % bound of the mean loss, newer less anchor.")
    difference: float = Field(description="Mean loss, newer less replaced.")
    rows: int


class RefreshRefused(Judgement):
    """A newer model of the seat's own trainer did not pass the gate."""

    what = "refresh-refused"
    kind: Literal["refresh-refused"] = "refresh-refused"
    trainer: str
    digest: str
    outcome: Literal["worse", "inconclusive"]
    detail: str


class Degraded(Judgement):
    """The watch over the seat sounded."""

    what = "degraded"
    kind: Literal["degraded"] = "degraded"
    digest: str
    anchor: str
    decision: Literal["roll-back", "retrain", "compare"]
    harm: float = Field(description="D1, the evidence that the active model does harm.")
    relative: float = Field(description="D2, the evidence that the anchor is better.")
    threshold: float
    blocks: int


class Guard(Wire):
    """One canary guard: what was found and what is allowed."""

    name: str
    outcome: Literal["pass", "fail", "inconclusive", "error"]
    found: str
    limit: str


class CanaryJudged(Judgement):
    """A canary step was looked at."""

    what = "canary-judged"
    kind: Literal["canary-judged"] = "canary-judged"
    digest: str
    epoch: int = Field(ge=1, description="Of the step that was looked at.")
    outcome: Literal["pass", "fail", "inconclusive", "error"]
    guards: tuple[Guard, ...]
    rows: int


class Restarted(Judgement):
    """A pipeline whose decisions come in here has another model: comparisons began anew."""

    what = "restarted"
    kind: Literal["restarted"] = "restarted"
    upstream: str = Field(description="The pipeline that changed.")
    upstream_digest: str
    upstream_epoch: int
    closed: tuple[str, ...] = Field(description="Trainers whose comparison was closed unfinished.")


AnyJudgement = Annotated[
    Superior | Concluded | Refreshed | RefreshRefused | Degraded | CanaryJudged | Restarted,
    Field(discriminator="kind"),
]
"""What `evaluation.*.*` carries."""


class Drifted(Event):
    """Something about the stream changed: a reason to train, never to roll back."""

    domain, what = "drift", "drifted"
    on: Literal["loss", "harm", "score", "features"] = Field(
        description="The active model's loss rose; the watch over the seat says that it does harm and "
        "the anchor would be no better; scores or inputs are unlike those of before."
    )
    event_ms: int
    features: tuple[str, ...] = Field(
        default=(), max_length=32, description="Which drifted, the most changed first."
    )
    mark: str | None = None
    detail: str


class ScoresSkewed(Event):
    """A decision carries another score than its model gives here for the same row."""

    domain, what = "runtime", "skewed"
    digest: str
    epoch: int
    rows: int = Field(ge=1, description="Rows that were more than `tolerance` apart.")
    looked_at: int = Field(ge=1, description="Rows that were scored again.")
    apart: float = Field(description="The largest distance.")
    tolerance: float
    decision: str = Field(
        description="The row that was farthest: `<pipeline>.<sequence>.<sample>`."
    )


class RegistrySettled(Event):
    """Every judgement that the data up to a lockstep mark allow has been made."""

    domain, what = "runtime", "settled.registry"
    mark: str
    number: int = Field(ge=0, description="Of the last judgement; 0 = none yet.")
