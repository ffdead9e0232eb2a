"""What trainings are made of: the window of samples, and how far the stream was read for it."""

from typing import Final

from flyball_proto.columns import Samples
from flyball_trainer.learning.contract import Contract
from flyball_trainer.learning.window import Window
from flyball_trainer.training.fitting import Order

MAX_ROWS: Final = 5_000_000
"""The specification allows no trainer more; usually the bytes bound the window."""


class Material:
    """The window that all trainers of a pipeline share; at most `max_bytes` of rows."""

    def __init__(self, width: int, max_bytes: int) -> None:
        self._window = Window(width, MAX_ROWS, max_bytes)
        self._through: dict[str, int] = {}

    def append(self, partition: int, samples: Samples) -> None:
        """Take in a message of a partition, also one without rows."""
        if len(samples.rows):
            self._window.append(samples)
        place = str(partition)
        self._through[place] = max(self._through.get(place, 0), samples.flow.last)

    def order(self, contract: Contract, name: str, now_ms: int) -> Order:
        """An order for a trainer of the contract on everything known at `now_ms`."""
        trainer = next(t for t in contract.trainers if t.name == name)
        window_ms = trainer.window_ms or contract.window_ms
        return Order(
            pipeline=contract.pipeline,
            trainer=trainer.name,
            kind=trainer.kind,
            parameters=trainer.parameters,
            task=contract.task,
            features=contract.features,
            feature_digest=contract.feature_digest,
            rows=self._window.select(window_ms=window_ms, max_rows=trainer.max_rows, now_ms=now_ms),
            horizon_ms=contract.horizon_ms,
            label_ahead_ms=contract.label_ahead_ms,
            max_holdout_rows=contract.gate_rows,
            trained_through=dict(sorted(self._through.items())),
            trained_through_ms=now_ms,
            classes=contract.classes,
            class_weight=trainer.class_weight,
            search=trainer.search,
            executor=trainer.executor,
            variants=trainer.variants,
        )
