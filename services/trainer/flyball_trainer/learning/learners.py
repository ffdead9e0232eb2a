"""Follows the records of sources and pipelines, and keeps a learner and its readers for each."""

import logging
from collections.abc import Callable
from typing import Final

from nats.aio.client import Client

from flyball_kit import clock
from flyball_kit.connect import Connect
from flyball_kit.fold.positions import release
from flyball_kit.kv import Kv
from flyball_kit.samples import SampleReader
from flyball_kit.specifications import Fitting
from flyball_kit.tasks import Tasks
from flyball_proto import streams
from flyball_proto.spec import digest8
from flyball_trainer.learning.contract import Contract, contract
from flyball_trainer.learning.learner import Learner
from flyball_trainer.learning.reporting import Reporting

log = logging.getLogger("flyball.trainer.learners")

SERVICE: Final = "trainer"
SOURCE: Final = "source."
PIPELINE: Final = "pipeline."
"""Keys in the bucket `pipelines`."""


class Learners:
    """All pipelines of this process; a reader a partition and two more tasks each."""

    def __init__(
        self,
        partitions: int,
        *,
        learner: Callable[[Contract], Learner],
        connect: Connect,
        client: Callable[[], Client],
        tasks: Tasks,
    ) -> None:
        self._partitions, self._make, self._connect = partitions, learner, connect
        self._client, self._tasks = client, tasks
        self._records: Kv[bytes] = Kv(client, streams.PROGRESS, bytes)
        self._learners: dict[str, Learner] = {}

    async def drifted(self, pipeline: str) -> None:
        """Drift was noticed in a pipeline; of one that is unknown here nothing needs to be done."""
        if pipeline in self._learners:
            await self._learners[pipeline].look_for_drift()

    async def apply(self, found: Fitting) -> None:
        """Start learning, revise it, or begin anew when the features changed."""
        wanted = contract(found.pipeline, found.source)
        running = self._learners.get(wanted.pipeline)
        if running is not None and running.contract.feature_digest == wanted.feature_digest:
            running.revise(wanted)
            return
        await self.end(wanted.pipeline)
        self._start(self._make(wanted))

    def _start(self, learner: Learner) -> None:
        name = learner.contract.pipeline
        self._learners[name] = learner
        for partition in range(self._partitions):
            self._tasks.add(f"samples.{name}.{partition}", self._reader(learner, partition))
        self._tasks.spawn(f"training.{name}", learner.train_for_ever)
        reporting = Reporting(self._records, name)
        self._tasks.spawn(
            f"progress.{name}",
            lambda: reporting.keep_for_ever(
                lambda: learner.progress(clock.utc_now()), learner.steps
            ),
        )

    def _reader(self, learner: Learner, partition: int) -> SampleReader:
        return SampleReader(
            SERVICE,
            connect=self._connect,
            pipeline=learner.contract.pipeline,
            feature_digest=learner.contract.feature_digest,
            partition=partition,
            behind=lambda: learner.behind(partition),
            take=learner.take,
            needed=lambda: learner.needed(partition),
        )

    async def end(self, name: str) -> None:
        """Stop learning; SAMPLES does not wait for its readers any more."""
        learner = self._learners.pop(name, None)
        if learner is None:
            return
        digest = digest8(learner.contract.feature_digest)
        for partition in range(self._partitions):
            await self._tasks.remove(f"samples.{name}.{partition}")
            reader = f"{SERVICE}.{name}.{digest}.{partition}"
            await release(self._client().jetstream(), streams.SAMPLES.name, reader)
        await self._tasks.remove(f"training.{name}")
        await self._tasks.remove(f"progress.{name}")
