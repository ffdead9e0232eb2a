"""What lies behind a decision or a model, and how it reads. Pure."""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

from flyball_proto.columns import Category, Verdict
from flyball_proto.deployments import CanaryMoved, DeploymentActivated
from flyball_proto.events import (
    Action,
    Event,
    Manifest,
    ModelRecord,
    ModelRefused,
    ModelTrained,
    PipelineApplied,
    Signature,
)
from flyball_proto.holds import Hold
from flyball_proto.judgements import Judgement, Refreshed, Superior


@dataclass(frozen=True, slots=True)
class DecidedRow:
    """One decision as its verdict records it. `metrics` is the range that its batch covers."""

    id: str
    element: str
    labels: str
    time_ms: int
    score: float
    class_name: str | None
    """Of several classes the one that the score is about."""
    action: str | None
    verdict: Verdict
    category: Category
    risk: float
    reason: str | None
    model: str
    trainer: str
    stage: str
    epoch: int
    feature_digest: str
    revisions: dict[str, int]
    stored_at: datetime
    partition: int
    metrics: tuple[int, int]
    sequence: int = 0
    """Of its batch in VERDICTS."""
    chain: str = ""
    """Number and hash of its batch in the chain of verdicts; empty = from before there was one."""
    quality: tuple[str, ...] = ()
    signals: Mapping[str, float] = field(default_factory=dict)
    """What is known of novelty, disagreement, confidence, credibility and error."""
    policy: str = ""
    """SHA-256 of the rules that it was judged by; empty = not recorded then."""


@dataclass(frozen=True, slots=True)
class Trail:
    """Everything that was found; None or empty = nothing of the kind, or not kept any more."""

    pipeline: str
    digest: str
    row: DecidedRow | None = None
    action: Action | None = None
    hold: Hold | None = None
    placements: tuple[DeploymentActivated | CanaryMoved, ...] = ()
    """What made the model answer: for a row the last one up to its epoch, for a model all."""
    judgement: Judgement | None = None
    record: ModelRecord | None = None
    trained: ModelTrained | None = None
    refused: ModelRefused | None = None
    manifest: Manifest | None = None
    signature: Signature | None = None
    applied: PipelineApplied | None = None
    missing: tuple[str, ...] = field(default=())
    """What should have been there and was not, in words."""

    def as_json(self) -> dict[str, Any]:
        """Plain values, for `--json`."""
        row = self.row
        return {
            "pipeline": self.pipeline,
            "model": self.digest,
            "decision": None if row is None else _row_json(row),
            "action": _dump(self.action),
            "hold": _dump(self.hold),
            "placements": [_dump(event) for event in self.placements],
            "judgement": _dump(self.judgement),
            "record": _dump(self.record),
            "trained": _dump(self.trained),
            "refused": _dump(self.refused),
            "manifest": _dump(self.manifest),
            "signature": _dump(self.signature),
            "applied": _dump(self.applied),
            "missing": list(self.missing),
        }


def lines(trail: Trail) -> Iterator[str]:
    """The trail for people, from the decision back to the data."""
    if trail.row is not None:
        yield from _row_lines(trail.row)
        yield from _sent_lines(trail)
    yield from origin_lines(trail)


def origin_lines(trail: Trail) -> Iterator[str]:
    """Where the model comes from and why it answered, for people."""
    yield from _model_lines(trail)
    for placed in trail.placements:
        yield _entry(*_placement(placed))
    if trail.judgement is not None:
        yield _entry("evidence", _evidence(trail.judgement))
    if trail.manifest is not None:
        yield from _manifest_lines(trail.manifest)
    if trail.signature is not None:
        yield _entry("signed", f"by {trail.signature.key}")
    if (spec := trail.applied) is not None:
        words = f"revision {spec.revision} of {spec.pipeline}, applied by {spec.by} {_at(spec.at)}"
        of_source = f" revision {spec.source_revision}" if spec.source_revision else ""
        features = f"features {spec.feature_digest[:8]}"
        yield _entry("spec", f"{words}, source {spec.source}{of_source}, {features}")
    for words in trail.missing:
        yield _entry("missing", words)


def _row_lines(row: DecidedRow) -> Iterator[str]:
    proposed = f" → {row.action}" if row.action else ", proposes nothing"
    yield _entry("decision", f"{row.id}: {row.element}, {_ms(row.time_ms)}")
    of = f" of {row.class_name}" if row.class_name else ""
    yield _entry("", f"score {row.score:g}{of}{proposed}")
    why = f": {row.reason}" if row.reason else ""
    name, category = row.verdict.name.lower(), row.category.name.lower()
    yield _entry("verdict", f"{name}, {category} risk {row.risk:.2f}{why}")
    under = ", ".join(f"{k} {v}" for k, v in sorted(row.revisions.items()))
    yield _entry("", f"stored {_at(row.stored_at)}, under revisions of {under}")
    first, last = row.metrics
    yield _entry("metrics", f"METRICS {first} to {last}, partition {row.partition}")


