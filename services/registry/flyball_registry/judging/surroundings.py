"""What else a look needs besides samples: who is active, which models there are, their sessions."""

import logging
from collections.abc import Awaitable, Callable, Collection
from contextlib import aclosing
from functools import partial
from typing import Final, TypeVar

from flyball_kit import clock
from flyball_kit.errors import TransientError
from flyball_kit.kv import Kv
from flyball_kit.lockstep import Settlements
from flyball_proto.columns import Mark
from flyball_proto.deployments import ActiveModel
from flyball_proto.events import ModelMeasured, ModelRecord, TrainerSettled
from flyball_registry.contract import Contract
from flyball_registry.scoring.models import Loaded, Models
from flyball_registry.scoring.reports import Reports
from flyball_registry.scoring.timelines import Timelines

LONGEST_S: Final = 5.0
FIRST_S: Final = 0.1

T = TypeVar("T")
Examined = Callable[[str, Collection[str]], Awaitable[list[ModelRecord]]]

log = logging.getLogger("flyball.registry.surroundings")


class Surroundings:
    """Reads KV `deployments` and `models`, and bundles; waits where they are away.

    `trouble` says in words what is waited for, None = nothing. `others` are the deployments of other
    pipelines, as many as there are.
    """

    def __init__(
        self,
        pipeline: str,
        *,
        deployments: Kv[ActiveModel],
        records: Kv[ModelRecord],
        models: Models,
        reports: Reports,
        trainers: Settlements[TrainerSettled],
        examined: Examined,
    ) -> None:
        self.pipeline = pipeline
        self.pointer: ActiveModel | None = None
        self.others: dict[str, ActiveModel] = {}
        self.latencies: dict[int, ModelMeasured] = {}
        self.trips: dict[str, str] = {}
        self.trouble: str | None = None
        self._deployments, self._records, self._models = deployments, records, models
        self._trainers, self._examined = trainers, examined
        self._reports = reports
        self._known: dict[str, ModelRecord] = {}

    async def load(self) -> None:
        """Read every model's record and the deployment."""
        found = await self.patient(
            lambda: self._records.items(f"{self.pipeline}."), "the records of models"
        )
        for record, _ in found.values():
            self.note(record)
        await self.look_up()

    def note(self, model: ModelRecord) -> None:
        """A model's record is new, or another one."""
        self._known[model.digest] = model

    def timelines(self, contract: Contract) -> Timelines:
        """The models of the contract's trainers as they are known now."""
        return Timelines.of(
            record
            for record in self._known.values()
            if record.trainer in contract.trainers
            and record.feature_digest == contract.feature_digest
        )

    @property
    def records(self) -> dict[str, ModelRecord]:
        """All known records by digest."""
        return self._known

    async def look_up(self) -> ActiveModel | None:
        """The deployment as it is now; None = nobody is active."""
        self.pointer, _ = await self.patient(
            lambda: self._deployments.load(self.pipeline), "the deployment"
        )
        return self.pointer

    async def look_up_others(self, pipelines: Collection[str]) -> None:
        """Other pipelines' deployments as they are now."""
        for name in pipelines:
            load = partial(self._deployments.load, name)
            found, _ = await self.patient(load, f"the deployment of {name}")
            if found is not None:
                self.others[name] = found

    async def follow(
        self, moved: Callable[[ActiveModel], Awaitable[None]], other: Callable[[str], None]
    ) -> None:
        """Keep the pointer up to date, and those of all other pipelines, for ever."""
        async with aclosing(self._deployments.watch()) as changes:
            async for change in changes:
                if change.value is None:
                    self.others.pop(change.key, None)
                elif change.key == self.pipeline:
                    self.pointer = change.value
                    await moved(change.value)
                else:
                    self.others[change.key] = change.value
                    other(change.key)

    async def trained(self, mark: Mark) -> None:
        """Wait until every training due by a lockstep mark has ended and was examined."""
        self.trouble = f"waits for the trainer to settle mark {mark.id}"
        settled = await self._trainers.wait(self.pipeline, mark.id)
        self.trouble = f"waits for models of mark {mark.id} to be examined"
        for record in await self.patient(
            lambda: self._examined(self.pipeline, settled.digests), "the records of models"
        ):
            self.note(record)
        self.trouble = None

    async def model(self, digest: str) -> Loaded | None:
        """A model that scores; None when there is none of this name, or it cannot be used."""
        record = self._known.get(digest)
        if record is None:
            return None
        return await self.patient(lambda: self._models.load(record), f"model {digest[:12]}")

    async def importance(self, digest: str, features: tuple[str, ...]) -> tuple[float, ...]:
        """What a model makes of each feature; empty = nobody knows."""
        return await self.patient(
            lambda: self._reports.importance(digest, features), f"the report of {digest[:12]}"
        )

    async def patient(self, call: Callable[[], Awaitable[T]], what: str) -> T:
        """Repeat a call until it is answered."""
        delay_s = FIRST_S
        while True:
            try:
                found = await call()
            except TransientError as error:
                if self.trouble is None:
                    log.warning("%s waits for %s: %s", self.pipeline, what, error)
                self.trouble = f"waits for {what}: {error}"
                await clock.sleep(delay_s)
                delay_s = min(LONGEST_S, 2 * delay_s)
            else:
                self.trouble = None
                return found
