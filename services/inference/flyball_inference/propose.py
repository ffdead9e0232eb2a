"""Which action a score proposes, by the decision rules of a pipeline."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np

from flyball_proto.columns import U8, Column
from flyball_proto.spec import Decision


class Step(NamedTuple):
    """One rule: from this score on, of the class in this place of the scores, this action.

    An action is 1 + its place in `Rules.actions`, 0 = nothing is proposed.
    """

    threshold: float
    action: int
    place: int = 0


@dataclass(frozen=True, slots=True)
class Rules:
    """A pipeline's decision rules, compiled; `steps` go from the weakest rule to the strongest."""

    actions: tuple[str, ...] = ()
    steps: tuple[Step, ...] = ()
    classes: tuple[str, ...] = ()
    """Of a multiclass target, in score order."""


class Proposed(NamedTuple):
    """What is said of n rows: f64 scores, u8 action indexes, and for multiclass u8 class indexes.

    The score is that of the class, which is the class that the proposed action is about, or else
    the likeliest one. Without classes `class_index` is empty.
    """

    score: Column
    action_index: Column
    class_index: Column


def compile_rules(decisions: Sequence[Decision], classes: Sequence[str] = ()) -> Rules:
    """Order rules so that the highest threshold wins, and of equal ones the first in the spec."""
    actions = tuple(dict.fromkeys(d.action for d in decisions))
    strongest_first = sorted(decisions, key=lambda d: -d.score_at_least)  # stable: spec order
    steps = [
        Step(
            d.score_at_least,
            1 + actions.index(d.action),
            classes.index(d.label) if d.label is not None else 0,
        )
        for d in reversed(strongest_first)
    ]
    return Rules(actions, tuple(steps), tuple(classes))


def propose(scores: Column, rules: Rules) -> Proposed:
    """What is said of scores f64 (n,), for multiclass (n, classes); NaN proposes nothing."""
    action = np.zeros(len(scores), U8)
    if scores.ndim == 1:
        for step in rules.steps:
            action[scores >= step.threshold] = step.action
        return Proposed(scores, action, np.empty(0, U8))
    unknown = np.isnan(scores[:, 0])
    place = np.where(unknown[:, None], 0.0, scores).argmax(axis=1).astype(U8)
    for step in rules.steps:
        meets = scores[:, step.place] >= step.threshold
        action[meets], place[meets] = step.action, step.place
    return Proposed(scores[np.arange(len(scores)), place], action, place)
