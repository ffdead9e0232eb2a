"""Which features a pipeline has, in which order, and the digest that a model is bound to."""

import hashlib
import json
from dataclasses import dataclass
from typing import Final, Literal

from flyball_proto.spec.learning import Trainer
from flyball_proto.spec.pipeline import AGGREGATES, ALL, FeatureAggregate, FeatureBlock, Pipeline
from flyball_proto.spec.source import Source

TRUTH: Final = "@truth"
"""Stands for the metric in features of truth: `@truth.lag.1`, `@truth.mean.48`."""


DEFAULT_WINDOW_MS: Final = 6 * 3_600_000
DAY_MS: Final = 86_400_000


@dataclass(frozen=True, slots=True)
class Feature:
    """One column of the feature matrix."""

    metric: str
    """`TRUTH` for features of truth that had arrived."""
    aggregate: FeatureAggregate | Literal["lag"]
    window_rows: int
    """For `last`: the largest window of the metric, how far a missing value is looked up. For
    `lag`: which truth, 1 is the newest."""

    @property
    def name(self) -> str:
        """`prb_util.mean.8`; `prb_util.last`, because the newest value needs no window."""
        stem = f"{self.metric}.{self.aggregate}"
        return stem if self.aggregate == "last" else f"{stem}.{self.window_rows}"


def feature_plan(pipeline: Pipeline, source: Source) -> tuple[Feature, ...]:
    """All features in column order: by metric name, then `last`, then window, then aggregate.

    Features of truth come last, lags before means. The order of blocks, metrics, windows and aggregates in the file does not matter.
    """
    wanted: dict[str, set[tuple[int, FeatureAggregate]]] = {}
    for block in pipeline.spec.features:
        for metric in _chosen(block, pipeline, source):
            wanted.setdefault(metric, set()).update(
                (rows, aggregate) for rows in block.windows for aggregate in block.aggregates
            )
    of_metrics = [f for metric in sorted(wanted) for f in _of_metric(metric, wanted[metric])]
    blocks = pipeline.spec.features
    lags = sorted({lag for block in blocks for lag in block.truth})
    means = sorted({rows for block in blocks for rows in block.truth_means})
    return (
        *of_metrics,
        *(Feature(TRUTH, "lag", lag) for lag in lags),
        *(Feature(TRUTH, "mean", rows) for rows in means),
    )


def feature_names(pipeline: Pipeline, source: Source) -> tuple[str, ...]:
    """Names of all features in column order, e.g. `prb_util.mean.8`."""
    return tuple(feature.name for feature in feature_plan(pipeline, source))


def feature_digest(pipeline: Pipeline, source: Source) -> str:
    """SHA-256, hex, over what gives a feature its value; a model sees only its own digest."""
    plan = feature_plan(pipeline, source)
    units = {m.name: m.unit for m in source.spec.metrics}
    canonical = {
        "features": [[f.name, f.window_rows, units.get(f.metric, "")] for f in plan],
        "look_back_ms": look_back_ms(pipeline, source),
        "emit": source.spec.emit,
        "interval_ms": source.spec.interval_ms,  # the unit of time of slopes
    }
    text = json.dumps(canonical, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def digest8(digest: str) -> str:
    """The part of a feature digest that stands in subjects."""
    return digest[:8]


def largest_window_rows(pipeline: Pipeline) -> int:
    """Rows of the widest window: what must be kept of an element."""
    return max(max(block.windows) for block in pipeline.spec.features if not block.is_truth)


def look_back_ms(pipeline: Pipeline, source: Source) -> int:
    """How old a row may be, relative to the newest one, and still count."""
    default = 4 * largest_window_rows(pipeline) * source.spec.interval_ms
    return pipeline.spec.look_back_ms or default


def warm_up_rows(pipeline: Pipeline) -> int:
    """Rows an element needs within the look-back before it gets a decision."""
    smallest = min(min(b.windows) for b in pipeline.spec.features if not b.is_truth)
    return pipeline.spec.warm_up_rows or smallest


def target_metrics(pipeline: Pipeline) -> tuple[str, ...]:
    """Metrics whose raw values labels are made from; none for feedback targets."""
    parsed = pipeline.spec.target.parsed
    return (parsed.metric,) if parsed else ()


def block_ms(pipeline: Pipeline, source: Source) -> int:
    """Length of an evaluation block in event time; default four horizons, at least four intervals."""
    least = 4 * max(pipeline.spec.target.horizon_ms, source.spec.interval_ms)
    return pipeline.spec.promotion.block_ms or least


def false_alarm_every_ms(pipeline: Pipeline, source: Source) -> int:
    """Event time between two false alarms of the watch over the seat, on average."""
    asked = pipeline.spec.promotion.watch.false_alarm_every_ms
    return asked or max(30 * DAY_MS, 1_000 * block_ms(pipeline, source))


def window_ms(trainer: Trainer, pipeline: Pipeline) -> int:
    """How far back a trainer's data reach, in event time."""
    return trainer.window_ms or max(DEFAULT_WINDOW_MS, 100 * pipeline.spec.target.horizon_ms)


def complete(pipeline: Pipeline, source: Source) -> Pipeline:
    """The pipeline with every default written out that depends on its other parts."""
    spec = pipeline.spec
    promotion = spec.promotion
    if promotion.metric is None:
        metric = "absolute_error" if spec.target.task == "regression" else "brier"
        promotion = promotion.model_copy(update={"metric": metric})
    watch = promotion.watch.model_copy(
        update={"false_alarm_every_ms": false_alarm_every_ms(pipeline, source)}
    )
    block = block_ms(pipeline, source)
    promotion = promotion.model_copy(update={"block_ms": block, "watch": watch})
    filled = {
        "look_back_ms": look_back_ms(pipeline, source),
        "warm_up_rows": warm_up_rows(pipeline),
        "promotion": promotion,
        "trainers": tuple(
            t.model_copy(update={"window_ms": window_ms(t, pipeline)}) for t in spec.trainers
        ),
    }
    return pipeline.model_copy(update={"spec": spec.model_copy(update=filled)})


def _chosen(block: FeatureBlock, pipeline: Pipeline, source: Source) -> tuple[str, ...]:
    if ALL not in block.chosen:
        return block.chosen
    parsed = pipeline.spec.target.parsed
    known_at_once = parsed.metric if parsed and parsed.aggregate is None else None
    return tuple(name for name in source.visible_metrics if name != known_at_once)


def _of_metric(metric: str, wanted: set[tuple[int, FeatureAggregate]]) -> list[Feature]:
    rank: dict[str, int] = {aggregate: i for i, aggregate in enumerate(AGGREGATES)}
    features = [Feature(metric, a, w) for w, a in wanted if a != "last"]
    features.sort(key=lambda f: (f.window_rows, rank[f.aggregate]))
    if lasts := [w for w, a in wanted if a == "last"]:
        features.insert(0, Feature(metric, "last", max(lasts)))
    return features
