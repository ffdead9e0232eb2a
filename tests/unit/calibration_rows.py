"""What tests of calibrating share: a pipeline's terms, and labelled samples as ingest writes them."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from tests.unit.sample_rows import documents

from flyball_proto.columns import (
    F32,
    F64,
    I64,
    U8,
    U16,
    U32,
    U64,
    Flow,
    Mark,
    Model,
    Rows,
    Samples,
    Verdict,
)
from flyball_proto.spec import Pipeline, Source
from flyball_risk.calibrating.labelled import Terms, terms
from flyball_risk.judging.policy import policy_of

TREES = Model("a" * 64, 3, "active", "trees")
BASELINE = Model("b" * 64, 1, "active", "baseline")
OFFLOAD = {"action": "offload", "score_at_least": 0.5, "cooldown": "60s", "severity": "low"}
BLOCK_MS = 120_000
"""Four horizons of 30 s."""


@dataclass(frozen=True)
class Labelled:
    """One row of SAMPLES; `weight` as ingest gives it."""

    element: str = "e"
    time_ms: int = 0
    score: float = 0.9
    label: float = 1.0
    action: str | None = "offload"
    verdict: Verdict = Verdict.ADVISE
    censored: bool = False
    weight: float = 1.0
    model: Model = TREES
    novelty: float = float("nan")


def specification(
    *decisions: dict[str, Any], expression: str = "max(load) > 0.9", **risk: Any
) -> tuple[Source, Pipeline]:
    return documents(expression, decisions=list(decisions) or [OFFLOAD], risk=risk)


def terms_of(*decisions: dict[str, Any], **given: Any) -> Terms:
    source, pipeline = specification(*decisions, **given)
    return terms(pipeline, source, policy_of(pipeline, 1))


def samples(
    rows: Sequence[Labelled], first: int = 1, mark: Mark | None = None, digest: str = "f" * 64
) -> Samples:
    """One message; `category` and `disagreement` are left as an older version left them."""
    n = len(rows)
    elements = list(dict.fromkeys(r.element for r in rows))
    models = list(dict.fromkeys(r.model for r in rows))
    actions = list(dict.fromkeys(r.action for r in rows if r.action))

    def column(name: str, kind: Any) -> Any:
        return np.array([getattr(r, name) for r in rows], kind)

    times = column("time_ms", I64)
    return Samples(
        pipeline="p",
        feature_digest=digest,
        flow=Flow("hub.METRICS", first, first + max(0, n - 1), mark=mark),
        rows=Rows(
            elements,
            np.array([elements.index(r.element) for r in rows], U32),
            np.arange(first, first + n, dtype=U64),
            np.zeros(n, U16),
            times,
            ("{}",),
            np.zeros(len(elements), U32),
        ),
        feature=np.zeros((n, 1), F32),
        label=column("label", F64),
        known_ms=times + 30_000,
        weight=column("weight", F64),
        censored=column("censored", U8),
        model=models,
        model_index=np.array([models.index(r.model) for r in rows], U8),
        score=column("score", F64),
        verdict=column("verdict", U8),
        quality=np.zeros(n, U8),
        action=actions,
        action_index=np.array([actions.index(r.action) + 1 if r.action else 0 for r in rows], U8),
        novelty=column("novelty", F32),
    )


def stream(
    n: int, *, wrong: float = 0.1, seed: int = 0, start: int = 1, every_ms: int = 10_000
) -> list[Labelled]:
    """Advised rows of as many elements as rows, whose score knows how likely they are wrong."""
    rng = np.random.default_rng(seed)
    q = rng.beta(0.5, 0.5 * (1 - wrong) / wrong, n)
    return [
        Labelled(
            f"e{start + i}",
            (start + i) * every_ms,
            round(float(1 - 0.45 * q[i]), 6),
            float(rng.random() >= q[i]),
            novelty=round(float(1 - q[i] * rng.random()), 6),
        )
        for i in range(n)
    ]
