"""A pipeline, compiled to what its samples depend on. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from flyball_proto.columns import DISPATCHED, Verdict
from flyball_proto.spec import Expression, Pipeline, Source, feature_digest, target_metrics
from flyball_proto.streams import MIB

MAX_AWAITING_ROWS: Final = 100_000
MAX_AWAITING_BYTES: Final = 64 * MIB
"""Of features; whichever is reached first."""

SILENT_INTERVALS: Final = 10
"""An element that says nothing for so long, or for a horizon more, has fallen silent."""

APPLIED: Final = frozenset(int(verdict) for verdict in DISPATCHED)
WITHHELD: Final = int(Verdict.WITHHOLD)


@dataclass(frozen=True, slots=True)
class Rule:
    """Which truth belongs to a row. `expression` None: it is published (feedback).

    `targets` are the metrics whose raw values stand beside the features.
    """

    expression: Expression | None
    targets: tuple[str, ...]
    horizon_ms: int
    interval_ms: int

    @property
    def is_known_at_once(self) -> bool:
        """Whether the row's own value is the truth about it."""
        return self.expression is not None and self.expression.aggregate is None

    @property
    def patience_ms(self) -> int:
        """How long after a row's time the truth about it is waited for, by the partition's clock."""
        if self.expression is None:
            return self.horizon_ms
        return self.horizon_ms + max(self.horizon_ms, SILENT_INTERVALS * self.interval_ms)


@dataclass(frozen=True, slots=True)
class Sampling:
    """How samples of one pipeline are made; see `compile_sampling`."""

    pipeline: str
    feature_digest: str
    rule: Rule
    control_share: float
    rows_per_s: float
    """Samples a second of event time, of one partition."""
    revisions: Mapping[str, int]

    def weight(self, verdict: int) -> float:
        """What a row with this verdict counts: 1 / probability of having been left alone."""
        drawn = verdict == WITHHELD and self.control_share > 0
        return 1.0 / self.control_share if drawn else 1.0


def compile_sampling(
    pipeline: Pipeline, source: Source, *, revision: int, partitions: int
) -> Sampling:
    """Compile a pipeline that was validated against its source."""
    target = pipeline.spec.target
    return Sampling(
        pipeline=pipeline.name,
        feature_digest=feature_digest(pipeline, source),
        rule=Rule(
            target.parsed, target_metrics(pipeline), target.horizon_ms, source.spec.interval_ms
        ),
        control_share=pipeline.spec.risk.control_share,
        rows_per_s=pipeline.spec.promotion.evidence_rows_per_s / partitions,
        revisions={"labels": revision},
    )


def max_awaiting(width: int) -> int:
    """Rows of so many features that may await their truth."""
    return max(1, min(MAX_AWAITING_ROWS, MAX_AWAITING_BYTES // (4 * max(1, width))))
