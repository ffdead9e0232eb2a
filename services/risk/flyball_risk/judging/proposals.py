"""Rows of a batch that propose an action: everything that does not depend on the state, at once. Pure."""

import json
import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import NamedTuple

import numpy as np

from flyball_proto.columns import F32, Assessment, Category, Column, Decisions, Verdict
from flyball_risk.judging.frame import Frame
from flyball_risk.scoring.probability import Assessed, assess
from flyball_risk.scoring.reasons import NOT_KNOWN, doubts_of, tenths_sure
from flyball_risk.scoring.signals import Proposed, age, is_canary, known


class Proposal(NamedTuple):
    """One row that proposes an action; `label_set` is a canonical JSON object, NaN = not known.

    `error` is rounded to 1e-6; `doubts` are bits of `reasons.Doubt`, `tenths` how sure it is.
    """

    element: str
    label_set: str
    time_ms: int
    action: str
    score: float
    error: float
    quality: int
    trainer: str
    confidence: float = math.nan
    credibility: float = math.nan
    novelty: float = math.nan
    disagreement: float = math.nan
    age_ms: float = math.nan
    doubts: int = 0
    tenths: int = NOT_KNOWN
    stage: str = ""
    class_name: str = ""


class Ruling(NamedTuple):
    """What becomes of a proposal; `action` differs from the proposed one after REPLACE.

    `impact` is what the probability of error was multiplied with.
    """

    verdict: Verdict
    category: Category
    risk: float
    action: str
    reason: str
    impact: float = math.nan

    def becomes(self, verdict: Verdict, reason: str, action: str = "") -> "Ruling":
        """A tighter one of the same risk; the action stays unless another is given."""
        return Ruling(verdict, self.category, self.risk, action or self.action, reason, self.impact)


@dataclass(frozen=True, slots=True)
class _Found:
    """Signals and what they come to, p entries each."""

    signals: Proposed
    assessed: Assessed


@dataclass(frozen=True, slots=True)
class Proposals:
    """The p proposals of a batch: their rows, and what was found about them."""

    rows: list[int]
    proposals: list[Proposal]
    found: _Found | None
    homes: list[str]
    """Label sets of the batch's elements, see `homes_of`; none where nothing is proposed."""

    def __iter__(self) -> Iterator[tuple[int, Proposal]]:
        return zip(self.rows, self.proposals, strict=True)

    def assessment(self, impact: Sequence[float]) -> Assessment:
        """Columns of the output, f32 (p,)."""
        if self.found is None:
            return Assessment()
        found, assessed = self.found.signals, self.found.assessed
        with np.errstate(over="ignore"):  # the distance of two scores may be beyond f32
            return Assessment(
                found.novelty.astype(F32),
                found.disagreement.astype(F32),
                assessed.confidence.astype(F32),
                assessed.credibility.astype(F32),
                assessed.error.astype(F32),
                np.array(impact, F32),
            )


def propose(batch: Decisions, frame: Frame) -> Proposals:
    """Assess all rows of a batch that propose an action."""
    at = np.flatnonzero(batch.action_index)
    if not len(at):
        return Proposals([], [], None, [])
    is_probability = frame.policy.is_probability
    found = _signals(batch, at)
    assessed = assess(found, frame.calibration, is_probability=is_probability)
    homes = homes_of(batch)
    made = _made(batch, at, found, assessed, homes, is_probability=is_probability)
    return Proposals(at.tolist(), made, _Found(found, assessed), homes)


def _signals(batch: Decisions, at: Column) -> Proposed:
    models, p = batch.model_index[at], len(at)
    return Proposed(
        batch.action,
        batch.action_index[at],
        batch.score[at],
        batch.quality[at],
        is_canary(batch.model, models),
        known(batch.doubts.novelty, p),
        known(batch.doubts.disagreement, p),
        age(batch.model, models, batch.rows.time_ms[at]),
    )


def _made(
    batch: Decisions,
    at: Column,
    found: Proposed,
    assessed: Assessed,
    homes: list[str],
    *,
    is_probability: bool,
) -> list[Proposal]:
    rows = batch.rows
    elements = rows.element_index[at].tolist()
    doubts = doubts_of(found, assessed.credibility, is_probability=is_probability)
    columns = (
        [rows.element[element] for element in elements],
        [homes[element] for element in elements],
        rows.time_ms[at].tolist(),
        [batch.action[action - 1] for action in found.action_index.tolist()],
        found.score.tolist(),
        np.round(assessed.error, 6).tolist(),
        found.quality.tolist(),
        [batch.model[model].trainer for model in batch.model_index[at].tolist()],
        assessed.confidence.tolist(),
        assessed.credibility.tolist(),
        found.novelty.tolist(),
        found.disagreement.tolist(),
        found.age_ms.tolist(),
        doubts.tolist(),
        tenths_sure(assessed.error, assessed.confidence).tolist(),
        [batch.model[model].stage for model in batch.model_index[at].tolist()],
        _classes(batch, at),
    )
    return list(map(Proposal._make, zip(*columns, strict=True)))


def _classes(batch: Decisions, at: Column) -> list[str]:
    if not len(batch.class_index):
        return [""] * len(at)
    return [batch.class_name[place] for place in batch.class_index[at].tolist()]


def homes_of(batch: Decisions) -> list[str]:
    """The label set of each element; without any where it is no object of labels."""
    readable = [_readable(label_set) for label_set in batch.rows.label_set]
    known = len(readable)
    return [readable[at] if at < known else "" for at in batch.rows.label_index.tolist()]


@lru_cache(maxsize=4096)
def _readable(label_set: str) -> str:
    try:
        labels = json.loads(label_set or "{}")
    except ValueError:
        return ""
    return label_set if isinstance(labels, dict) else ""
