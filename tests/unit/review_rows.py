"""Reviews and labels for the tests of risk, short to write."""

from datetime import UTC, datetime
from typing import Any

import numpy as np
from tests.unit.risk_rows import LEARNT, Row, batch, pipeline

from flyball_proto.columns import F32, F64, I64, U8, Flow, Samples
from flyball_proto.reviews import Review
from flyball_proto.spec import Source, feature_digest

AT = datetime(2026, 1, 1, tzinfo=UTC)

SOURCE = Source.model_validate(
    {
        "apiVersion": "flyball/v1",
        "kind": "Source",
        "metadata": {"name": "ran"},
        "spec": {"interval": "1s", "metrics": ["load"]},
    }
)
DIGEST = feature_digest(pipeline(), SOURCE)


def truth(rows: list[Row], label: float) -> Samples:
    """What labels said of rows that the tests decided, all the same."""
    n = len(rows)
    given = batch(rows)
    return Samples(
        "congestion",
        DIGEST,
        Flow("hub.METRICS", 1, n),
        given.rows,
        np.zeros((n, 1), F32),
        np.full(n, label, F64),
        np.array([r.time_ms + 30_000 for r in rows], I64),
        np.ones(n, F64),
        np.zeros(n, U8),
        [LEARNT],
        np.zeros(n, U8),
        given.score,
        np.zeros(n, U8),
        np.zeros(n, U8),
        action=given.action,
        action_index=given.action_index,
        category=np.zeros(n, U8),
        novelty=np.full(n, np.nan, F32),
        disagreement=np.full(n, np.nan, F32),
    )


def review(name: str = "1", **given: Any) -> Review:
    fields = {
        "id": f"congestion.{name}.0",
        "pipeline": "congestion",
        "partition": 0,
        "element": "a",
        "action": "offload",
        "score": 0.9,
        "risk": 0.02,
        "category": "low",
        "verdict": "clear",
        "model": "a" * 64,
        "trainer": "recent",
        "epoch": 1,
        "time_ms": 1,
        "share": 0.01,
        "opened_at": AT,
    }
    return Review(**(fields | given))
