"""What the registry knows of a pipeline's models: one record, from which everything goes on. Pure.

It lies in KV `scoreboard` under the pipeline's name. The position stands beside the state that it
led to, and judgements stand there before they are told, so that a kill loses and doubles nothing.
"""

from collections.abc import Mapping
from typing import Final, Literal

import numpy as np
from pydantic import Field

from flyball_proto.columns import DISPATCHED, Verdict
from flyball_proto.events import Wire
from flyball_proto.judgements import AnyJudgement, Drifted, ScoresSkewed
from flyball_registry.evidence.design import Design
from flyball_registry.evidence.drifting import Drifting
from flyball_registry.evidence.effects import Arms
from flyball_registry.evidence.evaluation import State, standing
from flyball_registry.evidence.guards import Step
from flyball_registry.records.upstream import Upstream
from flyball_registry.scoring.rows import Sampled
from flyball_registry.scoring.seats import Turn
from flyball_registry.scoring.skew import Said

MAX_GATED: Final = 64
MAX_ACTIONS: Final = 16
"""Whose effect is reckoned one by one; of further ones only in `withheld` and `acted`."""


class Place(Wire):
    """How far one partition was read."""

    samples: int = 0  # sequence in SAMPLES, taken into account
    needed: int = 0  # from this sequence on messages are needed after a restart; 0 = none was
    metrics: int = 0  # METRICS sequence behind it
    time_ms: int = 0  # newest event time at which a label was known; 0 = no label yet


class Mean(Wire):
    """A weighted mean in the making."""

    rows: int = 0
    weight: float = 0.0
    total: float = 0.0

    def add(self, rows: Sampled) -> "Mean":
        """Take the rows' labels."""
        return Mean(
            rows=self.rows + len(rows),
            weight=self.weight + float(rows.weight.sum()),
            total=self.total + float((rows.weight * rows.label).sum()),
        )


class Effect(Wire):
    """What actions do: labels of rows left alone at random, and of rows under an action."""

    withheld: Mean = Mean()
    acted: Mean = Mean()
    actions: Mapping[str, Arms] = Field(default={})  # the first `MAX_ACTIONS` that are seen

    def add(self, rows: Sampled, block_ms: int) -> "Effect":
        """Take more rows; intervals stand on blocks of event time."""
        known = np.isfinite(rows.label)
        withheld = rows.take(known & (rows.verdict == Verdict.WITHHOLD) & ~rows.censored)
        acted = rows.take(known & rows.censored & np.isin(rows.verdict, DISPATCHED))
        return Effect(
            withheld=self.withheld.add(withheld),
            acted=self.acted.add(acted),
            actions=_by_action(self.actions, withheld, acted, block_ms),
        )


def _by_action(
    before: Mapping[str, Arms], withheld: Sampled, acted: Sampled, block_ms: int
) -> Mapping[str, Arms]:
    found = dict(before)
    for arm, rows in (("withheld", withheld), ("acted", acted)):
        block = rows.time_ms // max(1, block_ms)
        for action in sorted(set(rows.action.tolist()) - {""}):
            if action not in found and len(found) >= MAX_ACTIONS:
                continue
            mine, arms = rows.action == action, found.get(action, Arms())
            more = getattr(arms, arm).add(rows.label[mine], block[mine])
            found[action] = arms.model_copy(update={arm: more})
    return found


class Figures(Wire):
    """How good a column of scores was so far: Brier loss, or mean absolute error."""

    rows: int
    loss: float | None
    accuracy: float | None
    not_finite: int


class Standing(Wire):
    """Where a comparison stands; `better_by_at_least` in units of the row loss."""

    trainer: str
    over: str
    comparison: int
    log_e: float
    threshold: float
    blocks: int
    better_by_at_least: float
    expected_blocks: int | None
    word: str
    detail: str


class Claim(Wire):
    """A trainer that was said to be superior, and what was active then."""

    trainer: str
    digest: str
    epoch: int


