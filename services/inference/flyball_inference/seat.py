"""Who answers for a pipeline at a moment: the active model, and beside it perhaps a canary. Pure."""

from dataclasses import dataclass
from functools import lru_cache
from typing import Final

import numpy as np

from flyball_inference.propose import Rules
from flyball_inference.scoring import Run
from flyball_proto import sticky
from flyball_proto.columns import U8, Column, Model, Rows
from flyball_proto.novelty import Novelty

REMEMBERED: Final = 1 << 16
"""Elements whose side of a canary is remembered, of all pipelines; a hash costs a microsecond."""

_answers_canary = lru_cache(REMEMBERED)(sticky.answers_canary)


@dataclass(frozen=True, slots=True)
class Voice:
    """A model that is loaded and warm, under the name that its decisions carry."""

    model: Model
    run: Run
    novelty: Novelty | None = None
    """Of what it learnt from; None = not known."""


@dataclass(frozen=True, slots=True)
class Seat:
    """Who answers, and the rules that turn scores to actions; all of one epoch.

    The canary answers for `percent` of the elements, always the same ones. `rules_revision` is the
    revision of the pipeline's record that the rules come from.
    """

    active: Voice
    feature_digest: str
    width: int
    rules: Rules
    rules_revision: int
    canary: Voice | None = None
    percent: int = 0
    fallback: Voice | None = None
    """Where a rollback would lead, once it is loaded; only compared with, it answers for nobody."""

    @property
    def epoch(self) -> int:
        """Of the deployment that this is."""
        return self.active.model.epoch


def by_canary(rows: Rows, digest: str, percent: int) -> Column:
    """For each row whether the canary `digest` answers, u8 (n,); the same for all of an element."""
    elements = rows.element
    chosen = (_answers_canary(element, digest, percent) for element in elements)
    return np.fromiter(chosen, U8, len(elements))[rows.element_index]
