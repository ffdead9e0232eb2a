"""Trainings from order to announcement; what fails is told once a cause."""

import asyncio
from collections.abc import Iterable
from dataclasses import dataclass
from datetime import datetime, timedelta

from flyball_kit import clock
from flyball_kit.errors import PermanentError, TransientError
from flyball_proto.events import ModelTrained
from flyball_trainer.learning.pace import Outcome
from flyball_trainer.learning.schedule import Because
from flyball_trainer.learning.steps import Steps
from flyball_trainer.publishing import Publishing
from flyball_trainer.training.fitting import NotTrained, Order, Trained
from flyball_trainer.workers.frames import Dataset
from flyball_trainer.workers.pool import Workers


@dataclass(frozen=True, slots=True)
class Job:
    """A training that is due: its order, and why."""

    order: Order
    because: Because
    now_ms: int


@dataclass(frozen=True, slots=True)
class Stored:
    """A model whose bundle is whole."""

    trained: Trained
    manifest_digest: str
    fitted: datetime


@dataclass(frozen=True, slots=True)
class Ended:
    """What became of a job; `announced` only for a model."""

    trainer: str
    now_ms: int
    outcome: Outcome
    announced: ModelTrained | None = None


class Rounds:
    """Trainings of one pipeline. Remembers one cause of failure a trainer.

    `steps` says how far they are; whoever ordered a training ends its step.
    """

    def __init__(self, pipeline: str, workers: Workers, publishing: Publishing) -> None:
        self._pipeline, self._workers, self._publishing = pipeline, workers, publishing
        self.steps = Steps()
        self._told: dict[str, str] = {}

    async def warm_up(self) -> None:
        """Trainings will come: have a worker at hand."""
        await self._workers.warm_up()

    async def run(self, jobs: Iterable[Job], mark: str | None) -> list[Ended]:
        """Train side by side, as far as there are workers; announced in the order of `jobs`."""
        jobs = list(jobs)
        stored = await asyncio.gather(*map(self._stored, jobs))
        return [await self._ended(j, s, mark) for j, s in zip(jobs, stored, strict=True)]

    async def _stored(self, job: Job) -> Stored | Outcome:
        storing: list[asyncio.Future[None]] = []
        trainer = job.order.trainer
        self.steps.reach(trainer, "queued")

        def store(dataset: Dataset) -> None:
            storing.append(asyncio.ensure_future(self._publishing.store_dataset(dataset)))

        try:
            found = await self._workers.train(
                job.order, store, lambda: self.steps.reach(trainer, "fitting")
            )
            if isinstance(found, NotTrained):
                await self._fail(job, found.cause, found.found, found.needed)
                return "refused" if found.retry else "failed"
            self.steps.reach(trainer, "publishing")
            fitted = clock.utc_now() - timedelta(seconds=found.convert_s)
            await asyncio.gather(*storing)  # first: where the manifest lies, all lies
            return Stored(found, await self._publishing.store(found), fitted)
        except (PermanentError, TransientError) as error:
            await self._fail(job, error.kind, str(error), "a training that comes to its end")
            return "failed"
        finally:
            for task in storing:
                task.cancel()

    async def _ended(self, job: Job, stored: Stored | Outcome, mark: str | None) -> Ended:
        trainer = job.order.trainer
        if not isinstance(stored, Stored):
            return Ended(trainer, job.now_ms, stored)
        self._told.pop(trainer, None)
        self.steps.succeed(trainer)
        announced = await self._publishing.announce(
            stored.trained, stored.manifest_digest, stored.fitted, job.because, mark
        )
        return Ended(trainer, job.now_ms, "trained", announced)

    async def _fail(self, job: Job, cause: str, found: str, needed: str) -> None:
        trainer = job.order.trainer
        self.steps.fail(trainer, f"found {found}, needed {needed}")
        if self._told.get(trainer) != cause:
            self._told[trainer] = cause
            await self._publishing.fail(self._pipeline, trainer, found, needed)
