"""Streams and buckets with their bounds. Every bound and its default stands here and nowhere else.

At a stream's bound: `discard: new` streams refuse the publisher (JetStream error 10077), which the
fold runner treats as back-pressure; `discard: old` streams forget their oldest messages.
"""

from dataclasses import dataclass
from typing import Final, Literal

MIB: Final = 1 << 20
DAY_S: Final = 86_400

MAX_PAYLOAD_BYTES: Final = 8 * MIB
"""The server refuses anything larger (`Maximum Payload Violation`) and closes the connection."""

MAX_REPORT_BYTES: Final = 256 << 10
"""A larger report is quarantined without being decoded."""

MAX_SAMPLES_PER_REPORT: Final = 4096
MAX_FIELDS_PER_SAMPLE: Final = 1024

BATCH_BYTES: Final = 512 << 10
"""A fold commits when its output reaches this size."""

MARK_TIMEOUT_S: Final = 60.0
"""Lockstep: whoever has not settled a mark by then is named and the replay fails."""


@dataclass(frozen=True, slots=True)
class Stream:
    """One JetStream stream.

    `max_bytes` is the bound on storage, `max_age_s` 0 keeps for ever, `discard` says what happens
    at the bound, `partitioned` streams carry the partition transform, `raw` ones hold payloads as
    elements sent them (read by ingest alone).
    """

    name: str
    subjects: tuple[str, ...]
    max_bytes: int
    discard: Literal["new", "old"]
    max_age_s: int = 0
    duplicate_window_s: int = 120
    partitioned: bool = False
    raw: bool = False


METRICS: Final = Stream(
    "METRICS", ("metrics.>", "labels.>"), 256 * MIB, "new", partitioned=True, raw=True
)
FEATURES: Final = Stream("FEATURES", ("features.>",), 256 * MIB, "new")
SAMPLES: Final = Stream("SAMPLES", ("samples.>",), 256 * MIB, "new")
DECISIONS: Final = Stream("DECISIONS", ("decisions.>",), 256 * MIB, "new")
VERDICTS: Final = Stream("VERDICTS", ("verdicts.>",), 256 * MIB, "new")
ACTIONS: Final = Stream("ACTIONS", ("actions.>",), 64 * MIB, "old", max_age_s=30 * DAY_S)
OUTCOMES: Final = Stream("OUTCOMES", ("outcomes.>",), 64 * MIB, "new", raw=True)
QUARANTINE: Final = Stream(
    "QUARANTINE", ("quarantine.>",), 64 * MIB, "old", max_age_s=7 * DAY_S, raw=True
)
EVENTS: Final = Stream(
    "EVENTS",
    ("model.>", "evaluation.>", "deployment.>", "risk.>", "drift.>", "pipeline.>", "runtime.>"),
    64 * MIB,
    "old",
    max_age_s=400 * DAY_S,
)
AUDIT: Final = Stream("AUDIT", ("audit.>",), 64 * MIB, "old", max_age_s=400 * DAY_S)
DEAD: Final = Stream("DEAD", ("dead.>",), 64 * MIB, "old", max_age_s=30 * DAY_S)

STREAMS: Final = (
    METRICS,
    FEATURES,
    SAMPLES,
    DECISIONS,
    VERDICTS,
    ACTIONS,
    OUTCOMES,
    QUARANTINE,
    EVENTS,
    AUDIT,
    DEAD,
)

RETAIN_RATIO: Final = 0.5
"""A fold's writer purges its subject behind all readers once the stream is fuller than this."""


def partition_transform(partitions: int) -> tuple[str, str]:
    """Source and destination of METRICS' subject transform."""
    return (
        "*.*.*",
        f"{{{{wildcard(1)}}}}.{{{{wildcard(2)}}}}.{{{{partition({partitions},3)}}}}.{{{{wildcard(3)}}}}",
    )


@dataclass(frozen=True, slots=True)
class Bucket:
    """One JetStream key-value bucket, written by compare-and-set.

    With `max_age_s` what was not written for so long is gone; 0 keeps for ever. At the bound a bucket
    refuses what is new; with `discard: old` it forgets its oldest keys instead.
    """

    name: str
    max_bytes: int
    history: int = 1
    max_value_bytes: int = MIB
    max_age_s: int = 0
    discard: Literal["new", "old"] = "new"


PIPELINES: Final = Bucket("pipelines", 16 * MIB, history=8)
MODELS: Final = Bucket("models", 64 * MIB)
DEPLOYMENTS: Final = Bucket("deployments", 16 * MIB, history=8)
SCOREBOARD: Final = Bucket("scoreboard", 64 * MIB)
CALIBRATION: Final = Bucket("calibration", 16 * MIB)
HOLDS: Final = Bucket("holds", 64 * MIB)
CONTEXTS: Final = Bucket("contexts", 128 * MIB, discard="old")
STOPS: Final = Bucket("stops", MIB, history=8)
BREAKERS: Final = Bucket("breakers", MIB, history=8)
AUTONOMY: Final = Bucket("autonomy", MIB, history=8)
REVIEWS: Final = Bucket("reviews", 64 * MIB)
ACKNOWLEDGED: Final = Bucket("acknowledged", 32 * MIB, max_age_s=7 * DAY_S, discard="old")
PROGRESS: Final = Bucket("progress", 4 * MIB)
STANDINGS: Final = Bucket("standings", 16 * MIB)
RUNTIMES: Final = Bucket("runtimes", 4 * MIB, max_age_s=3600)
ACCESS: Final = Bucket("access", 4 * MIB)
ELEMENTS: Final = Bucket("elements", 64 * MIB)
POSITIONS: Final = Bucket("positions", 64 * MIB, max_value_bytes=4 * MIB)

BUCKETS: Final = (
    PIPELINES,
    MODELS,
    DEPLOYMENTS,
    SCOREBOARD,
    CALIBRATION,
    HOLDS,
    CONTEXTS,
    STOPS,
    BREAKERS,
    AUTONOMY,
    REVIEWS,
    ACKNOWLEDGED,
    PROGRESS,
    STANDINGS,
    RUNTIMES,
    ACCESS,
    ELEMENTS,
    POSITIONS,
)
