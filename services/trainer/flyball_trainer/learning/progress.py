"""How far each trainer of a pipeline is, for people to see. Pure."""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from datetime import datetime
from typing import Final

from flyball_proto.events import ModelTrained
from flyball_proto.progress import TrainerProgress
from flyball_proto.spec import Trainer
from flyball_trainer.learning.contract import Contract
from flyball_trainer.learning.schedule import MIN_NEW_ROWS, Progress
from flyball_trainer.learning.steps import Step
from flyball_trainer.training.split import MIN_HORIZONS, MIN_ROWS

RATE_POINTS: Final = 64
"""Newest instants at which rows came; the pace is reckoned from the first of them to the last."""


class Rate:
    """Usable rows a second of event time, lately; O(1)."""

    def __init__(self) -> None:
        self._points: deque[tuple[int, int]] = deque(maxlen=RATE_POINTS)

    def know(self, now_ms: int, rows: int) -> None:
        """So many usable rows came; `now_ms` never falls."""
        last_ms, total = self._points[-1] if self._points else (None, 0)
        if last_ms == now_ms:
            self._points.pop()
        self._points.append((now_ms, total + rows))

    @property
    def rows_per_s(self) -> float:
        """0 before rows came at two instants."""
        if len(self._points) < 2:
            return 0.0
        (first_ms, before), (last_ms, total) = self._points[0], self._points[-1]
        return 1000 * (total - before) / (last_ms - first_ms)


@dataclass(slots=True)
class Delivered:
    """Models that trainers have delivered for one feature digest; one entry a trainer."""

    models: dict[str, int] = field(default_factory=dict)
    last: dict[str, str] = field(default_factory=dict)

    def note(self, event: ModelTrained) -> None:
        """A model was announced."""
        self.models[event.trainer] = self.models.get(event.trainer, 0) + 1
        self.last[event.trainer] = event.digest


@dataclass(frozen=True, slots=True)
class Now:
    """What is the same for all trainers of a pipeline at this moment."""

    at: datetime
    now_ms: int
    rows_per_s: float
    under_way: Mapping[str, Step]
    failed: Mapping[str, str]
    delivered: Delivered


def told(contract: Contract, trainer: Trainer, progress: Progress, now: Now) -> TrainerProgress:
    """How far a trainer of the contract is."""
    name, through_ms = trainer.name, progress.through_ms
    first = through_ms is None
    since_ms = max(through_ms or 0, progress.tried_ms or 0)
    return TrainerProgress(
        pipeline=contract.pipeline,
        trainer=name,
        feature_digest=contract.feature_digest,
        at=now.at,
        state=now.under_way.get(name) or ("gathering" if first else "waiting"),
        now_ms=now.now_ms,
        rows=progress.rows,
        rows_needed=MIN_ROWS if first else MIN_NEW_ROWS,
        span_ms=progress.newest_ms - progress.oldest_ms,
        span_needed_ms=MIN_HORIZONS * contract.horizon_ms if first else 0,
        due_ms=since_ms + trainer.retrain_every_ms if since_ms else 0,
        rows_per_s=round(now.rows_per_s, 6),
        trained_through_ms=through_ms or 0,
        models=now.delivered.models.get(name, 0),
        last_digest=now.delivered.last.get(name, ""),
        failed=now.failed.get(name, ""),
    )
