"""Control-plane events: one fact a message, past tense, frozen, versioned.

Published on `<domain>.<pipeline>.<past-tense>` with a `Nats-Msg-Id`, so that a service which is
killed between acting and announcing announces once.
"""

from datetime import datetime
from typing import ClassVar, Literal

from pydantic import AwareDatetime, BaseModel, ConfigDict, Field

from flyball_proto import subjects


class Wire(BaseModel):
    """Base of every control message: immutable, and unknown fields are an error."""

    model_config = ConfigDict(frozen=True, extra="forbid")


class Event(Wire):
    """Base of every event. `domain` and `what` are its place among the subjects."""

    domain: ClassVar[str]
    what: ClassVar[str]

    version: Literal[1] = 1
    pipeline: str
    at: AwareDatetime = Field(description="When it happened, by the publisher's clock.")

    @property
    def subject(self) -> str:
        """Where this event is published."""
        return subjects.event(self.domain, self.pipeline, self.what)

    @classmethod
    def pattern(cls) -> str:
        """Where events of this kind are published, for every pipeline."""
        return subjects.event(cls.domain, "*", cls.what)


class PipelineApplied(Event):
    """A pipeline's specification is in force."""

    domain, what = "pipeline", "applied"
    revision: int = Field(ge=1, description="Revision of the pipeline's record in KV `pipelines`.")
    source: str
    feature_digest: str
    by: str = Field(description="Who applied it.")


class ModelTrained(Event):
    """A trainer has put a bundle into S3. Nothing has been checked yet."""

    domain, what = "model", "trained"
    digest: str = Field(description="SHA-256 of the ONNX file, hex; its name in S3.")
    manifest_digest: str = Field(description="SHA-256 of the manifest, hex.")
    trainer: str
    feature_digest: str
    size_bytes: int


class ModelAdmitted(Event):
    """A bundle passed admission and may be deployed."""

    domain, what = "model", "admitted"
    digest: str
    trainer: str
    feature_digest: str


class ModelRefused(Event):
    """A bundle failed admission; the check, what was found and the limit are named."""

    domain, what = "model", "refused"
    digest: str
    trainer: str
    check: str
    found: str
    limit: str


class DeploymentActivated(Event):
    """The active pointer of a pipeline moved."""

    domain, what = "deployment", "activated"
    digest: str
    trainer: str
    epoch: int = Field(ge=1)
    reason: str


class ModelFlipped(Event):
    """A runtime now answers with this model."""

    domain, what = "runtime", "flipped"
    partition: int
    digest: str
    epoch: int
    load_ms: float


class InputLost(Event):
    """A fold's input is gone or is not the one it was reading; it stopped."""

    domain, what = "runtime", "input-lost"
    service: str
    fold: str
    detail: str


class FoldFenced(Event):
    """A fold instance found another one writing its output and stopped."""

    domain, what = "runtime", "fenced"
    service: str
    fold: str
    detail: str


class Action(Wire):
    """What an element receives on `actions.<pipeline>.<element>`: carry it out."""

    version: Literal[1] = 1
    pipeline: str
    element: str
    action: str
    decision: str = Field(description="`<pipeline>.<METRICS sequence>.<sample>`: the decision row.")
    time_ms: int = Field(description="Event time of the decision, Unix milliseconds.")
    verdict: str
    category: str
    risk: float = Field(ge=0, le=1)
    score: float
    model: str = Field(description="Digest of the model that decided.")
    epoch: int


class ActiveModel(Wire):
    """The active pointer in KV `deployments`, key `<pipeline>`, moved by compare-and-set."""

    version: Literal[1] = 1
    digest: str
    trainer: str
    feature_digest: str
    epoch: int = Field(ge=1)
    since: datetime
    reason: str


class ModelRecord(Wire):
    """A model in KV `models`, key `<pipeline>.<digest>`."""

    version: Literal[1] = 1
    pipeline: str
    digest: str
    manifest_digest: str
    trainer: str
    feature_digest: str
    stage: Literal["challenger", "canary", "active", "fallback", "retired", "refused"]
    size_bytes: int
    admitted_at: datetime


class Manifest(Wire):
    """What a bundle says of itself: `models/<digest>/manifest.json`, digested without times."""

    version: Literal[1] = 1
    digest: str = Field(description="SHA-256 of model.onnx, hex.")
    pipeline: str
    trainer: str
    kind: str = Field(description="Trainer kind, e.g. `baseline`.")
    feature_digest: str
    features: tuple[str, ...]
    task: Literal["regression", "binary", "multiclass"]
    input_name: str = "features"
    output_name: str = "score"
    parameters: dict[str, float | int | str | bool] = {}
