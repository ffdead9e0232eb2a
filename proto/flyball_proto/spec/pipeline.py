"""`kind: Pipeline`: what is learnt from a source, and what may be done with it.

A pipeline may carry its source inside, `source: {interval: 1s, metrics: [load]}`; `catalogue`
lifts it out as a Source of the pipeline's name before anything else reads the document. So this is
a whole specification, and the smallest one:

    apiVersion: flyball/v1
    kind: Pipeline
    metadata: {name: congestion}
    spec:
      source: {interval: 1s, metrics: [load]}
      target: {task: binary, expression: "max(load) > 0.9", horizon: 30s}
"""

from typing import Annotated, Literal, Self, get_args

from pydantic import Field, StringConstraints, model_validator

from flyball_proto.spec.acting import Decision, Risk
from flyball_proto.spec.base import Count, Document, SpecModel, repeated, wrong
from flyball_proto.spec.durations import PositiveMs
from flyball_proto.spec.learning import Promotion, Trainer, refused_of, unusable_trainers
from flyball_proto.spec.names import METRIC_MAX_CHARS, METRIC_PATTERN, ObjectName
from flyball_proto.spec.target import Target

FeatureAggregate = Literal["last", "mean", "std", "min", "max", "slope"]
AGGREGATES: tuple[FeatureAggregate, ...] = get_args(FeatureAggregate)
MAX_WINDOW_ROWS = 4_096
MAX_LAG = 1_024
ALL = "*"

Chosen = Annotated[
    str,
    StringConstraints(pattern=rf"^(\*|{METRIC_PATTERN})$", max_length=METRIC_MAX_CHARS),
]
WindowRows = Annotated[int, Field(strict=True, ge=1, le=MAX_WINDOW_ROWS)]
Lag = Annotated[int, Field(strict=True, ge=1, le=MAX_LAG)]


class FeatureBlock(SpecModel):
    """Aggregates of some metrics over row windows."""

    metric: Chosen | None = Field(
        default=None, description='One metric, or "*": all of the source without privacy.'
    )
    metrics: tuple[Chosen, ...] | None = Field(
        default=None, max_length=1_024, description="Several metrics, instead of `metric`."
    )
    windows: tuple[WindowRows, ...] = Field(
        default=(8,), min_length=1, max_length=16, description="Rows of one element, newest last."
    )
    aggregates: tuple[FeatureAggregate, ...] = Field(
        default=AGGREGATES,
        min_length=1,
        max_length=len(AGGREGATES),
        description="What is computed; last does not depend on the window and comes once.",
    )

    truth: tuple[Lag, ...] = Field(
        default=(),
        max_length=64,
        description="Instead of metrics, kind: feedback only: 1 is the newest truth that had "
        "arrived about the element, 2 the one before it, and so on, by the time it is about.",
    )
    truth_means: tuple[Lag, ...] = Field(
        default=(), max_length=16, description="Beside truth: means over so many newest truths."
    )

    @property
    def chosen(self) -> tuple[str, ...]:
        """The metrics as written; none of a block of truth."""
        return self.metrics or () if self.metric is None else (self.metric,)

    @property
    def is_truth(self) -> bool:
        """Whether the block is about truth that had arrived and not about metrics."""
        return bool(self.truth or self.truth_means)

    @model_validator(mode="after")
    def _names_metrics_once(self) -> Self:
        if self.is_truth:
            if self.metric is not None or self.metrics:
                raise wrong(
                    "a block of metrics or a block of truth", found="both", next_step="split it"
                )
            return self
        if (self.metric is None) == (not self.metrics):
            raise wrong(
                "either metric or metrics",
                found="both" if self.metrics else "neither metric nor metrics",
                next_step='write metric: <name>, or metric: "*" for all',
            )
        return self


def _check_decision(decision: Decision, target: Target) -> None:
    if target.task != "regression" and not 0 <= decision.score_at_least <= 1:
        raise wrong(
            "score_at_least between 0 and 1 where scores are probabilities",
            found=f"{decision.score_at_least:g} for {decision.action}",
        )
    if target.task != "multiclass" and decision.label is not None:
        raise wrong("a label only for multiclass", found=f"label {decision.label!r}")
    if target.task == "multiclass" and decision.label not in target.classes:
        raise wrong(f"label: one of {', '.join(target.classes)}", found=f"label {decision.label!r}")


class PipelineSpec(SpecModel):
    """What to learn and what may be done with it."""

    source: ObjectName = Field(
        description="Name of the Source; or the spec of one, which then gets the pipeline's name."
    )
    features: tuple[FeatureBlock, ...] = Field(
        default=(FeatureBlock(metric=ALL),),
        min_length=1,
        max_length=256,
        description="What models see. Order does not matter, repetitions count once.",
    )
    look_back_ms: PositiveMs | None = Field(
        default=None,
        alias="look_back",
        description="Rows older than this do not count; default 4 x largest window x interval.",
    )
    warm_up_rows: Count | None = Field(
        default=None,
        le=MAX_WINDOW_ROWS,
        description="Rows an element needs before it gets decisions; default: smallest window.",
    )
    target: Target = Field(description="What is predicted.")
    trainers: tuple[Trainer, ...] = Field(
        default=(Trainer(name="recent", kind="lightgbm"),),
        max_length=16,
        description="Who learns; the built-in baseline is always there.",
    )
    promotion: Promotion = Field(default=Promotion(), description="When a challenger is promoted.")
    decisions: tuple[Decision, ...] = Field(
        default=(),
        max_length=16,
        description="Actions; the highest threshold that is met wins. None: nothing is proposed.",
    )
    risk: Risk = Field(default=Risk(), description="What risk is accepted.")
    upstream: tuple[ObjectName, ...] = Field(
        default=(),
        max_length=8,
        description="Pipelines whose decisions come in as metrics here. When one of them gets another "
        "model, comparisons here begin anew.",
    )

    @model_validator(mode="after")
    def _fits_its_task(self) -> Self:
        task = self.target.task
        truths = [block for block in self.features if block.is_truth]
        if truths and self.target.kind != "feedback":
            raise wrong(
                "features of truth only for kind: feedback", found=f"kind {self.target.kind}"
            )
        if len(truths) == len(self.features):
            raise wrong("at least one block of metrics", found="only features of truth")
        if found := unusable_trainers(self.trainers, task):
            raise wrong(
                "different names; logistic for binary or multiclass, ridge for regression; "
                "class_weight not for regression; executor dask for lightgbm without search; "
                "variants for mlp",
                found=found,
            )
        if refused := refused_of(self.trainers, task):
            trainer, why = refused
            found = f"{why.found} of trainer {trainer!r}"
            raise wrong(why.valid, found=found, next_step=why.next_step)
        for decision in self.decisions:
            _check_decision(decision, self.target)
        if twice := repeated([f"{d.action} {d.label or ''}".strip() for d in self.decisions]):
            raise wrong("different actions", found=f"{twice!r} twice in decisions")
        if twice := repeated(list(self.upstream)):
            raise wrong("different pipelines", found=f"{twice!r} twice in upstream")
        if twice := repeated([b.name for b in self.risk.boundaries]):
            raise wrong("different boundary names", found=f"{twice!r} twice in boundaries")
        return self


class Pipeline(Document):
    """A pipeline: `pipeline.spec.target`, `pipeline.spec.risk`, `pipeline.name`, ..."""

    kind: Literal["Pipeline"] = Field(description="Always Pipeline.")
    spec: PipelineSpec = Field(description="What to learn and what may be done with it.")
