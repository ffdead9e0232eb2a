"""Rows of decisions and verdicts as people read them, the newest first. Pure."""

import json
import math
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from pydantic import BaseModel, Field

from flyball_proto.columns import (
    ASSESSED,
    Category,
    Column,
    Decisions,
    Quality,
    Rows,
    Verdict,
    Verdicts,
)

MAX_ROWS: Final = 1000
"""Of one answer."""

GRADES: Final = ((0.6, "grave"), (0.3, "serious"), (0.1, "moderate"), (0.0, "slight"))
"""Least impact of each word, gravest first."""


class DecisionRow(BaseModel):
    """What a model said about one element at one time."""

    decision: str = Field(description="`<pipeline>.<METRICS sequence>.<sample>`.")
    time_ms: int = Field(description="Event time, Unix milliseconds.")
    element: str
    labels: dict[str, str]
    score: float | None = Field(description="None: the model gave no finite score.")
    class_name: str | None = Field(
        default=None, description="Of several classes the one that the score is about."
    )
    action: str | None = Field(description="Proposed; None: nothing is to be done.")
    model: str = Field(description="Digest of the model that decided.")
    trainer: str
    stage: str
    epoch: int
    quality: list[str] = Field(description="What is known to be wrong with the inputs.")


class PotentialImpact(BaseModel):
    """What a wrong action would do; TS 28.105 potentialImpactInfo."""

    impacted_scope: list[str] = Field(description="Elements that the action changes.")
    impact: float = Field(
        description="From 0 to 1, by severity, reversibility, how much of the group was acted on "
        "lately, and other pipelines."
    )
    words: str


class VerdictRow(DecisionRow):
    """A decision, and what risk judged of it; None where nothing was proposed or is known."""

    verdict: str
    category: str
    risk: float = Field(description="Probability of an error times impact.")
    reason: str
    error: float | None = Field(default=None, description="Probability that acting is wrong.")
    decision_confidence_score: float | None = Field(
        default=None, description="TS 28.105 decisionConfidenceScore: 1 - error."
    )
    potential_impact_info: PotentialImpact | None = None
    confidence: float | None = Field(
        default=None, description="1 - the second largest conformal p-value; once calibrated."
    )
    credibility: float | None = Field(
        default=None, description="Largest conformal p-value; once calibrated."
    )
    novelty: float | None = Field(
        default=None, description="p-value of inputs like the training data: small = unlike it."
    )
    disagreement: float | None = Field(
        default=None, description="Distance of the score from the fallback's."
    )


class ElementRow(BaseModel):
    """An element as it was last decided on."""

    element: str
    labels: dict[str, str]
    time_ms: int
    score: float | None
    action: str | None
    verdict: str
    decision: str


def decision_rows(batch: Decisions, *, element: str | None = None) -> Iterator[DecisionRow]:
    """Rows of a batch, the last first; of one element, if given."""
    for i in _chosen(batch.rows, element):
        yield DecisionRow(**_decided(batch, i))


def verdict_rows(
    batch: Verdicts, *, element: str | None = None, verdict: Verdict | None = None
) -> Iterator[VerdictRow]:
    """Rows of a batch, the last first; of one element or with one verdict, if given."""
    places = _places(batch)
    for i in _chosen(batch.rows, element):
        if verdict is None or batch.verdict[i] == verdict:
            found = _assessed(batch, i, int(places[i]))
            yield VerdictRow(**_decided(batch, i), **_judged(batch, i), **found)


def last_rows(batch: Verdicts) -> Iterator[ElementRow]:
    """Each element's last row of a batch."""
    last = np.full(len(batch.rows.element), -1, np.int64)
    last[batch.rows.element_index] = np.arange(len(batch.rows))
    for i in sorted((int(i) for i in last if i >= 0), reverse=True):
        facts = _decided(batch, i) | _judged(batch, i)
        yield ElementRow(**{name: facts[name] for name in ElementRow.model_fields})


def _chosen(rows: Rows, element: str | None) -> Iterator[int]:
    if element is None:
        yield from range(len(rows) - 1, -1, -1)
    elif element in rows.element:
        places = np.flatnonzero(rows.element_index == rows.element.index(element))
        yield from (int(i) for i in places[::-1])


def _decided(batch: Decisions | Verdicts, i: int) -> dict[str, Any]:
    rows, place = batch.rows, int(batch.rows.element_index[i])
    model, score = batch.model[int(batch.model_index[i])], float(batch.score[i])
    action = int(batch.action_index[i])
    return {
        "decision": f"{batch.pipeline}.{rows.sequence[i]}.{rows.sample[i]}",
        "time_ms": int(rows.time_ms[i]),
        "element": rows.element[place],
        "labels": json.loads(rows.label_set[int(rows.label_index[place])]),
        "score": score if math.isfinite(score) else None,
        "class_name": batch.class_name[int(batch.class_index[i])] if batch.class_name else None,
        "action": batch.action[action - 1] if action else None,
        "model": model.digest,
        "trainer": model.trainer,
        "stage": model.stage,
        "epoch": model.epoch,
        "quality": [flag.name.lower() for flag in Quality(int(batch.quality[i])) if flag.name],
    }


def _places(batch: Verdicts) -> Column:
    """Of each row its place in the assessment; -1 where nothing was proposed or assessed."""
    proposed = batch.action_index > 0
    if not len(batch.assessment.error):
        proposed = np.zeros(len(proposed), bool)
    return np.where(proposed, np.cumsum(proposed) - 1, -1)


def _assessed(batch: Verdicts, i: int, place: int) -> dict[str, Any]:
    if place < 0:
        return {}
    columns = ((name, getattr(batch.assessment, name)) for name in ASSESSED)
    values = {name: float(column[place]) for name, column in columns if len(column)}
    found: dict[str, Any] = {n: round(v, 6) for n, v in values.items() if math.isfinite(v)}
    impact = found.pop("impact", None)
    if impact is not None:
        scope = [batch.rows.element[int(batch.rows.element_index[i])]]
        words = f"{_grade(impact)} if it is wrong, {impact:.2f} of 1"
        found["potential_impact_info"] = PotentialImpact(
            impacted_scope=scope, impact=impact, words=words
        )
    if "error" in found:
        found["decision_confidence_score"] = round(1.0 - found["error"], 6)
    return found


def _grade(impact: float) -> str:
    return next(word for least, word in GRADES if impact >= least)


def _judged(batch: Verdicts, i: int) -> dict[str, Any]:
    reason = int(batch.reason_index[i])
    return {
        "verdict": Verdict(int(batch.verdict[i])).name.lower(),
        "category": Category(int(batch.category[i])).name.lower(),
        "risk": float(batch.risk[i]),
        "reason": batch.reason[reason - 1] if reason else "",
    }
