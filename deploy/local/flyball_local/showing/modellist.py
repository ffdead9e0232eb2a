"""What `flyball models` prints: each model with its figures, and where its comparison stands. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from typing import Any, Final

from flyball_local.invalid import InvalidInputError
from flyball_local.showing.listing import ago, figure, named, short, span
from flyball_proto.deployments import ActiveModel
from flyball_proto.events import ModelRecord, ModelRefused, Variant
from flyball_proto.progress import ColumnFigures, Comparison, Standings

MODEL_COLUMNS: Final = (
    "pipeline",
    "model",
    "trainer",
    "kind",
    "stage",
    "rows",
    "age",
    "loss",
    "log E",
    "",
)


WORST_SLICES: Final = 3
"""Of a model's slices so many are shown, the worst first."""


@dataclass(frozen=True, slots=True)
class Models:
    """Every model of a stack, newest first, and what is known of each."""

    records: tuple[ModelRecord, ...]
    standings: dict[str, Standings]
    active: dict[str, ActiveModel]
    refusals: dict[str, ModelRefused]
    """By digest, the newest of each."""


def model_row(record: ModelRecord, found: Models, now: datetime) -> tuple[str, ...]:
    """One model in the table of `models list`."""
    figures, comparison = figures_of(record, found), comparison_of(record, found)
    refusal = found.refusals.get(record.digest)
    why = f"{refusal.check}: found {refusal.found}, limit {refusal.limit}" if refusal else ""
    return (
        record.pipeline,
        short(record.digest),
        record.trainer,
        record.kind,
        record.stage,
        f"{record.rows:,}",
        span((now - record.admitted_at).total_seconds()),
        figure(figures.loss if figures else None, ".4f"),
        f"{comparison.log_e:.2f} of {comparison.threshold:.2f}" if comparison else "-",
        why if record.stage == "refused" else "",
    )


def model_object(record: ModelRecord, found: Models) -> dict[str, Any]:
    """One model for `--json`; None = not known."""
    figures, comparison = figures_of(record, found), comparison_of(record, found)
    refusal = found.refusals.get(record.digest)
    return {
        **record.model_dump(mode="json"),
        "loss": figures.loss if figures else None,
        "scored_rows": figures.rows if figures else 0,
        "comparison": comparison.model_dump(mode="json") if comparison else None,
        "refusal": refusal.model_dump(mode="json") if refusal else None,
    }


def model_lines(record: ModelRecord, found: Models, now: datetime) -> list[str]:
    """Everything that is on record of one model."""
    figures, comparison = figures_of(record, found), comparison_of(record, found)
    standing, refusal = found.standings.get(record.pipeline), found.refusals.get(record.digest)
    facts = [
        ("model", record.digest),
        ("pipeline", record.pipeline),
        ("trainer", f"{record.trainer} ({record.kind})"),
        ("stage", record.stage),
        ("admitted", f"{record.admitted_at:%Y-%m-%d %H:%M:%S} UTC, {ago(record.admitted_at, now)}"),
        ("rows", f"{record.rows:,} learnt from"),
        ("size", _size(record)),
        ("features", short(record.feature_digest)),
    ]
    if standing and standing.now_ms and record.trained_through_ms:
        behind = span((standing.now_ms - record.trained_through_ms) / 1000)
        facts.append(("data", f"learnt up to {behind} before the newest label, in event time"))
    if figures and figures.loss is not None and standing:
        right = "" if figures.accuracy is None else f", {figures.accuracy:.2%} right"
        facts.append(
            ("loss", f"{figures.loss:.4f} {standing.metric} over {figures.rows:,} rows{right}")
        )
    if figures:
        facts += [("", words) for words in measure_lines(figures)]
    if comparison:
        facts.append(("evidence", _evidence(comparison)))
    facts += [("variant", _variant(one)) for one in record.variants]
    facts += [("warning", words) for words in record.warnings]
    if refusal:
        facts.append(("refused", f"{refusal.check}: found {refusal.found}, limit {refusal.limit}"))
    return [f"{name:<9} {words}" for name, words in facts]


