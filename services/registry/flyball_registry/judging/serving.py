"""Decisions against what their models say here of the same rows."""

import asyncio
import logging
from dataclasses import dataclass
from datetime import datetime

import numpy as np

from flyball_proto.columns import Model
from flyball_proto.judgements import ScoresSkewed
from flyball_registry.judging.surroundings import Surroundings
from flyball_registry.scoring import skew
from flyball_registry.scoring.models import scores
from flyball_registry.scoring.rows import Sampled, models
from flyball_registry.scoring.skew import Said, Skew

log = logging.getLogger("flyball.registry.serving")


@dataclass(frozen=True, slots=True)
class Served:
    """Skews that are to be told, and all that were."""

    skews: tuple[ScoresSkewed, ...]
    said: tuple[Said, ...]


async def served(
    rows: Sampled, around: Surroundings, said: tuple[Said, ...], at: datetime
) -> Served:
    """Score some of the rows again; each model is told of once an epoch and an hour of event time.

    A model that is not known here, or cannot be loaded, is not compared.
    """
    looked_at = rows.take(skew.chosen(rows))
    found: list[ScoresSkewed] = []
    for model in models(looked_at):
        own = looked_at.take(np.array([one == model for one in looked_at.model], bool))
        loaded = await around.model(model.digest)
        if loaded is None:
            continue
        again = await asyncio.to_thread(scores, loaded, own.feature)
        differs = skew.compared(own.score, again, skew.tolerance(model, loaded.manifest))
        if differs is None:
            continue
        time_ms = int(own.time_ms[differs.farthest])
        if skew.is_new(said, model, time_ms):
            event = _event(around.pipeline, model, own, differs, at)
            words = _words(event, model)
            log.warning(words)
            found.append(event)
            said = skew.noted(said, model, time_ms, words)
    return Served(tuple(found), said)


def _event(pipeline: str, model: Model, rows: Sampled, found: Skew, at: datetime) -> ScoresSkewed:
    row = found.farthest
    return ScoresSkewed(
        pipeline=pipeline,
        at=at,
        digest=model.digest,
        epoch=model.epoch,
        rows=found.rows,
        looked_at=found.looked_at,
        apart=found.apart,
        tolerance=found.tolerance,
        decision=f"{pipeline}.{int(rows.sequence[row])}.{int(rows.sample[row])}",
    )


def _words(event: ScoresSkewed, model: Model) -> str:
    form = f" as {model.precision}" if model.precision else ""
    return (
        f"decisions of model {event.digest[:12]}{form} carry other scores than it gives here: "
        f"{event.rows} of {event.looked_at} rows, by up to {event.apart:.3g}; look at the runtime "
        f"that decided {event.decision}"
    )
