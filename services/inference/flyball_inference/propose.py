"""Which action a score proposes, by the decision rules of a pipeline."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from flyball_proto.columns import U8, Column
from flyball_proto.spec import Decision


@dataclass(frozen=True, slots=True)
class Rules:
    """A pipeline's decision rules, compiled.

    `steps` are (threshold, action index) from the weakest rule to the strongest; an action index
    is 1 + its place in `actions`, 0 = nothing is proposed.
    """

    actions: tuple[str, ...] = ()
    steps: tuple[tuple[float, int], ...] = ()


def compile_rules(decisions: Sequence[Decision]) -> Rules:
    """Order rules so that the highest threshold wins, and of equal ones the first in the spec.

    Rules for one class of a multiclass target never apply: a decision carries a single score.
    """
    usable = [d for d in decisions if d.label is None]
    actions = tuple(dict.fromkeys(d.action for d in usable))
    strongest_first = sorted(usable, key=lambda d: -d.score_at_least)  # stable: spec order in ties
    steps = [(d.score_at_least, 1 + actions.index(d.action)) for d in reversed(strongest_first)]
    return Rules(actions, tuple(steps))


def propose(scores: Column, rules: Rules) -> Column:
    """Action indexes u8 (n,) of scores f64 (n,); NaN proposes nothing."""
    index = np.zeros(len(scores), U8)
    for threshold, action in rules.steps:
        index[scores >= threshold] = action
    return index
