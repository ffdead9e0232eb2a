"""Labelled proposals: which rows of SAMPLES say how often acting is wrong, and which were drawn. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from flyball_proto import sticky
from flyball_proto.columns import Column, Samples, Verdict
from flyball_proto.spec import BASELINE, Pipeline, Source, block_ms, feature_digest
from flyball_risk.judging.control import is_drawn, spell_ms
from flyball_risk.judging.policy import Policy
from flyball_risk.scoring.signals import Proposed, age, is_canary, known

ROW: Final = np.dtype(
    [
        ("time_ms", "<i8"),
        ("cell", "<u4"),  # element and block, hashed
        ("action", "u1"),  # place in `Names.actions`
        ("trainer", "u1"),  # place in `Names.trainers`
        ("score", "<f4"),
        ("quality", "u1"),
        ("canary", "?"),
        ("seated", "?"),  # the seat's model answered
        ("novelty", "<f4"),
        ("disagreement", "<f4"),
        ("age_ms", "<f4"),
        ("drifted", "?"),
        ("weight", "<f4"),
        ("wrong", "?"),
        ("drawn", "?"),
        ("verdict", "u1"),
    ]
)
"""One labelled proposal, 41 bytes."""

MAX_NAMES: Final = 250
"""Actions and trainers that a pipeline's record can name; rows of further ones teach nothing."""

ACTIVE: Final = "active"

CLEARED: Final = (Verdict.CLEAR, Verdict.NOTIFY, Verdict.WITHHOLD)
"""What the ladder would let out by itself."""


@dataclass(slots=True)
class Names:
    """Dictionaries of the index columns of `ROW`."""

    actions: list[str]
    trainers: list[str]


@dataclass(frozen=True, slots=True)
class Terms:
    """What of a pipeline decides how its samples are read.

    `least` is the truth from which an action is right, by action; for multiclass `classes` are the
    places of the classes that make it right. `acts_alone`: what an element did not carry out leaves
    its label true.
    """

    pipeline: str
    feature_digest: str
    is_probability: bool
    least: Mapping[str, float]
    classes: Mapping[str, frozenset[int]]
    spell_ms: Mapping[str, int]
    block_ms: int
    control_share: float
    control_key: str
    baseline_acts: bool
    max_error: float
    confidence: float
    acts_alone: bool = False


def terms(pipeline: Pipeline, source: Source, policy: Policy) -> Terms:
    """Of an applied pipeline that fits its source."""
    target, decisions = pipeline.spec.target, pipeline.spec.decisions
    places = {name: place for place, name in enumerate(target.classes)}
    binary = target.task == "binary"
    return Terms(
        pipeline=pipeline.name,
        feature_digest=feature_digest(pipeline, source),
        is_probability=policy.is_probability,
        least={name: 0.5 if binary else rule.threshold for name, rule in policy.rules.items()},
        classes={
            name: frozenset(places[d.label] for d in decisions if d.action == name and d.label)
            for name in (policy.rules if places else ())
        },
        spell_ms={
            name: spell_ms(rule.cooldown_ms, policy.horizon_ms)
            for name, rule in policy.rules.items()
        },
        block_ms=block_ms(pipeline, source),
        control_share=policy.control_share,
        control_key=policy.control_key,
        baseline_acts=policy.baseline_acts,
        max_error=policy.risk.max_error,
        confidence=policy.risk.confidence,
        acts_alone=policy.acts_alone,
    )


def labelled(samples: Samples, names: Names, terms: Terms) -> Column:
    """Rows that proposed an action, whose truth is known and not falsified: `ROW` (k,), in order.

    A row is `drawn` when who sees its truth was not chosen by its risk: the control share's hash
    drew its element for that spell, or the whole pipeline only advised. What the baseline advised
    is drawn only where it may act: it says nothing about the models that will.
    """
    if not len(samples.action_index):
        return np.empty(0, ROW)
    usable = (samples.action_index > 0) & (samples.censored == 0) & np.isfinite(samples.label)
    actions = [_place(names.actions, a) if a in terms.least else -1 for a in samples.action]
    usable &= np.array([False, *(place >= 0 for place in actions)])[samples.action_index]
    at = np.flatnonzero(usable)
    found = np.zeros(len(at), ROW)
    if not len(at):
        return found
    n, index, rows = len(samples.rows), samples.model_index[at], samples.rows
    chosen = samples.action_index[at]
    found["time_ms"], found["score"] = rows.time_ms[at], samples.score[at]
    found["action"] = np.array([0, *(max(0, place) for place in actions)])[chosen]
    trainers = [_place(names.trainers, model.trainer) for model in samples.model]
    found["trainer"] = np.maximum(np.array(trainers), 0)[index]
    found["quality"], found["weight"] = samples.quality[at], samples.weight[at]
    found["novelty"] = known(samples.novelty, n)[at]
    found["disagreement"] = known(samples.disagreement, n)[at]
    found["canary"] = is_canary(samples.model, index)
    found["age_ms"] = age(samples.model, index, rows.time_ms[at])
    found["seated"] = np.array([model.stage == ACTIVE for model in samples.model], bool)[index]
    found["verdict"] = samples.verdict[at]
    elements = [rows.element[i] for i in rows.element_index[at]]
    times = found["time_ms"].tolist()
    proposed = [samples.action[i - 1] for i in chosen]
    found["wrong"] = [
        not _is_right(action, label, terms)
        for action, label in zip(proposed, samples.label[at].tolist(), strict=True)
    ]
    found["cell"] = [
        int(sticky.fraction(element, str(time_ms // terms.block_ms)) * sticky.PARTS)
        for element, time_ms in zip(elements, times, strict=True)
    ]
    may_act = np.array([m.trainer != BASELINE or terms.baseline_acts for m in samples.model])
    found["drawn"] = may_act[index] & [
        verdict == Verdict.ADVISE or _is_drawn(element, time_ms, action, terms)
        for element, time_ms, action, verdict in zip(
            elements, times, proposed, found["verdict"].tolist(), strict=True
        )
    ]
    return found


def proposed(rows: Column, names: Names) -> Proposed:
    """Labelled rows as they were when they were assessed."""
    return Proposed(
        names.actions,
        rows["action"] + 1,
        rows["score"].astype(np.float64),
        rows["quality"],
        rows["canary"],
        rows["novelty"],
        rows["disagreement"],
        rows["age_ms"],
    )


def _is_right(action: str, label: float, terms: Terms) -> bool:
    if terms.classes:
        return int(label) in terms.classes[action]
    return label >= terms.least[action]


def _is_drawn(element: str, time_ms: int, action: str, terms: Terms) -> bool:
    return is_drawn(
        terms.control_key,
        terms.control_share,
        pipeline=terms.pipeline,
        element=element,
        spell=time_ms // terms.spell_ms[action],
    )


def _place(names: list[str], name: str) -> int:
    if name not in names:
        if len(names) >= MAX_NAMES:
            return -1
        names.append(name)
    return names.index(name)
