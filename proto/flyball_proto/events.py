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
    source_revision: int = Field(
        default=0, ge=0, description="Of the source's record; 0 = not told."
    )
    feature_digest: str
    by: str = Field(description="Who applied it.")


Precision = Literal["float32", "float16", "int8"]
"""How a variant of a model keeps its numbers; float32 is the model as it was trained."""


class Variant(Wire):
    """A smaller form of a model: `models/<digest>/model.<precision>.onnx`."""

    precision: Literal["float16", "int8"]
    digest: str = Field(description="SHA-256 of the file, hex.")
    size_bytes: int = Field(ge=1)
    difference: float = Field(
        description="Largest distance of a score from the model's, on holdout and boundary rows."
    )
    tolerance: float = Field(description="Largest distance that was allowed.")


class ModelTrained(Event):
    """A trainer has put a bundle into S3. Nothing has been checked yet."""

    domain, what = "model", "trained"
    digest: str = Field(description="SHA-256 of the ONNX file, hex; its name in S3.")
    manifest_digest: str = Field(description="SHA-256 of the manifest, hex.")
    trainer: str
    feature_digest: str
    size_bytes: int
    kind: str = "baseline"
    trained_through: dict[str, int] = Field(
        default={}, description="Partition to the METRICS sequence up to which it has learnt."
    )
    trained_through_ms: int = Field(default=0, description="Newest event time it has learnt from.")
    rows: int = Field(default=0, ge=0, description="Rows it was fitted to.")
    because: Literal["applied", "cadence", "drift"] = "applied"
    mark: str | None = Field(default=None, description="The lockstep mark at which it was due.")
    fit_ms: float = 0.0
    fitted_at: AwareDatetime | None = Field(
        default=None, description="When the fit ended; conversion, proof and storing came then."
    )
    warnings: tuple[str, ...] = Field(
        default=(),
        max_length=16,
        description="What a person should know, e.g. a feature that predicts too well alone.",
    )


class TrainingFailed(Event):
    """A training that was due gave no model; what was found and what would be needed."""

    domain, what = "model", "training-failed"
    trainer: str
    found: str
    needed: str


class TrainerSettled(Event):
    """Every training that was due by the data up to a lockstep mark has ended."""

    domain, what = "runtime", "settled.trainer"
    mark: str
    digests: tuple[str, ...] = Field(description="Models that were published for this mark.")


class ModelAdmitted(Event):
    """A bundle passed admission and may be deployed."""

    domain, what = "model", "admitted"
    digest: str
    trainer: str
    feature_digest: str
    valid_from: dict[str, int] = Field(
        default={},
        description="Partition to the METRICS sequence behind which its trainer answers with it.",
    )


class ModelRefused(Event):
    """A bundle failed admission; the check, what was found and the limit are named."""

    domain, what = "model", "refused"
    digest: str
    trainer: str
    check: str
    found: str
    limit: str


class ModelFlipped(Event):
    """A runtime now answers with this model."""

    domain, what = "runtime", "flipped"
    partition: int
    digest: str
    epoch: int
    load_ms: float


class ModelTripped(Event):
    """A runtime cannot answer with a model: it is not usable, or its scores are not finite."""

    domain, what = "runtime", "tripped"
    digest: str
    epoch: int
    detail: str


class ModelMeasured(Event):
    """How long a runtime took to score with its models, now and then while a canary answers."""

    domain, what = "runtime", "measured"
    partition: int
    epoch: int
    p99_ms: dict[str, float] = Field(description="Digest to the 99th percentile of a call.")
    calls: dict[str, int]


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


class ModelRecord(Wire):
    """A model in KV `models`, key `<pipeline>.<digest>`."""

    version: Literal[1] = 1
    pipeline: str
    digest: str
    manifest_digest: str
    trainer: str
    feature_digest: str
    stage: Literal[
        "challenger", "canary", "active", "fallback", "retired", "refused", "rolled-back"
    ]
    size_bytes: int
    admitted_at: datetime
    kind: str = "baseline"
    trained_through: dict[str, int] = {}
    trained_through_ms: int = 0
    rows: int = 0
    valid_from: dict[str, int] = {}
    dataset_digest: str = ""
    warnings: tuple[str, ...] = ()
    variants: tuple[Variant, ...] = ()
    latency_p99_ms: float = Field(default=0.0, description="Measured at admission.")
    memory_bytes: int = Field(default=0, description="Measured at admission; 0 = not measured.")


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
    trained_through: dict[str, int] = Field(
        default={}, description="Partition to the METRICS sequence up to which it has learnt."
    )
    trained_through_ms: int = 0
    holdout_from_ms: int = Field(
        default=0, description="Rows from this event time on were held out; 0 = none were."
    )
    first_sequence: int = Field(
        default=0, ge=0, description="The oldest METRICS sequence among the rows it was fitted to."
    )
    first_ms: int = Field(default=0, description="The oldest event time among them.")
    rows: int = Field(
        default=0, description="Rows it was fitted to: the first so many of the data set."
    )
    fitted_until_ms: int = Field(
        default=0,
        description="Event time at which the last label that it was fitted to was complete: the "
        "newest row's time and how far a label looks ahead.",
    )
    dataset_digest: str = Field(default="", description="SHA-256 of the Parquet file in S3, hex.")
    classes: tuple[str, ...] = Field(default=(), description="multiclass: in score order.")
    class_weight: dict[str, float] = Field(
        default={}, description="Class to the weight of its rows in the fit; empty = all 1."
    )
    searched: int = Field(default=0, ge=0, description="Settings that were tried before this one.")
    executor: Literal["process", "dask"] = "process"
    expected_digest: str = Field(
        default="",
        description="SHA-256, hex, of `expected.bin`: rows and what the fitted model itself says.",
    )
    novelty_digest: str = Field(
        default="",
        description="SHA-256, hex, of `novelty.bin`: by which rows unlike the training data are told.",
    )
    variants: tuple[Variant, ...] = Field(
        default=(), description="Made from the ONNX file, so not covered by what stands in it."
    )
    seed: int = 0
    platform: str = Field(default="", description="Library versions and CPU that it was fitted on.")


class Signature(Wire):
    """Who vouches for a manifest's bytes: `models/<digest>/signature.json`."""

    version: Literal[1] = 1
    key: str = Field(description="Public NKey of the trainer.")
    signature: str = Field(description="Ed25519 over the manifest's bytes, base64.")
