"""Decisions and policies for the tests of risk, short to write."""

import json
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from flyball_kit.fold import Input
from flyball_proto.columns import (
    F64,
    I64,
    U8,
    U16,
    U32,
    U64,
    Decisions,
    Flow,
    Mark,
    Model,
    Rows,
    Verdicts,
    decode_verdicts,
    encode_decisions,
)
from flyball_proto.spec import Pipeline
from flyball_risk.fold import RiskFold
from flyball_risk.judging.frame import Frame
from flyball_risk.judging.policy import Policy, policy_of

LEARNT = Model("a" * 64, 3, "active", "recent")
BASELINE = Model("b" * 64, 1, "active", "baseline")


@dataclass(frozen=True)
class Row:
    """One decision row; its METRICS sequence is its place in the test."""

    element: str = "cell-1"
    time_ms: int = 0
    score: float = 0.95
    action: str | None = "offload"
    quality: int = 0
    site: str = "s1"
    model: Model = LEARNT


def pipeline(*decisions: dict[str, Any], task: str = "binary", **risk: Any) -> Pipeline:
    """A pipeline that proposes `offload` unless told otherwise, and withholds nothing at random."""
    default = {"action": "offload", "score_at_least": 0.5, "cooldown": "60s"}
    expression = "max(load) > 0.9" if task == "binary" else "last(load)"
    return Pipeline.model_validate(
        {
            "apiVersion": "flyball/v1",
            "kind": "Pipeline",
            "metadata": {"name": "congestion"},
            "spec": {
                "source": "ran",
                "target": {"task": task, "expression": expression, "horizon": "30s"},
                "decisions": list(decisions) or [default],
                "risk": {"control_share": 0} | risk,
            },
        }
    )


def policy(*decisions: dict[str, Any], revision: int = 7, **given: Any) -> Policy:
    return policy_of(pipeline(*decisions, **given), revision)


def batch(
    rows: Sequence[Row], first: int = 1, mark: str | None = None, tick_ms: int = 0
) -> Decisions:
    """A batch whose rows have the METRICS sequences from `first` on."""
    elements = list(dict.fromkeys(r.element for r in rows))
    sites = {r.element: json.dumps({"site": r.site}) for r in rows}
    label_sets = list(dict.fromkeys(sites.values()))
    models = list(dict.fromkeys(r.model for r in rows))
    actions = list(dict.fromkeys(r.action for r in rows if r.action))
    n = len(rows)
    return Decisions(
        "congestion",
        "f" * 64,
        Flow(
            "hub.METRICS",
            first if n else 0,
            first + n - 1 if n else 0,
            mark=Mark(mark, 0) if mark else None,
            tick_ms=tick_ms,
            revisions={"pipeline": 2},
        ),
        Rows(
            elements,
            np.array([elements.index(r.element) for r in rows], U32),
            np.arange(first, first + n, dtype=U64),
            np.zeros(n, U16),
            np.array([r.time_ms for r in rows], I64),
            label_sets,
            np.array([label_sets.index(sites[e]) for e in elements], U32),
        ),
        models,
        np.array([models.index(r.model) for r in rows], U8),
        np.array([r.score for r in rows], F64),
        actions,
        np.array([actions.index(r.action) + 1 if r.action else 0 for r in rows], U8),
        np.array([r.quality for r in rows], U8),
    )


def message(decisions: Decisions, sequence: int = 1) -> Input:
    return Input(sequence, 0, "decisions.congestion.0", None, encode_decisions(decisions))


def judged(rows: Sequence[Row], under: Policy | None = None, *, learns: bool = False) -> Verdicts:
    """All rows in one batch through a new fold; the service `learns`, so nothing is proven at first."""
    given = under or policy()
    fold = RiskFold(lambda _: Frame(given, learns=learns))
    fold.step(message(batch(rows)))
    output = fold.take()
    assert output is not None
    return decode_verdicts(output.data)


def readable(verdicts: Verdicts) -> list[tuple[Any, ...]]:
    """Rows as tuples that do not depend on the order of dictionaries."""
    rows = verdicts.rows
    return [
        (
            rows.element[rows.element_index[i]],
            int(rows.sequence[i]),
            int(rows.time_ms[i]),
            ("", *verdicts.action)[verdicts.action_index[i]],
            verdicts.model[verdicts.model_index[i]].digest,
            int(verdicts.verdict[i]),
            int(verdicts.category[i]),
            float(verdicts.risk[i]),
            ("", *verdicts.reason)[verdicts.reason_index[i]],
        )
        for i in range(len(rows))
    ]
