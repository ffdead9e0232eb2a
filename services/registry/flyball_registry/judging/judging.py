"""From findings to numbered judgements, ready to be told. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import datetime

from flyball_proto.deployments import ActiveModel
from flyball_proto.events import ModelRecord
from flyball_proto.judgements import (
    AnyJudgement,
    CanaryJudged,
    Concluded,
    Degraded,
    Drifted,
    Guard,
    Refreshed,
    RefreshRefused,
    Restarted,
    Superior,
)
from flyball_registry.evidence import evaluation, findings
from flyball_registry.evidence.drifting import Layer, Noticed, may_tell
from flyball_registry.evidence.gate import Gate
from flyball_registry.evidence.guards import Outcome, Step
from flyball_registry.records.scoreboard import Claim, Scoreboard
from flyball_registry.records.upstream import Upstream
from flyball_registry.scoring.timelines import Timelines


@dataclass
class Judging:
    """One look at a pipeline: judgements in the order in which they are made."""

    pipeline: str
    number: int
    at: datetime
    event_ms: int
    mark: str | None
    block_ms: int = 1
    drifted_ms: Mapping[str, int] = field(default_factory=dict)
    judgements: list[AnyJudgement] = field(default_factory=list)
    drifts: list[Drifted] = field(default_factory=list)
    claims: list[Claim] = field(default_factory=list)

    def conclude(
        self,
        found: Iterable[evaluation.Finding],
        pointer: ActiveModel | None,
        timelines: Timelines,
    ) -> None:
        """What the evidence says."""
        for finding in found:
            match finding:
                case findings.Superior():
                    self.superior(finding, pointer, timelines)
                case findings.Inferior() | findings.Equivalent() | findings.Undecided():
                    self._concluded(finding)
                case findings.Degraded():
                    self._degraded(finding, pointer)
                case findings.Drifted():
                    self._drifted("loss", finding.at_ms, finding.detail)

    def superior(
        self,
        won: findings.Superior | findings.Standing,
        pointer: ActiveModel | None,
        timelines: Timelines,
    ) -> None:
        """A trainer should take the seat, with its newest model that was not rolled back."""
        barred = pointer.rolled_back if pointer else ()
        model = timelines.newest(won.trainer, unless=barred)
        if model is None:
            return
        epoch = pointer.epoch if pointer else 0
        self.claims.append(Claim(trainer=won.trainer, digest=model.digest, epoch=epoch))
        self.judgements.append(
            Superior(
                **self._next(won.at_ms),
                trainer=won.trainer,
                digest=model.digest,
                over=won.over,
                comparison=won.comparison,
                log_e=won.log_e,
                threshold=won.threshold,
                blocks=won.blocks,
                better_by=won.better_by_at_least,
            )
        )

    def gated(self, model: ModelRecord, pointer: ActiveModel, gate: Gate) -> None:
        """What the gate said of a newer model of the seat's own trainer."""
        if gate.outcome == "accepted":
            self.judgements.append(
                Refreshed(
                    **self._next(self.event_ms),
                    trainer=model.trainer,
                    digest=model.digest,
                    replaces=pointer.digest,
                    anchor=pointer.anchored.digest,
                    upper_bound=gate.upper_bound,
                    difference=gate.difference,
                    rows=gate.rows,
                )
            )
            return
        self.judgements.append(
            RefreshRefused(
                **self._next(self.event_ms),
                trainer=model.trainer,
                digest=model.digest,
                outcome=gate.outcome,
                detail=gate.detail,
            )
        )

    def looked(self, step: Step, outcome: Outcome, guards: tuple[Guard, ...]) -> None:
        """A canary step was looked at."""
        self.judgements.append(
            CanaryJudged(
                **self._next(self.event_ms),
                digest=step.digest,
                epoch=step.epoch,
                outcome=outcome,
                guards=guards,
                rows=step.canary.rows,
            )
        )

    def noticed(self, found: Iterable[Noticed]) -> None:
        """What the layers say that need no label."""
        for one in found:
            self._drifted(one.on, one.at_ms, one.detail, one.features)

    def restarted(self, upstream: str, now: Upstream, closed: tuple[str, ...]) -> None:
        """A pipeline whose decisions come in here has another model."""
        self.judgements.append(
            Restarted(
                **self._next(self.event_ms),
                upstream=upstream,
                upstream_digest=now.digest,
                upstream_epoch=now.epoch,
                closed=closed,
            )
        )

    def _concluded(
        self, finding: findings.Inferior | findings.Equivalent | findings.Undecided
    ) -> None:
        self.judgements.append(
            Concluded(
                **self._next(finding.at_ms),
                trainer=finding.trainer,
                over=finding.over,
                comparison=finding.comparison,
                outcome=evaluation.WORDS[type(finding)],
                blocks=finding.blocks,
                detail=finding.detail,
            )
        )

    def _degraded(self, finding: findings.Degraded, pointer: ActiveModel | None) -> None:
        """The watch belongs to the seat: a refresh since the evidence does not silence it."""
        if finding.decision == "keep":
            return
        digest, anchor = finding.digest, finding.anchor_digest
        if pointer is not None:
            digest, anchor = pointer.digest, pointer.anchored.digest
        self.judgements.append(
            Degraded(
                **self._next(finding.at_ms),
                digest=digest,
                anchor=anchor,
                decision=finding.decision,
                harm=finding.harm,
                relative=finding.relative,
                threshold=finding.threshold,
                blocks=finding.blocks,
            )
        )
        if finding.decision == "retrain":
            harm = (
                f"harm {finding.harm:.4g} reached {finding.threshold:.4g}, the anchor is no better"
            )
            self._drifted("harm", finding.at_ms, harm)

    def _drifted(
        self, on: Layer, event_ms: int, detail: str, features: tuple[str, ...] = ()
    ) -> None:
        """Tell of a layer, unless it told of something a moment ago."""
        if not may_tell(self.drifted_ms.get(on), event_ms, self.block_ms):
            return
        self.drifted_ms = {**self.drifted_ms, on: event_ms}
        self.drifts.append(
            Drifted(
                pipeline=self.pipeline,
                at=self.at,
                on=on,
                event_ms=event_ms,
                features=features,
                mark=self.mark,
                detail=detail,
            )
        )

    def _next(self, event_ms: int) -> dict[str, object]:
        self.number += 1
        return {
            "pipeline": self.pipeline,
            "at": self.at,
            "number": self.number,
            "event_ms": event_ms,
            "mark": self.mark,
        }


def standing_claims(board: Scoreboard, pointer: ActiveModel, timelines: Timelines) -> list[Claim]:
    """Trainers that won and whose canary ended since without taking the seat.

    They are proposed again with a newer model, once a model; while a canary is under way nobody is.
    """
    if pointer.canary is not None or pointer.frozen:
        return []
    last = {claim.trainer: claim for claim in board.claims}
    found = []
    for trainer, comparison in sorted(board.state.comparisons.items()):
        claim = last.get(trainer)
        if claim is None or comparison.over != pointer.trainer or "superior" not in comparison.said:
            continue
        model = timelines.newest(trainer, unless=pointer.rolled_back)
        if pointer.epoch <= claim.epoch or model is None or model.digest in pointer.rolled_back:
            continue
        if model.digest != claim.digest:
            found.append(Claim(trainer=trainer, digest=model.digest, epoch=pointer.epoch))
    return found
