"""When is which trainer due? Event time and new rows decide, never a clock.

A trainer is due first when it has `MIN_ROWS` usable rows over `MIN_HORIZONS` horizons, then each
`retrain_every` of event time, and after drift, if it wants that, a quarter of `retrain_every` after
its last training at the earliest; always only with `MIN_NEW_ROWS` new rows. Usable is a row with a
label that no action falsified. Event time is the newest `known_ms`: when the youngest truth was
known.

All of it can be found again after a restart, from what was announced and from the samples.
"""

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Literal

import numpy as np

from flyball_proto.columns import Column
from flyball_proto.events import ModelTrained
from flyball_proto.judgements import Drifted
from flyball_trainer.training.split import MIN_HORIZONS, MIN_ROWS

MIN_NEW_ROWS: Final = 20
DRIFT_RATIO: Final = 4

Because = Literal["cadence", "drift"]


@dataclass(frozen=True, slots=True)
class Cadence:
    """What the specification says of a trainer's times."""

    trainer: str
    retrain_every_ms: int
    on_drift: bool


@dataclass(frozen=True, slots=True)
class Progress:
    """How far one trainer is; O(1).

    `through_ms` is the event time of the last training, None = never. The other fields are about
    usable rows since: how many, and the oldest and newest event time among them. `drifted`: drift
    was noticed since. `tried_ms` is the event time of a training that came to nothing.
    """

    through_ms: int | None = None
    rows: int = 0
    oldest_ms: int = 0
    newest_ms: int = 0
    drifted: bool = False
    tried_ms: int | None = None


def known(progress: Progress, known_ms: Column, time_ms: Column) -> Progress:
    """Count usable rows that came; those whose truth the last training knew already are not new."""
    if progress.through_ms is not None:
        time_ms = time_ms[known_ms > progress.through_ms]
    if not len(time_ms):
        return progress
    oldest, newest = int(np.min(time_ms)), int(np.max(time_ms))
    if progress.rows:
        oldest, newest = min(oldest, progress.oldest_ms), max(newest, progress.newest_ms)
    return replace(progress, rows=progress.rows + len(time_ms), oldest_ms=oldest, newest_ms=newest)


def due(progress: Progress, cadence: Cadence, *, now_ms: int, horizon_ms: int) -> Because | None:
    """Why the trainer is due at this event time; None = it is not."""
    every_ms = cadence.retrain_every_ms
    if progress.tried_ms is not None and now_ms - progress.tried_ms < every_ms:
        return None
    if progress.through_ms is None:
        spanned_ms = progress.newest_ms - progress.oldest_ms
        enough = progress.rows >= MIN_ROWS and spanned_ms >= MIN_HORIZONS * horizon_ms
        return "cadence" if enough else None
    if progress.rows < MIN_NEW_ROWS:
        return None
    since_ms = now_ms - progress.through_ms
    if since_ms >= every_ms:
        return "cadence"
    noticed = cadence.on_drift and progress.drifted
    return "drift" if noticed and since_ms * DRIFT_RATIO >= every_ms else None


def trained(now_ms: int) -> Progress:
    """Progress right behind a training on everything known at `now_ms`."""
    return Progress(through_ms=now_ms)


def failed(progress: Progress, now_ms: int) -> Progress:
    """Progress behind a training that cost time and came to nothing: due again after the cadence."""
    return replace(progress, tried_ms=now_ms)


def noticed(progress: Progress) -> Progress:
    """Progress once drift was noticed."""
    return replace(progress, drifted=True)


def recovered(events: Iterable[ModelTrained | Drifted], feature_digest: str) -> dict[str, Progress]:
    """Progress of every trainer that ever trained; `events` in the order in which they were stored."""
    found: dict[str, Progress] = {}
    for event in events:
        if isinstance(event, Drifted):
            found = {name: noticed(progress) for name, progress in found.items()}
        elif event.feature_digest == feature_digest:
            found[event.trainer] = trained(event.trained_through_ms)
    return found