class Scoreboard(Wire):
    """One pipeline's record; under 700 kB with 16 trainers."""

    version: Literal[1] = 1
    pipeline: str
    feature_digest: str
    writer: str = ""  # which process wrote it
    places: Mapping[str, Place] = Field(default={})
    first_ms: int = 0
    folded_ms: int = -1  # rows up to this event time are in the state
    mark: str | None = None  # the last one that was settled
    lockstep: bool = False
    number: int = 0  # of the last judgement
    judgements: tuple[AnyJudgement, ...] = ()  # of the last save, perhaps not yet told
    drifts: tuple[Drifted, ...] = ()
    skews: tuple[ScoresSkewed, ...] = ()
    state: State = State()
    turns: tuple[Turn, ...] = ()
    seat: Turn | None = None
    claims: tuple[Claim, ...] = ()
    gated: tuple[str, ...] = ()
    step: Step | None = None
    drifting: Drifting = Drifting()
    drifted_ms: Mapping[str, int] = Field(default={})  # when each layer last said something
    skewed: tuple[Said, ...] = ()
    upstream: Mapping[str, Upstream] = Field(default={})
    effect: Effect = Effect()
    share: float = 1.0  # of the elements whose rows are evidence
    unlabelled: int = 0
    lost: int = 0  # rows dropped because too many waited for a partition that is behind
    figures: Mapping[str, Figures] = Field(default={})
    comparisons: tuple[Standing, ...] = ()

    @property
    def position(self) -> dict[str, int]:
        """METRICS sequences read so far, by partition."""
        return {partition: place.metrics for partition, place in self.places.items()}

    @property
    def newest_ms(self) -> int:
        """The newest event time at which a label was known; 0 = no label yet."""
        return max((place.time_ms for place in self.places.values()), default=0)

    def clock_ms(self, partitions: int, slack_ms: int) -> int:
        """Event time that every partition has passed, as known labels tell; -1 = no label yet.

        A partition that is `slack_ms` behind the newest one is not waited for.
        """
        if not self.first_ms:
            return -1
        places = (self.places.get(str(p), Place()) for p in range(partitions))
        times = [place.time_ms or self.first_ms for place in places]
        newest = max(times)
        return max(self.folded_ms, min(t for t in times if t >= newest - slack_ms))

    def shown(self, design: Design | None) -> "Scoreboard":
        """With the figures that people read made from the state."""
        if design is None:
            return self
        outcomes = standing(self.state, design) if self.state.design else ()
        return self.model_copy(
            update={
                "figures": _figures(self.state, design),
                "comparisons": tuple(
                    Standing(**{name: getattr(o, name) for name in Standing.model_fields})
                    for o in outcomes
                ),
            }
        )


def begin(pipeline: str, feature_digest: str, before: Scoreboard | None) -> Scoreboard:
    """The record to go on from: the one before, or a new one where the features are others.

    Judgements are numbered on, and a renamed or changed trainer gets no fresh doubt.
    """
    if before is None:
        return Scoreboard(pipeline=pipeline, feature_digest=feature_digest)
    if before.feature_digest == feature_digest:
        return before
    return Scoreboard(
        pipeline=pipeline,
        feature_digest=feature_digest,
        number=before.number,
        judgements=before.judgements,
        drifts=before.drifts,
        skews=before.skews,
        skewed=before.skewed,
        upstream=before.upstream,
        state=State(account=before.state.account),
    )


def remember(gated: tuple[str, ...], digest: str) -> tuple[str, ...]:
    """One more candidate that was judged."""
    return (*gated, digest)[-MAX_GATED:]


def _figures(state: State, design: Design) -> Mapping[str, Figures]:
    return {
        name: Figures(
            rows=score.rows,
            loss=score.loss(),
            accuracy=score.accuracy(design.task),
            not_finite=score.not_finite,
        )
        for name, score in sorted(state.board.items())
    }
