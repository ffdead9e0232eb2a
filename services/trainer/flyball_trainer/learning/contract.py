"""What a pipeline's specification asks of its trainers."""

from dataclasses import dataclass

from flyball_proto.spec import (
    Pipeline,
    Source,
    Trainer,
    complete,
    feature_digest,
    feature_names,
)
from flyball_trainer.learning.schedule import Cadence


@dataclass(frozen=True, slots=True)
class Contract:
    """A pipeline as its trainers see it; every default is written out."""

    pipeline: str
    feature_digest: str
    features: tuple[str, ...]
    task: str
    horizon_ms: int
    label_ahead_ms: int
    """How far a label looks ahead of its row; 0 where truth is about the row itself."""
    gate_rows: int
    """Newest rows that the refresh gate looks at; no more are held out."""
    trainers: tuple[Trainer, ...]
    classes: tuple[str, ...] = ()
    """Of a multiclass target, in score order."""

    @property
    def window_ms(self) -> int:
        """How far back the data of any trainer reach."""
        return max((t.window_ms or 0 for t in self.trainers), default=0)

    @property
    def cadences(self) -> tuple[Cadence, ...]:
        """When each trainer is due, in the order of the specification."""
        return tuple(Cadence(t.name, t.retrain_every_ms, t.retrain_on_drift) for t in self.trainers)


def contract(pipeline: Pipeline, source: Source) -> Contract:
    """The contract of a pipeline that fits its source."""
    spec = complete(pipeline, source).spec
    return Contract(
        pipeline.name,
        feature_digest(pipeline, source),
        feature_names(pipeline, source),
        spec.target.task,
        spec.target.horizon_ms,
        spec.target.horizon_ms if spec.target.kind == "future" else 0,
        spec.promotion.refresh.gate_rows,
        spec.trainers,
        spec.target.classes,
    )
