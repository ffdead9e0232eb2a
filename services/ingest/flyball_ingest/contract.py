"""A pipeline and its source, compiled: all that a fold has to know. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from flyball_ingest.features import AGGREGATES, Block, FeaturePlan
from flyball_ingest.label_rules import LabelRules
from flyball_ingest.truths import TruthPlan
from flyball_ingest.validation import Rules
from flyball_proto import subjects
from flyball_proto.spec import (
    Feature,
    Pipeline,
    Source,
    digest8,
    feature_digest,
    feature_plan,
    look_back_ms,
    target_metrics,
    warm_up_rows,
)
from flyball_proto.spec.features import TRUTH

ROW_BYTES: Final = 32
"""What identity, time and quality of a row take in a batch, about."""


@dataclass(frozen=True, slots=True)
class Contract:
    """What a fold does, under which control revisions.

    `columns` are the metrics whose values a row carries: those of the windows, then further ones
    that targets are made from; `target_columns` are the places of the target's metrics in them.
    `truth` stands for the last features of a row, None = there are none of truth.
    `row_bytes` is what one row takes in a batch, about.
    """

    pipeline: str
    source: str
    feature_digest: str
    plan: FeaturePlan
    truth: TruthPlan | None
    rules: Rules
    labels: LabelRules
    targets: tuple[str, ...]
    target_columns: tuple[int, ...]
    lateness_ms: int
    waits: bool
    row_bytes: int
    revisions: Mapping[str, int]

    def target_subject(self, partition: int) -> str:
        """Where the features go."""
        return subjects.features(self.pipeline, digest8(self.feature_digest), partition)


def compile_contract(
    pipeline: Pipeline, source: Source, *, pipeline_revision: int, source_revision: int
) -> Contract:
    """Compile a pipeline that was validated against its source."""
    plan = compile_plan(pipeline, source)
    targets = target_metrics(pipeline)
    columns = (*plan.metrics, *(t for t in targets if t not in plan.metrics))
    return Contract(
        pipeline=pipeline.name,
        source=source.name,
        feature_digest=feature_digest(pipeline, source),
        plan=plan,
        truth=compile_truth_plan(pipeline, source),
        rules=Rules(source, columns, len(plan.metrics)),
        labels=LabelRules(pipeline.spec.target, source.spec.max_future_ms),
        targets=targets,
        target_columns=tuple(columns.index(t) for t in targets),
        lateness_ms=source.spec.max_lateness_ms,
        waits=source.spec.emit == "watermark",
        row_bytes=ROW_BYTES + 4 * plan.width + 8 * len(targets),
        revisions={"pipeline": pipeline_revision, "source": source_revision},
    )


def compile_plan(pipeline: Pipeline, source: Source) -> FeaturePlan:
    """How the pipeline's features are computed, in the order of `feature_plan`."""
    plan = feature_plan(pipeline, source)
    features = tuple(feature for feature in plan if feature.metric != TRUTH)
    metrics = tuple(dict.fromkeys(feature.metric for feature in features))
    lengths = sorted({feature.window_rows for feature in features})
    return FeaturePlan(
        metrics=metrics,
        blocks=tuple(_block(length, features, metrics) for length in lengths),
        width=len(plan),
        look_back_ms=look_back_ms(pipeline, source),
        warm_up_rows=warm_up_rows(pipeline),
    )


def compile_truth_plan(pipeline: Pipeline, source: Source) -> TruthPlan | None:
    """The features of truth, in the order of `feature_plan`; None = the pipeline has none."""
    features = [feature for feature in feature_plan(pipeline, source) if feature.metric == TRUTH]
    if not features:
        return None
    return TruthPlan(
        lags=tuple(f.window_rows for f in features if f.aggregate == "lag"),
        means=tuple(f.window_rows for f in features if f.aggregate == "mean"),
    )


def _block(rows: int, features: tuple[Feature, ...], metrics: tuple[str, ...]) -> Block:
    chosen = [(place, f) for place, f in enumerate(features) if f.window_rows == rows]
    names = [m for m in metrics if any(f.metric == m for _, f in chosen)]
    outputs = {}
    for aggregate in AGGREGATES:
        wanted = [(names.index(f.metric), p) for p, f in chosen if f.aggregate == aggregate]
        if wanted:
            columns, places = zip(*wanted, strict=True)
            outputs[aggregate] = (np.array(columns, np.intp), np.array(places, np.intp))
    return Block(rows, np.array([metrics.index(n) for n in names], np.intp), outputs)