def measure_lines(figures: ColumnFigures) -> list[str]:
    """What else is known of how good scores were: classes, the newest blocks, the worst slices."""
    whole, recent, lines = figures.whole, figures.recent, []
    if whole.precision is not None and whole.recall is not None:
        apart = whole.calibration_error
        calibrated = "" if apart is None else f", calibration error {apart:.4f}"
        lines.append(f"precision {whole.precision:.2%}, recall {whole.recall:.2%}{calibrated}")
    if recent.loss is not None:
        lines.append(f"lately {recent.loss:.4f} over {recent.rows:,} rows")
    told = [s for s in figures.slices if s.measures.loss is not None]
    for one in sorted(told, key=lambda s: -(s.measures.loss or 0.0))[:WORST_SLICES]:
        measures = one.measures
        lines.append(f"{one.label}={one.value}: {measures.loss:.4f} over {measures.rows:,} rows")
    return lines


def _size(record: ModelRecord) -> str:
    memory = f", {record.memory_bytes / 1e6:.1f} MB loaded" if record.memory_bytes else ""
    latency = f", p99 {record.latency_p99_ms:.3g} ms for 64 rows" if record.latency_p99_ms else ""
    return f"{record.size_bytes:,} bytes{memory}{latency}"


def _variant(found: Variant) -> str:
    return (
        f"{found.precision}: {found.size_bytes:,} bytes, scores at most {found.difference:.2g} apart "
        f"of {found.tolerance:g} allowed"
    )


def figures_of(record: ModelRecord, found: Models) -> ColumnFigures | None:
    """How good the model's column of scores is; None when it has none of its own."""
    standing = found.standings.get(record.pipeline)
    if standing is None:
        return None
    column = _column(record, found)
    return next((f for f in standing.figures if f.column == column), None)


def comparison_of(record: ModelRecord, found: Models) -> Comparison | None:
    """The comparison that the model takes part in as its trainer's newest."""
    standing = found.standings.get(record.pipeline)
    if standing is None or not _is_newest(record, found):
        return None
    return next((c for c in standing.comparisons if c.trainer == record.trainer), None)


def _column(record: ModelRecord, found: Models) -> str:
    active = found.active.get(record.pipeline)
    if active and active.digest == record.digest:
        return "active"
    if active and active.anchored.digest == record.digest:
        return "anchor"
    return record.trainer if _is_newest(record, found) else ""


def _is_newest(record: ModelRecord, found: Models) -> bool:
    rivals = (
        r
        for r in found.records
        if (r.pipeline, r.trainer) == (record.pipeline, record.trainer) and r.stage != "refused"
    )
    newest = max(rivals, key=lambda r: r.admitted_at, default=None)
    return newest is not None and newest.digest == record.digest


def _evidence(found: Comparison) -> str:
    left = "" if found.expected_blocks is None else f", about {found.expected_blocks} more expected"
    return (
        f"against {found.over}: {found.word}, log E {found.log_e:.2f} of {found.threshold:.2f} after "
        f"{found.blocks} blocks{left}; better by at least {found.better_by_at_least:.4g}. "
        f"{found.detail}".rstrip()
    )


def one_model(records: Sequence[ModelRecord], prefix: str) -> ModelRecord:
    """The model whose digest begins so.

    Raises:
        InvalidInputError: None does, or several do; names the candidates.
    """
    found = [r for r in records if r.digest.startswith(prefix.lower())]
    if len({(r.pipeline, r.digest) for r in found}) == 1:
        return found[0]
    if not found:
        raise InvalidInputError(
            f"model {prefix!r}: found no digest that begins so among {len(records)}; "
            "see flyball models list"
        )
    raise InvalidInputError(
        f"model {prefix!r}: found {len(found)} that begin so: "
        f"{named(f'{r.digest[:12]} ({r.trainer} of {r.pipeline})' for r in found)}; "
        "say more of the digest, or --pipeline"
    )
