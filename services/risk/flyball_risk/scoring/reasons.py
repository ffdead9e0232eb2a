"""Why a decision has the risk that it has, in words that a person understands. Pure.

Two manners: of what is cleared a batch shall have few distinct reasons, so figures are rounded to
tenths and quarters; of what waits or is denied a person reads each, so figures are given.
"""

import math
from collections.abc import Mapping
from enum import IntFlag
from functools import lru_cache
from typing import Final, NamedTuple

import numpy as np

from flyball_proto.columns import Category, Column, Quality
from flyball_risk.scoring.probability import UNUSUAL
from flyball_risk.scoring.signals import DAY_MS, Proposed

MAX_CHARS: Final = 300
"""Of a reason; a longer one is cut and ends in three dots."""
MAX_NAME_CHARS: Final = 40
"""Of a label's value within a reason."""

WAITS: Final = ": waits for a person"
"""How the reason of a hold ends."""

APART_RATIO: Final = 0.2
"""How far the fallback's score must be away to be mentioned: of a probability's range, or of the
score itself where it is no probability."""
OLD_DAYS: Final = 7
"""From when on the age of a model is mentioned."""

FLAWS: Final[Mapping[Quality, str]] = {
    Quality.CLIPPED: "a value was clipped",
    Quality.NULL: "a metric is missing",
    Quality.STALE: "inputs are stale",
    Quality.LATE_INPUT: "a late row was repaired",
}

QUARTERS: Final = ("some", "a quarter", "half", "three quarters", "all")
"""Of a group under actions, by whole quarters."""

NOT_KNOWN: Final = -1
"""Tenths of a probability that is not known."""


class Doubt(IntFlag):
    """What may be said against a proposal beside the flaws of its inputs."""

    UNLIKE = 1
    APART = 2
    STRANGE = 4
    CANARY = 8
    OLD = 16


_SAID: Final[Mapping[Doubt, str]] = {
    Doubt.UNLIKE: "its inputs are unlike what the model learnt from",
    Doubt.APART: "the fallback says otherwise",
    Doubt.STRANGE: "it is unlike all labelled decisions",
    Doubt.CANARY: "a canary decided",
    Doubt.OLD: f"the model is older than {OLD_DAYS} days",
}


class Around(NamedTuple):
    """What is going on around an element: of its group `acted` of `known` were acted on lately.

    `label` is empty where no group is counted. `contested`: another pipeline acts on it.
    """

    label: str = ""
    value: str = ""
    acted: int = 0
    known: int = 1
    window_ms: int = 0
    contested: bool = False

    @property
    def share(self) -> float:
        """Of the group, 0 to 1."""
        return min(1.0, self.acted / self.known)


ALONE: Final = Around()
CONTESTED: Final = Around(contested=True)


class Evidence(NamedTuple):
    """What is known of one proposal; NaN = not known."""

    score: float
    error: float
    confidence: float
    disagreement: float
    quality: int
    doubts: int
    age_ms: float
    is_probability: bool


def doubts_of(found: Proposed, credibility: Column, *, is_probability: bool) -> Column:
    """Which `Doubt` applies to each of p proposals, i64 (p,); what is not known does not."""
    scale = 1.0 if is_probability else np.abs(found.score)
    apart = found.disagreement
    with np.errstate(invalid="ignore"):
        applying = (
            (found.novelty < UNUSUAL, Doubt.UNLIKE),
            ((apart >= APART_RATIO * scale) & (apart > 0), Doubt.APART),
            (credibility < UNUSUAL, Doubt.STRANGE),
            (found.canary, Doubt.CANARY),
            (found.age_ms >= OLD_DAYS * DAY_MS, Doubt.OLD),
        )
    bits = np.zeros(len(found), np.int64)
    for applies, doubt in applying:
        bits |= np.where(applies, int(doubt), 0)
    return bits


def tenths_sure(error: Column, confidence: Column) -> Column:
    """How sure a calibrated decision is, in whole tenths, i64 (p,); else `NOT_KNOWN`."""
    whole = np.floor((1.0 - error) * 10 + 1e-6)
    return np.where(np.isnan(confidence), NOT_KNOWN, whole).astype(np.int64)


