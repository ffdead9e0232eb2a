"""What a boundary's expression may say: the facts that it sees, their types, its mistakes. Pure.

    element.name                          text
    element.labels.<label>                text; absent where the element does not say it
    decision.action, parameter, severity  text
    decision.score                        number, a probability unless the target is regression
    decision.class                        text, multiclass only
    decision.risk, category               number in [0, 1]; negligible, low, medium, high, critical
    decision.error                        probability that acting is wrong
    decision.confidence, credibility      number in [0, 1]; absent while nothing is calibrated
    decision.novelty                      number in (0, 1], small = unlike what was learnt; may be absent
    decision.disagreement                 distance to the fallback's score; may be absent
    decision.stale, missing, clipped, repaired   true or false: what is wrong with the inputs
    time.hour, minute, weekday            whole numbers of the event time in UTC; Monday is 1
    model.trainer, stage                  text
    model.age_s                           seconds since the newest data it learnt from; may be absent

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
