"""How a pipeline learns: its trainers, and what a model must show to be promoted."""

from typing import Annotated, Literal, Self

from pydantic import AfterValidator, Field, model_validator

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
from flyball_proto.spec.names import LabelName, ObjectName, nearest
from flyball_proto.spec.parameters import (
    ALLOWED,
    PLUGIN,
    PRECISIONS,
    TASKS,
    Refused,
    is_plugin,
    refused_parameter,
)

BASELINE = "baseline"
"""The built-in trainer that every pipeline has; no other may take its name."""

RESERVED = ("active", "anchor")
"""Names of places in a deployment; a trainer of that name could not be told from them."""


Parameter = Annotated[bool, Field(strict=True)] | int | Number | str


def _known_kind(kind: str) -> str:
    """A built-in kind, or `plugin:<name>`."""
    if kind in ALLOWED or (is_plugin(kind) and kind[len(PLUGIN) :].isidentifier()):
        return kind
    close = nearest(kind, ALLOWED)
    raise wrong(
        f"{', '.join(ALLOWED)}, or {PLUGIN}<name> of an installed plug-in",
        found=repr(kind),
        next_step=f"did you mean {close[0]}?" if close else "choose one of them",
    )


class Range(SpecModel):
    """Numbers to draw from."""

    low: Number = Field(description="The smallest.")
    high: Number = Field(description="The largest.")
    log: Flag = Field(default=False, description="Evenly over magnitudes; needs low above 0.")
    whole: Flag = Field(default=False, description="Only whole numbers.")

    @model_validator(mode="after")
    def _is_a_range(self) -> Self:
        if not self.low < self.high or (self.log and self.low <= 0):
            found = f"low {self.low:g}, high {self.high:g}{', log' if self.log else ''}"
            raise wrong("low below high, and above 0 where log is true", found=found)
        if self.whole and not (self.low.is_integer() and self.high.is_integer()):
            found = f"low {self.low:g}, high {self.high:g}, whole"
            raise wrong("whole numbers for low and high where whole is true", found=found)
        return self


class Search(SpecModel):
    """Settings that are drawn and tried before each training; the best one trains the model.

    Trials are compared on rows that come before the holdout, by successive halving: nine cost as
    much as two more fits, 64 as much as 23. However many there are, they are one trainer, one
    challenger and one comparison.
    """

    trials: Annotated[int, Field(strict=True, ge=2, le=64)] = Field(
        default=9, description="Settings that are drawn; the trainer's own parameters are one."
    )
    parameters: dict[str, tuple[Parameter, ...] | Range] = Field(
        min_length=1,
        max_length=16,
        description="Name to values, e.g. {num_leaves: [7, 15, 31]}, or to a range, e.g. "
        "{learning_rate: {low: 0.02, high: 0.3, log: true}}.",
    )


class ClassWeight(SpecModel):
    """How much rows of a class count in a fit; binary classes are 0 and 1, in quotes."""

    preset: Literal["none", "balanced"] = Field(
        default="none", description="balanced: each class counts as much as all others together."
    )
    weights: dict[str, Annotated[Number, Field(gt=0, le=1000)]] = Field(
        default_factory=dict, max_length=64, description="Class to weight; those left out count 1."
    )


class Trainer(SpecModel):
    """One trainer; several run side by side and compete for the seat."""

    name: ObjectName = Field(description="Unique within the pipeline; `baseline` is taken.")
    kind: Annotated[str, AfterValidator(_known_kind)] = Field(
        description="lightgbm, histogram, forest, mlp; logistic: binary and multiclass only; ridge: "
        "regression only; plugin:<name>: an installed plug-in."
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
    class_weight: Annotated[ClassWeight, shorthand("preset")] = Field(
        default=ClassWeight(), description="balanced, or weights by class; not for regression."
    )
    search: Search | None = Field(
        default=None, description="Settings to draw and try before each training."
    )
    executor: Literal["process", "dask"] = Field(
        default="process",
        description="dask: fitted by the workers of the Dask scheduler that the trainer's settings "
        "name; lightgbm only.",
    )
    variants: tuple[Literal["float16", "int8"], ...] = Field(
        default=(), max_length=2, description="Smaller forms for small machines; mlp only."
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
        if (found := _unusable(trainer, task)) is not None:
            return f"trainer {trainer.name!r} {found}"
    return None


def _unusable(trainer: Trainer, task: str) -> str | None:
    """What of a trainer does not go together."""
    kind, weight = trainer.kind, trainer.class_weight
    if not is_plugin(kind) and task not in TASKS[kind]:
        return f"of kind {kind} for task {task}"
    if task == "regression" and weight != ClassWeight():
        return "with class_weight for task regression"
    if weight.preset == "balanced" and weight.weights:
        return "with class_weight both balanced and by class"
    if trainer.executor == "dask" and (kind != "lightgbm" or trainer.search is not None):
        return f"of kind {kind}{' with search' if trainer.search else ''} with executor dask"
    for precision in trainer.variants:
        if precision not in PRECISIONS.get(kind, ()):
            return f"of kind {kind} with variant {precision}"
    return None


def refused_of(trainers: tuple[Trainer, ...], task: str) -> tuple[str, Refused] | None:
    """The first trainer with a parameter that is refused, by name, and why; None = all are fine."""
    for trainer in trainers:
        if refused := refused_parameter(trainer.kind, trainer.parameters, task):
            return trainer.name, refused
        for drawn in drawn_extremes(trainer):
            if refused := refused_parameter(trainer.kind, drawn, task):
                return trainer.name, refused
    return None


def drawn_extremes(trainer: Trainer) -> tuple[dict[str, bool | int | float | str], ...]:
    """Settings of a search that stand for all of them: each value, or both ends of a range."""
    found: list[dict[str, bool | int | float | str]] = []
    for name, drawn in (trainer.search.parameters if trainer.search else {}).items():
        ends = (drawn.low, drawn.high) if isinstance(drawn, Range) else drawn
        found.extend({name: value} for value in ends)
    return tuple(found)
