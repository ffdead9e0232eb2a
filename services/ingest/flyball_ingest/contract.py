"""A pipeline and its source, compiled: all that a fold has to know. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from flyball_ingest.features import AGGREGATES, Block, FeaturePlan
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

ROW_BYTES: Final = 32
"""What identity, time and quality of a row take in a batch, about."""


@dataclass(frozen=True, slots=True)
class Contract:
    """What a fold does, under which control revisions.

    `columns` are the metrics whose values a row carries: those of the windows, then further ones
    that targets are made from; `target_columns` are the places of the target's metrics in them.
    `row_bytes` is what one row takes in a batch, about.
    """

    pipeline: str
    source: str
    feature_digest: str
    plan: FeaturePlan
    rules: Rules
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
        rules=Rules(source, columns, len(plan.metrics)),
        targets=targets,
        target_columns=tuple(columns.index(t) for t in targets),
        lateness_ms=source.spec.max_lateness_ms,
        waits=source.spec.emit == "watermark",
        row_bytes=ROW_BYTES + 4 * plan.width + 8 * len(targets),
        revisions={"pipeline": pipeline_revision, "source": source_revision},
    )


def compile_plan(pipeline: Pipeline, source: Source) -> FeaturePlan:
    """How the pipeline's features are computed, in the order of `feature_plan`."""
    features = feature_plan(pipeline, source)
    metrics = tuple(dict.fromkeys(feature.metric for feature in features))
    lengths = sorted({feature.window_rows for feature in features})
    return FeaturePlan(
        metrics=metrics,
        blocks=tuple(_block(length, features, metrics) for length in lengths),
        width=len(features),
        look_back_ms=look_back_ms(pipeline, source),
        warm_up_rows=warm_up_rows(pipeline),
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
