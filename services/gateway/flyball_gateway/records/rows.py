"""Rows of decisions and verdicts as people read them, the newest first. Pure."""

import json
import math
from collections.abc import Iterator
from typing import Any, Final

import numpy as np
from pydantic import BaseModel, Field

from flyball_proto.columns import Category, Decisions, Quality, Rows, Verdict, Verdicts

MAX_ROWS: Final = 1000
"""Of one answer."""


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


class VerdictRow(DecisionRow):
    """A decision, and what risk judged of it."""

    verdict: str
    category: str
    risk: float
    reason: str


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
    for i in _chosen(batch.rows, element):
        if verdict is None or batch.verdict[i] == verdict:
            yield VerdictRow(**_decided(batch, i), **_judged(batch, i))


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


def _judged(batch: Verdicts, i: int) -> dict[str, Any]:
    reason = int(batch.reason_index[i])
    return {
        "verdict": Verdict(int(batch.verdict[i])).name.lower(),
        "category": Category(int(batch.category[i])).name.lower(),
        "risk": float(batch.risk[i]),
        "reason": batch.reason[reason - 1] if reason else "",
    }
