"""What labels say about proposals: right or wrong. Pure."""

from collections.abc import Iterator, Mapping
from typing import Literal

import numpy as np

from flyball_proto.columns import Samples
from flyball_proto.spec import Pipeline

Truth = Literal["right", "wrong"]
Reach = Mapping[str, float | frozenset[int]]
"""Action to the least truth that makes it right; of a multiclass target, to the classes that do."""


def reach_of(pipeline: Pipeline) -> Reach:
    """When the truth meets a rule that proposes the action."""
    target, decisions = pipeline.spec.target, pipeline.spec.decisions
    places = {name: place for place, name in enumerate(target.classes)}
    found: dict[str, float | frozenset[int]] = {}
    for action in {d.action for d in decisions}:
        own = [d for d in decisions if d.action == action]
        if places:
            found[action] = frozenset(places[d.label] for d in own if d.label)
        elif target.task == "binary":
            found[action] = 0.5
        else:
            found[action] = min(d.score_at_least for d in own)
    return found


def truths(samples: Samples, reach: Reach) -> Iterator[tuple[str, Truth]]:
    """Decisions whose truth is known and was not falsified by an action, with it."""
    if not len(samples.action_index):
        return
    rows = samples.rows
    usable = (samples.action_index > 0) & (samples.censored == 0) & np.isfinite(samples.label)
    for i in np.flatnonzero(usable).tolist():
        needed = reach.get(samples.action[int(samples.action_index[i]) - 1])
        if needed is None:
            continue
        label = float(samples.label[i])
        right = int(label) in needed if isinstance(needed, frozenset) else label >= needed
        decision = f"{samples.pipeline}.{rows.sequence[i]}.{rows.sample[i]}"
        yield decision, "right" if right else "wrong"
