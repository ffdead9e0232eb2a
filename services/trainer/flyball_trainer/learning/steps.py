"""What is under way for each trainer, and why its last training gave no model."""

import asyncio
from collections.abc import Mapping
from typing import Literal

Step = Literal["queued", "fitting", "publishing"]


class Steps:
    """Trainings of one pipeline, from the order to their end; one entry a trainer.

    For whoever looks, and clears them: `moved` is set whenever anything about the trainers changed,
    `turned` also when a step did.
    """

    def __init__(self) -> None:
        self.moved, self.turned = asyncio.Event(), asyncio.Event()
        self._under_way: dict[str, Step] = {}
        self._failed: dict[str, str] = {}

    @property
    def under_way(self) -> Mapping[str, Step]:
        """Trainers that are being trained, and how far it is."""
        return self._under_way

    @property
    def failed(self) -> Mapping[str, str]:
        """Trainers whose last training gave no model, and why."""
        return self._failed

    def reach(self, trainer: str, step: Step) -> None:
        """A training has come to its next step."""
        self._under_way[trainer] = step
        self._turn()

    def fail(self, trainer: str, why: str) -> None:
        """A training gives no model."""
        self._failed[trainer] = why

    def succeed(self, trainer: str) -> None:
        """A training gave a model."""
        self._failed.pop(trainer, None)

    def end(self, trainer: str) -> None:
        """Nothing is under way for a trainer any more."""
        self._under_way.pop(trainer, None)
        self._turn()

    def _turn(self) -> None:
        self.moved.set()
        self.turned.set()
