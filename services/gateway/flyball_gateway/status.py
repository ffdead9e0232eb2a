"""What the gateway says of running pipelines. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from datetime import datetime
from typing import Any

from flyball_gateway.applying import Known, key_of
from flyball_gateway.awaited.awaiting import awaited
from flyball_gateway.awaited.situation import Situation
from flyball_proto.breakers import BreakerRecord, words_of
from flyball_proto.commands import PipelineStatus
from flyball_proto.deployments import ActiveModel
from flyball_proto.holds import Stop
from flyball_proto.progress import Standings, TrainerProgress
from flyball_proto.runtimes import RuntimeState, alive, disagreement
from flyball_proto.spec import Pipeline, feature_digest


@dataclass(frozen=True, slots=True)
class Around:
    """What others show at this moment, by pipeline; nothing where nothing could be read.

    `arrived` says by source whether it ever sent anything, None = not known, and `refused` how many
    of its reports are kept in QUARANTINE.
    """

    at: datetime
    progress: Mapping[str, Sequence[TrainerProgress]] = field(default_factory=dict)
    standings: Mapping[str, Standings] = field(default_factory=dict)
    stops: Mapping[str, Stop] = field(default_factory=dict)
    open_holds: Mapping[str, int] = field(default_factory=dict)
    arrived: Mapping[str, bool | None] = field(default_factory=dict)
    refused: Mapping[str, int] = field(default_factory=dict)
    runtimes: Sequence[RuntimeState] = ()
    breakers: Mapping[str, BreakerRecord] = field(default_factory=dict)


def statuses(
    known: Known, active: Mapping[str, ActiveModel], around: Around
) -> tuple[PipelineStatus, ...]:
    """Every applied pipeline, by name."""
    return tuple(
        _status(pipeline, known, active.get(name), around)
        for name, pipeline in sorted(known.catalogue.pipelines.items())
    )


def _status(
    pipeline: Pipeline, known: Known, record: ActiveModel | None, around: Around
) -> PipelineStatus:
    name, source = pipeline.name, known.catalogue.source_of(pipeline)
    stop = around.stops.get(name)
    runtimes = alive((r for r in around.runtimes if r.pipeline == name), around.at)
    now = Situation(
        pipeline,
        source,
        feature_digest(pipeline, source),
        around.at,
        around.progress.get(name, ()),
        around.standings.get(name),
        record,
        stop,
        around.open_holds.get(name, 0),
        around.arrived.get(source.name),
        around.refused.get(source.name, 0),
        around.breakers.get(name),
    )
    return PipelineStatus(
        pipeline=name,
        source=source.name,
        feature_digest=now.feature_digest,
        revision=known.revisions[key_of(pipeline)],
        stopped=stop if stop is not None and stop.stopped else None,
        open_holds=now.open_holds,
        breaker=words_of(now.breaker),
        awaited=awaited(now),
        runtimes=tuple(runtimes),
        disagree=disagreement(record.epoch, runtimes, around.at) if record else "",
        **_deployment(record),
    )


def _deployment(record: ActiveModel | None) -> dict[str, Any]:
    """Who answers; nothing while nobody does."""
    if record is None:
        return {}
    fallback = record.anchor or record.baseline
    return {
        "model": record.digest,
        "trainer": record.trainer,
        "epoch": record.epoch,
        "anchor": fallback.digest if fallback and fallback.digest != record.digest else None,
        "canary": record.canary.digest if record.canary else None,
        "canary_percent": record.canary.percent if record.canary else None,
        "frozen": record.frozen,
        "outcome": record.outcome or None,
        "since": record.since if record.since.tzinfo else None,
        "reason": record.reason or None,
    }
