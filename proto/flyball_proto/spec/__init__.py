"""What an engineer writes: `kind: Source` and `kind: Pipeline`, validated wholly before use.

`parse_documents` turns plain documents into a `Catalogue` or raises `SpecError` with every
mistake. Durations are `30s` in the file and `<name>_ms` integers here.

Source: `spec.element, interval_ms, max_lateness_ms, max_future_ms, emit, season_ms,
metrics[name, unit, range, on_invalid, required, privacy], labels, accepts, csv`.
Pipeline: `spec.source, features[metric | metrics, windows, aggregates | truth, truth_means], look_back_ms,
warm_up_rows, target[task, kind, expression, horizon_ms, classes], trainers[name, kind, window_ms,
max_rows, retrain_every_ms, retrain_on_drift, parameters], promotion, decisions[action, score_at_least, label,
severity, reversible, cooldown_ms], risk[autonomy, max_error, control_share,
budgets[actions_per_minute, elements_per_label, window_ms], boundaries[name, when, verdict],
hold[expires_ms, approvals], fallback, baseline_acts]`.

Defaults that depend on other parts come from `look_back_ms(pipeline, source)` and
`warm_up_rows(pipeline)`; columns of the feature matrix from `feature_plan(pipeline, source)`.
"""

from flyball_proto.spec.acting import KEEP, Boundary, BreakerRule, Decision, Hold, Risk, RiskBudgets
from flyball_proto.spec.catalogue import Catalogue, as_document, parse_documents
from flyball_proto.spec.crosscheck import crosscheck
from flyball_proto.spec.durations import format_duration, parse_duration_ms
from flyball_proto.spec.features import (
    TRUTH,
    Feature,
    block_ms,
    complete,
    digest8,
    false_alarm_every_ms,
    feature_digest,
    feature_names,
    feature_plan,
    largest_window_rows,
    look_back_ms,
    target_metrics,
    warm_up_rows,
    window_ms,
)
from flyball_proto.spec.learning import BASELINE, Promotion, Trainer
from flyball_proto.spec.mistakes import Mistake, SpecError
from flyball_proto.spec.pipeline import AGGREGATES, FeatureBlock, Pipeline
from flyball_proto.spec.source import Accept, CsvMapping, Metric, Source, Truth
from flyball_proto.spec.target import (
    Comparison,
    Expression,
    ExpressionError,
    Target,
    parse_expression,
)

__all__ = [
    "AGGREGATES",
    "BASELINE",
    "KEEP",
    "TRUTH",
    "Accept",
    "Boundary",
    "BreakerRule",
    "Catalogue",
    "Comparison",
    "CsvMapping",
    "Decision",
    "Expression",
    "ExpressionError",
    "Feature",
    "FeatureBlock",
    "Hold",
    "Metric",
    "Mistake",
    "Pipeline",
    "Promotion",
    "Risk",
    "RiskBudgets",
    "Source",
    "SpecError",
    "Target",
    "Trainer",
    "Truth",
    "as_document",
    "block_ms",
    "complete",
    "crosscheck",
    "digest8",
    "false_alarm_every_ms",
    "feature_digest",
    "feature_names",
    "feature_plan",
    "format_duration",
    "largest_window_rows",
    "look_back_ms",
    "parse_documents",
    "parse_duration_ms",
    "parse_expression",
    "target_metrics",
    "warm_up_rows",
    "window_ms",
]
