"""How a pipeline learns: its trainers, and what a model must show to be promoted."""

from typing import Annotated, Literal, Self

from pydantic import Field, model_validator

from flyball_proto.spec.base import (
    Count,
    Flag,
    Number,
    Share,
    SpecModel,
    repeated,
    shorthand,
    wrong,
)
from flyball_proto.spec.durations import PositiveMs
from flyball_proto.spec.names import LabelName, ObjectName
from flyball_proto.spec.parameters import Refused, refused_parameter

BASELINE = "baseline"
"""The built-in trainer that every pipeline has; no other may take its name."""

RESERVED = ("active", "anchor")
"""Names of places in a deployment; a trainer of that name could not be told from them."""


Parameter = Annotated[bool, Field(strict=True)] | int | Number | str


class Trainer(SpecModel):
    """One trainer; several run side by side and compete for the seat."""

    name: ObjectName = Field(description="Unique within the pipeline; `baseline` is taken.")
    kind: Literal["lightgbm", "logistic", "ridge"] = Field(
        description="logistic: binary and multiclass only; ridge: regression only."
    )
    window_ms: PositiveMs | None = Field(
        default=None,
        alias="window",
        description="How far back training data reach: at least ten horizons; default 6h, or "
        "a hundred horizons if that is more.",
    )
    max_rows: Count = Field(
        default=20_000, le=5_000_000, description="Newest rows of the window that are used."
    )
    retrain_every_ms: PositiveMs = Field(
        default=900_000, alias="retrain_every", description="Usual time between trainings."
    )
    retrain_on_drift: Flag = Field(default=False, description="Also train when drift is noticed.")
    parameters: dict[str, Parameter] = Field(
        default_factory=dict,
        max_length=32,
        description="Of the library, by its own names, e.g. {num_leaves: 15}; the trainer knows "
        "which are safe.",
    )


class Refresh(SpecModel):
    """The lighter gate for newer models of the trainer that holds the seat."""

    enabled: Flag = Field(default=True, description="false freezes the seat's model.")
    not_worse_by: Annotated[Number, Field(ge=0, le=1)] = Field(
        default=0.002, description="Tolerated mean loss against the anchor, in units of the metric."
    )
    gate_rows: Count = Field(
        default=2_000, ge=100, le=1_000_000, description="Newest labelled rows that are compared."
    )


class Watch(SpecModel):
    """The watch over the seat, for as long as it is held."""

    tolerance: Share = Field(
        default=0.02, description="Mean loss above the usual one that is no harm yet."
    )
    false_alarm_every_ms: PositiveMs | None = Field(
        default=None,
        alias="false_alarm_every",
        description="Event time between two false alarms, at least, on average; default 30 days, "
        "or a thousand blocks if that is more.",
    )


class ModelBudgets(SpecModel):
    """What a model may cost; measured at admission."""

    latency_p99_ms: Annotated[Number, Field(gt=0)] = Field(
        default=2.0, description="99th percentile of one session call, milliseconds."
    )
    size_mb: Annotated[Number, Field(gt=0)] = Field(default=8.0, description="ONNX file, MB.")
    memory_mb: Annotated[Number, Field(gt=0)] = Field(default=64.0, description="Loaded, MB.")


Percent = Annotated[int, Field(strict=True, ge=1, le=100)]


class Promotion(SpecModel):
    """When a challenger takes the seat, and how."""

    metric: Literal["brier", "absolute_error"] | None = Field(
        default=None,
        description="Row loss in [0, 1]; default: brier for binary and multiclass, absolute_error "
        "for regression.",
    )
    performance_gain_threshold: Share = Field(
        default=0.005, description="TS 28.105 performanceGainThreshold, in units of the metric."
    )
    alpha: Annotated[Number, Field(gt=0, lt=0.5)] = Field(
        default=0.05, description="Expected share of false successions among successions."
    )
    refresh: Annotated[Refresh, shorthand("enabled")] = Field(
        default=Refresh(), description="Newer models of the seat's own trainer; false freezes it."
    )
    block_ms: PositiveMs | None = Field(
        default=None,
        alias="block",
        description="Event time whose rows count as one number in a comparison; at least two "
        "horizons, default four.",
    )
    evidence_rows_per_s: Count = Field(
        default=2_000,
        le=1_000_000,
        description="Samples a second that are made; with more elements a share of them is chosen "
        "by hash.",
    )
    watch: Watch = Field(default=Watch(), description="The watch over the model in the seat.")
    canary: tuple[Percent, ...] = Field(
        default=(5, 25, 100),
        min_length=1,
        max_length=16,
        description="Steps in percent of elements, rising to 100.",
    )
    budgets: ModelBudgets = Field(default=ModelBudgets(), description="What a model may cost.")
    slices: tuple[LabelName, ...] = Field(
        default=(), max_length=8, description="Labels whose slices may veto a succession."
    )

    @model_validator(mode="after")
    def _canary_rises(self) -> Self:
        steps = list(self.canary)
        if steps != sorted(set(steps)) or steps[-1] != 100:
            raise wrong("canary steps that rise and end with 100", found=str(steps))
        return self


def unusable_trainers(trainers: tuple[Trainer, ...], task: str) -> str | None:
    """What is wrong with a set of trainers for a task, or None."""
    names = [t.name for t in trainers]
    if twice := repeated([BASELINE, *RESERVED, *names]):
        taken = " (built in)" if twice in (BASELINE, *RESERVED) else ""
        return f"trainer name {twice!r} twice{taken}"
    for trainer in trainers:
        if (trainer.kind == "logistic") is (task == "regression") and trainer.kind != "lightgbm":
            return f"trainer {trainer.name!r} of kind {trainer.kind} for task {task}"
    return None


def refused_of(trainers: tuple[Trainer, ...], task: str) -> tuple[str, Refused] | None:
    """The first trainer with a parameter that is refused, by name, and why; None = all are fine."""
    for trainer in trainers:
        if refused := refused_parameter(trainer.kind, trainer.parameters, task):
            return trainer.name, refused
    return None