class Mild(NamedTuple):
    """All that the reason of a cleared action says; of a batch few differ."""

    action: str
    words: str
    category: Category
    quality: int
    doubts: int
    tenths: int
    label: str
    quarters: int
    contested: bool
    told: str


@lru_cache(maxsize=8192)
def mild(said: Mild) -> str:
    """Why an action is cleared: `offload: low risk, at least 0.9 sure (medium severity, reversible)`."""
    sure = "" if said.tenths == NOT_KNOWN else f"at least {said.tenths / 10:g} sure"
    against = [text for doubt, text in _SAID.items() if said.doubts & doubt]
    against += flaws(said.quality)
    if said.label:
        against.append(f"{QUARTERS[said.quarters]} of its {said.label} was acted on lately")
    found = finding(sure, against + _contested(said.contested))
    head = f"{said.action}: {said.category.name.lower()} risk"
    return f"{head}{found and f', {found}'} ({said.words}){said.told}"


def grave(subject: str, words: str, evidence: Evidence, around: Around, what: str) -> str:
    """Why an action waits or is denied, with figures.

    `subject` as in `offload at 0.72 is high risk 0.17`; `what` becomes of it.
    """
    sure = "" if math.isnan(evidence.confidence) else f"{1.0 - evidence.error:.2f} sure"
    against = [_figured(doubt, evidence) for doubt in _doubts(evidence.doubts)]
    against += flaws(evidence.quality)
    if around.acted:
        against.append(crowding(around))
    found = finding(sure, against + _contested(around.contested))
    return f"{subject}{found and f': {found}'} ({words}){what}"


@lru_cache(maxsize=256)
def flaws(quality: int) -> tuple[str, ...]:
    """What is wrong with the inputs, in words; by quality byte."""
    return tuple(text for flaw, text in FLAWS.items() if quality & flaw)


@lru_cache(maxsize=64)
def _doubts(bits: int) -> tuple[Doubt, ...]:
    return tuple(doubt for doubt in Doubt if bits & doubt)


def crowding(around: Around) -> str:
    """`3 of 8 elements with site s1 were acted on in the last 10 min`."""
    value = shortened(around.value, MAX_NAME_CHARS)
    group = f"{around.acted} of {around.known} elements with {around.label} {value}"
    return f"{group} were acted on in the last {span(around.window_ms)}"


def finding(sure: str, against: list[str]) -> str:
    """`0.91 sure, but inputs are stale and a metric is missing`; either part may be missing."""
    said = " and ".join([", ".join(against[:-1]), against[-1]] if against[1:] else against)
    return f"{sure}, but {said}" if sure and said else sure or said


def figure(score: float) -> str:
    """A score with two digits; very large and very small ones in short."""
    return f"{score:.2f}" if abs(score) < 1e6 else f"{score:.3g}"


def span(ms: int) -> str:
    """`90 s`, `10 min`, `2 h`: in the largest unit that it is whole in."""
    for unit_ms, unit in ((3_600_000, "h"), (60_000, "min")):
        if ms and ms % unit_ms == 0:
            return f"{ms // unit_ms} {unit}"
    return f"{ms / 1000:g} s"


def shortened(text: str, most: int = MAX_CHARS) -> str:
    """A text of at most `most` characters."""
    return text if len(text) <= most else f"{text[: most - 1]}…"


def _contested(contested: bool) -> list[str]:
    return ["another pipeline acts on this element"] if contested else []


def _figured(doubt: Doubt, evidence: Evidence) -> str:
    if doubt is Doubt.APART:
        return _apart(evidence)
    if doubt is Doubt.OLD:
        return f"the model is {evidence.age_ms / DAY_MS:.0f} days old"
    return _SAID[doubt]


def _apart(evidence: Evidence) -> str:
    """What the fallback says: only how far it is away is known, but mostly one side is possible."""
    score, apart = evidence.score, evidence.disagreement
    sides = [s for s in (score - apart, score + apart) if -0.005 <= s <= 1.005]
    if evidence.is_probability and len(sides) == 1:
        return f"the fallback says {min(1.0, max(0.0, sides[0])):.2f}"
    return f"the fallback's score is {figure(apart)} away"
