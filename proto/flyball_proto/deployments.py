"""Who answers for a pipeline: the deployment's record, and the events that tell how it changed."""

from datetime import datetime
from typing import Final, Literal

from pydantic import AwareDatetime, Field

from flyball_proto.events import Event, Precision, Wire
from flyball_proto.judgements import AnyJudgement

MAX_REMEMBERED: Final = 64
"""Digests that were rolled back, remembered in a deployment's record; the oldest go first."""


class Placed(Wire):
    """A model that has a place in a deployment."""

    digest: str
    trainer: str
    feature_digest: str
    precision: Precision = Field(
        default="float32", description="The variant that every runtime of the pipeline can run."
    )


class Canary(Placed):
    """A model that answers for a sticky share of the elements; see `sticky.answers_canary`."""

    step: int = Field(ge=0, description="Its place in the specification's steps.")
    percent: int = Field(ge=1, le=100)
    since: AwareDatetime
    epoch: int = Field(
        default=1, ge=1, description="With which this step began; a refresh beside it moves on."
    )


class Pin(Wire):
    """A person said that nothing may move by itself."""

    by: str
    why: str
    at: AwareDatetime


class ActiveModel(Wire):
    """A pipeline's deployment in KV `deployments`, key `<pipeline>`, moved by compare-and-set.

    `digest`, `trainer` and `feature_digest` are the active model's. The epoch rises whenever
    anything changes about who answers for which element; other fields may change without it.
    The last announcement of each kind stands here as it was or will be told, so that who is killed
    between moving and telling can tell afterwards.
    """

    version: Literal[1] = 1
    digest: str
    trainer: str
    feature_digest: str
    precision: Precision = "float32"
    epoch: int = Field(ge=1)
    since: datetime
    reason: str
    anchor: Placed | None = Field(
        default=None,
        description="The model that last won by evidence or was set by a person; kept hot, and "
        "where a rollback leads. None: the active model itself.",
    )
    baseline: Placed | None = Field(default=None, description="The last fallback.")
    canary: Canary | None = None
    may_refresh: bool = Field(
        default=True, description="False after a rollback, until the seat is won again."
    )
    frozen: bool = Field(
        default=False, description="Nothing moves by itself: a second rollback came too soon."
    )
    handled: int = Field(default=0, ge=0, description="Number of the last judgement acted on.")
    rolled_back: tuple[str, ...] = Field(default=(), max_length=MAX_REMEMBERED)
    rollback_ms: int = Field(
        default=0, ge=0, description="Event time of the last automatic rollback; 0 = none."
    )
    heard_ms: int = Field(default=0, description="Newest event time of the judgements acted on.")
    outcome: str = Field(
        default="", description="What became of the judgement `handled`, in words."
    )
    pinned: Pin | None = Field(
        default=None, description="Nothing moves by itself until a person unpins it."
    )
    set_by: str = Field(
        default="", description="The person who made this model active; empty = automation."
    )
    put_off: tuple[AnyJudgement, ...] = Field(
        default=(),
        max_length=3,
        description="By which somebody would come once the pipeline's breaker is closed; the "
        "newest of each kind.",
    )
    activated: "DeploymentActivated | None" = None
    canary_moved: "CanaryMoved | None" = None
    person_asked: "PersonAsked | None" = None

    @property
    def active(self) -> Placed:
        """The active model."""
        return Placed(
            digest=self.digest,
            trainer=self.trainer,
            feature_digest=self.feature_digest,
            precision=self.precision,
        )

    @property
    def anchored(self) -> Placed:
        """The anchor; the active model where there is no other."""
        return self.anchor or self.active


class DeploymentActivated(Event):
    """The active model of a pipeline is another one."""

    domain, what = "deployment", "activated"
    digest: str
    trainer: str
    epoch: int = Field(ge=1)
    reason: str
    change: Literal["seat-zero", "succession", "refresh", "rollback", "promotion"] = "seat-zero"
    replaces: str = Field(default="", description="Digest of the model that was active before.")
    judgement: int = Field(default=0, ge=0, description="Number of the judgement behind it.")
    by: str = Field(default="", description="The person who asked for it; empty = automation.")


class CanaryMoved(Event):
    """A canary began, answers for more elements, or ended without becoming active."""

    domain, what = "deployment", "canary-moved"
    digest: str
    trainer: str
    epoch: int = Field(ge=1)
    percent: int = Field(ge=0, le=100, description="0: it ended.")
    reason: str


class PersonAsked(Event):
    """Automation stops here; a person has to decide."""

    domain, what = "deployment", "person-asked"
    digest: str
    epoch: int = Field(ge=1)
    reason: str


class DeployerSettled(Event):
    """Everything that the data up to a lockstep mark decided is in force with this epoch."""

    domain, what = "runtime", "settled.deployer"
    mark: str
    epoch: int = Field(ge=0, description="0: nobody is active yet.")