def _sent_lines(trail: Trail) -> Iterator[str]:
    if trail.hold is not None:
        yield _entry("hold", _hold(trail.hold))
    if trail.action is not None:
        yield _entry("action", f"{trail.action.action} was sent to {trail.action.element}")
    elif trail.row is not None and trail.row.action is not None:
        yield _entry("action", "none was sent")


def _model_lines(trail: Trail) -> Iterator[str]:
    row, record, made = trail.row, trail.record, trail.trained
    who = f" as {row.stage}, epoch {row.epoch}" if row else ""
    about = record or made
    kind = f", {about.kind} of trainer {about.trainer}" if about else ""
    yield _entry("model", f"{trail.digest[:16]}{kind}{who}")
    if record is not None:
        yield _entry("", f"{record.stage}, admitted {_at(record.admitted_at)}")
    if (no := trail.refused) is not None:
        yield _entry("refused", f"{no.check}: found {no.found}, allowed {no.limit}")
    if made is not None:
        yield _entry("trained", f"{_at(made.at)}, because of {made.because}, {made.rows} rows")


def _manifest_lines(manifest: Manifest) -> Iterator[str]:
    through = ", ".join(
        f"{sequence} of partition {p}" for p, sequence in sorted(manifest.trained_through.items())
    )
    if through:
        yield _entry("learnt", f"up to {_ms(manifest.trained_through_ms)}: METRICS {through}")
    if manifest.first_ms:
        first = f"from {_ms(manifest.first_ms)} on, METRICS {manifest.first_sequence}"
        yield _entry("", f"{manifest.rows} rows {first}")
    if manifest.holdout_from_ms:
        yield _entry("", f"rows from {_ms(manifest.holdout_from_ms)} on were held out")
    if manifest.dataset_digest:
        yield _entry("dataset", manifest.dataset_digest)
    if manifest.parameters:
        chosen = ", ".join(f"{k} {v}" for k, v in sorted(manifest.parameters.items()))
        yield _entry("settings", f"seed {manifest.seed}; {chosen}")
    if manifest.platform:
        yield _entry("platform", manifest.platform)


def _placement(event: DeploymentActivated | CanaryMoved) -> tuple[str, str]:
    if isinstance(event, CanaryMoved):
        return "canary", f"{event.percent} % from epoch {event.epoch}, {_at(event.at)}"
    by = f" by {event.by}" if event.by else ""
    words = f"{event.change}{by}, epoch {event.epoch}, {_at(event.at)}: {event.reason}"
    return "active", words


def _evidence(judged: Judgement) -> str:
    words = f"judgement {judged.number} at {_ms(judged.event_ms)}"
    if isinstance(judged, Superior):
        return (
            f"{words}, comparison {judged.comparison}: log E {judged.log_e:.2f} against "
            f"{judged.threshold:.2f} over {judged.blocks} blocks, better by at least "
            f"{judged.better_by:g}"
        )
    if isinstance(judged, Refreshed):
        return (
            f"{words}: at most {judged.upper_bound:.4f} worse than the anchor "
            f"{judged.anchor[:12]} over {judged.rows} rows"
        )
    return f"{words}: {judged.what}"


def _hold(hold: Hold) -> str:
    if hold.state == "open":
        return f"waits for a person since {_at(hold.opened_at)}"
    who = f" by {hold.answered_by}" if hold.answered_by else ""
    why = f": {hold.answered_why}" if hold.answered_why else ""
    return f"{hold.state}{who}{why}"


def _entry(name: str, words: str) -> str:
    return f"{name:<10}{words}"


def _dump(value: Event | Action | Hold | ModelRecord | Manifest | Signature | None) -> Any:
    return None if value is None else value.model_dump(mode="json")


def _row_json(row: DecidedRow) -> dict[str, Any]:
    plain = {name: getattr(row, name) for name in row.__slots__}
    return plain | {
        "verdict": row.verdict.name.lower(),
        "category": row.category.name.lower(),
        "stored_at": row.stored_at.isoformat(),
        "metrics": list(row.metrics),
        "signals": dict(row.signals),
        "quality": list(row.quality),
    }


def _at(time: datetime) -> str:
    return time.astimezone(UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def _ms(time_ms: int) -> str:
    return _at(datetime.fromtimestamp(time_ms / 1000, UTC))
