"""What a boundary's expression may say: the facts that it sees, and its mistakes. Pure.

`has(decision.novelty)` says whether what may be absent is there. What cannot be evaluated applies.
"""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import replace
from typing import Final

from flyball_proto.spec.expressions import Node, parse
from flyball_proto.spec.learning import BASELINE
from flyball_proto.spec.pipeline import Pipeline
from flyball_proto.spec.source import Source
from flyball_proto.spec.tokens import BoundaryError
from flyball_proto.spec.typed import BOOL, DOUBLE, INT, LABELS, TEXT, Type, Typing

SEVERITIES: Final = ("low", "medium", "high", "critical")
CATEGORIES: Final = ("negligible", *SEVERITIES)
STAGES: Final = ("active", "canary")
FLAWS: Final = ("clipped", "missing", "stale", "repaired")
MEANINGS: Final[Mapping[str, str]] = {
    "element.name": "The element.",
    "element.labels.<label>": "A label that the source declares; absent where the element does not "
    "say it.",
    "decision.action": "What is proposed.",
    "decision.parameter": "What that changes at the element.",
    "decision.severity": f"{', '.join(SEVERITIES)}: the gravest of the decisions that propose it.",
    "decision.score": "The model's: a probability, or a value in the target's unit for regression.",
    "decision.class": "The class that the score is about; multiclass only.",
    "decision.risk": "Probability of an error times impact, 0 to 1.",
    "decision.category": f"Of that risk: {', '.join(CATEGORIES)}.",
    "decision.error": "Probability that acting is wrong.",
    "decision.confidence": "1 - the second largest p-value of a label; absent until calibrated.",
    "decision.credibility": "The largest p-value of a label, small = unlike all labelled decisions; "
    "absent until calibrated.",
    "decision.novelty": "p-value of the inputs in (0, 1], small = unlike what the model learnt from; "
    "absent where the model cannot tell.",
    "decision.disagreement": "Distance to the score of the fallback; absent where there is none.",
    "decision.clipped": "True: a value of the inputs lay outside its range and was clipped.",
    "decision.missing": "True: a metric that the features need is missing.",
    "decision.stale": "True: the inputs reach beyond a gap longer than the look-back.",
    "decision.repaired": "True: an earlier row came after later ones.",
    "time.hour": "0 to 23, of the event time in UTC.",
    "time.minute": "0 to 59.",
    "time.weekday": "1 to 7, Monday is 1.",
    "model.trainer": "Who trained the model that decided; baseline is built in.",
    "model.stage": f"{' or '.join(STAGES)}.",
    "model.age_s": "Seconds of event time since the newest data that it learnt from; absent if it "
    "learnt nothing.",
}
"""For people."""

SHARE: Final = replace(DOUBLE, least=0, most=1)


def facts(pipeline: Pipeline, source: Source) -> dict[str, Type]:
    """Every fact that boundaries of a pipeline may name, by its path."""
    spec = pipeline.spec
    found = {
        "element.name": TEXT,
        LABELS: Type("labels"),
        **{f"{LABELS}.{label}": TEXT for label in source.spec.labels},
        "decision.action": _of(d.action for d in spec.decisions),
        "decision.parameter": _of(d.parameter or d.action for d in spec.decisions),
        "decision.severity": _of(SEVERITIES),
        "decision.score": DOUBLE if spec.target.task == "regression" else SHARE,
        "decision.risk": SHARE,
        "decision.category": _of(CATEGORIES),
        "decision.error": SHARE,
        "decision.confidence": SHARE,
        "decision.credibility": SHARE,
        "decision.novelty": SHARE,
        "decision.disagreement": replace(DOUBLE, least=0),
        **{f"decision.{flaw}": BOOL for flaw in FLAWS},
        "time.hour": replace(INT, least=0, most=23),
        "time.minute": replace(INT, least=0, most=59),
        "time.weekday": replace(INT, least=1, most=7),
        "model.trainer": _of((BASELINE, *(t.name for t in spec.trainers))),
        "model.stage": _of(STAGES),
        "model.age_s": DOUBLE,
    }
    if spec.target.classes:
        found["decision.class"] = _of(spec.target.classes)
    return found


def mistake_in(expression: str, known: Mapping[str, Type]) -> BoundaryError | None:
    """The first mistake of a boundary's expression; None = it gives true or false."""
    try:
        node = parse(expression)
        found = Typing(known).of(node)
    except BoundaryError as mistake:
        return mistake
    if found.name == "bool":
        return None
    step = "compare it with something, as in decision.score > 0.8"
    return BoundaryError(node.at, f"{found.words}, as the result", "true or false", step)


def facts_in(node: Node) -> Iterator[str]:
    """Paths that an expression names, perhaps with repetitions."""
    if node.kind == "fact":
        yield ".".join(name for name, _ in node.names)
    for part in node.parts:
        yield from facts_in(part)


def place_words(expression: str, at: int) -> str:
    """Where a character of an expression is, for people; both counted from 1."""
    before = expression[:at]
    line, column = before.count("\n") + 1, at - (before.rfind("\n") + 1) + 1
    if "\n" in expression.strip():
        return f"line {line}, column {column} of the expression"
    return f"column {column} of the expression"


def _of(texts: Iterable[str]) -> Type:
    return replace(TEXT, texts=tuple(dict.fromkeys(texts)))
