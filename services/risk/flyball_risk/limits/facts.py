"""What a boundary may see of a decision, by path; `flyball_proto.spec.boundaries` has the meanings. Pure.

What is not known is absent: a label that the element does not say, a signal that is not calibrated.
"""

import json
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final, NamedTuple

from flyball_proto.columns import Quality
from flyball_proto.spec.typed import LABELS

HOUR_MS: Final = 3_600_000
DAY_MS: Final = 24 * HOUR_MS
THURSDAY: Final = 4
"""1 January 1970, by ISO 8601."""


class Facts(NamedTuple):
    """Of one decision; NaN, an empty text and a negative quality are not known.

    `labels` are those of `label_set`. `time_ms` is event time.
    """

    element: str
    label_set: str
    labels: Mapping[str, str]
    action: str
    parameter: str
    severity: str
    score: float
    risk: float
    category: str
    time_ms: int
    trainer: str
    stage: str
    age_ms: float
    class_name: str = ""
    error: float = float("nan")
    confidence: float = float("nan")
    credibility: float = float("nan")
    novelty: float = float("nan")
    disagreement: float = float("nan")
    quality: int = -1


Reader = Callable[[Facts], Any]
"""The value of one path; None = not known."""


def _flaw(flag: Quality) -> Reader:
    return lambda facts: None if facts.quality < 0 else bool(facts.quality & flag)


def _number(name: str, scale: float = 1.0) -> Reader:
    place = Facts._fields.index(name)

    def read(facts: Facts) -> float | None:
        value: Any = facts[place]
        return value / scale if value == value else None  # noqa: PLR0124 - NaN is not known

    return read


def _text(name: str) -> Reader:
    place = Facts._fields.index(name)
    return lambda facts: facts[place] or None


READERS: Final[Mapping[str, Reader]] = {
    "element.name": _text("element"),
    LABELS: lambda facts: dict(facts.labels),
    "decision.action": _text("action"),
    "decision.parameter": _text("parameter"),
    "decision.severity": _text("severity"),
    "decision.score": _number("score"),
    "decision.class": _text("class_name"),
    "decision.risk": _number("risk"),
    "decision.category": _text("category"),
    "decision.error": _number("error"),
    "decision.confidence": _number("confidence"),
    "decision.credibility": _number("credibility"),
    "decision.novelty": _number("novelty"),
    "decision.disagreement": _number("disagreement"),
    "decision.clipped": _flaw(Quality.CLIPPED),
    "decision.missing": _flaw(Quality.NULL),
    "decision.stale": _flaw(Quality.STALE),
    "decision.repaired": _flaw(Quality.LATE_INPUT),
    "time.hour": lambda facts: facts.time_ms // HOUR_MS % 24,
    "time.minute": lambda facts: facts.time_ms // 60_000 % 60,
    "time.weekday": lambda facts: (facts.time_ms // DAY_MS + THURSDAY - 1) % 7 + 1,
    "model.trainer": _text("trainer"),
    "model.stage": _text("stage"),
    "model.age_s": _number("age_ms", 1000.0),
}


def reader(path: str) -> Reader | None:
    """How to read a fact; None = there is no such fact."""
    label = path.removeprefix(f"{LABELS}.")
    if label != path:
        return lambda facts: facts.labels.get(label)
    return READERS.get(path)


RARELY_AGAIN: Final = frozenset(
    f"decision.{name}"
    for name in (
        *("score", "risk", "error", "confidence", "credibility", "novelty", "disagreement"),
    )
) | {"model.age_s"}
"""Paths whose values hardly ever come twice."""

KEPT: Final[Mapping[str, str]] = {
    "decision.class": "class_name",
    "decision.error": "error",
    "decision.confidence": "confidence",
    "decision.credibility": "credibility",
    "decision.novelty": "novelty",
    "decision.disagreement": "disagreement",
    **dict.fromkeys(
        ("decision.clipped", "decision.missing", "decision.stale", "decision.repaired"), "quality"
    ),
}
"""Paths that a hold does not carry by itself, and their field."""


def fact_set(paths: Iterable[str], facts: Facts) -> str:
    """What a hold must keep so that boundaries that name these paths can be asked again."""
    known = {
        KEPT[path]: getattr(facts, KEPT[path])
        for path in paths
        if path in KEPT and READERS[path](facts) is not None
    }
    return json.dumps(known, sort_keys=True, separators=(",", ":")) if known else ""
