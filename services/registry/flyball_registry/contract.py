"""What the registry needs of a pipeline's specification. Pure."""

from dataclasses import dataclass

from flyball_proto.spec import (
    BASELINE,
    Pipeline,
    Source,
    block_ms,
    complete,
    false_alarm_every_ms,
    feature_digest,
    feature_names,
)
from flyball_registry.evidence.design import Design, DesignError, Task

MB = 1_000_000
DAY_MS = 86_400_000


@dataclass(frozen=True, slots=True)
class Contract:
    """A pipeline as it is evaluated. `design` None: it cannot be, for the reason in `why_not`."""

    pipeline: str
    feature_digest: str
    trainers: frozenset[str]
    design: Design | None
    why_not: str
    slices: tuple[str, ...]
    block_ms: int
    gate_rows: int
    max_bundle_bytes: int
    task: Task
    metric: str
    classes: int = 0  # of multiclass
    features: tuple[str, ...] = ()
    upstream: tuple[str, ...] = ()  # pipelines whose decisions are metrics here

    @property
    def slack_ms(self) -> int:
        """A partition that is so far behind the newest one is not waited for."""
        return 4 * self.block_ms


def contract(pipeline: Pipeline, source: Source) -> Contract:
    """The contract of a pipeline that fits its source."""
    promotion, why_not = pipeline.spec.promotion, ""
    design = None
    try:
        design = _design(pipeline, source)
    except DesignError as error:
        why_not = str(error)
    return Contract(
        pipeline.name,
        feature_digest(pipeline, source),
        frozenset({BASELINE, *(trainer.name for trainer in pipeline.spec.trainers)}),
        design,
        why_not,
        promotion.slices,
        block_ms(pipeline, source),
        promotion.refresh.gate_rows,
        int(promotion.budgets.size_mb * MB),
        pipeline.spec.target.task,
        complete(pipeline, source).spec.promotion.metric or "",
        len(pipeline.spec.target.classes),
        feature_names(pipeline, source),
        pipeline.spec.upstream,
    )


def _design(pipeline: Pipeline, source: Source) -> Design:
    promotion = pipeline.spec.promotion
    return Design(
        task=pipeline.spec.target.task,
        margin=promotion.performance_gain_threshold,
        alpha=promotion.alpha,
        block_ms=block_ms(pipeline, source),
        horizon_ms=pipeline.spec.target.horizon_ms,
        season_ms=source.spec.season_ms,
        not_worse_by=promotion.refresh.not_worse_by,
        gate_rows=promotion.refresh.gate_rows,
        tolerance=promotion.watch.tolerance,
        false_alarm_every_days=false_alarm_every_ms(pipeline, source) / DAY_MS,
        slices=promotion.slices,
        classes=len(pipeline.spec.target.classes),
    )
