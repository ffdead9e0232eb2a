"""The deployer's records: specifications and models to read, deployments to move."""

from dataclasses import replace
from datetime import datetime

from flyball_deployer.fleet import Runtimes
from flyball_deployer.forms import Fleet
from flyball_deployer.policy import Policy, policy_of
from flyball_deployer.rollout import Seat, completed
from flyball_kit.errors import TransientError
from flyball_kit.kv import Kv
from flyball_proto.breakers import BreakerRecord, gravest
from flyball_proto.deployments import ActiveModel
from flyball_proto.events import ModelRecord
from flyball_proto.spec import BASELINE, Pipeline


class Seats:
    """Deployments by pipeline, the models that may take part, and what their owners allow."""

    def __init__(
        self,
        deployments: Kv[ActiveModel],
        records: Kv[ModelRecord],
        pipelines: Kv[Pipeline],
        runtimes: Runtimes,
        breakers: Kv[BreakerRecord],
    ) -> None:
        self._deployments, self._records, self._pipelines = deployments, records, pipelines
        self._runtimes, self._breakers = runtimes, breakers

    async def load(self, pipeline: str) -> tuple[Seat, int]:
        """The deployment, and the revision that `move` wants. One read: a rollback takes no more."""
        record, revision = await self._deployments.load(pipeline)
        return Seat(completed(record) if record is not None else None), revision

    async def with_baseline(self, pipeline: str, seat: Seat) -> Seat:
        """The same with the record of the last fallback."""
        known = seat.record.baseline if seat.record is not None else None
        if known is None:
            return seat
        return replace(seat, baseline=await self._find(pipeline, known.digest))

    async def with_candidate(
        self, pipeline: str, seat: Seat, digest: str, policy: Policy, now: datetime
    ) -> Seat:
        """The same with the record of a model that may come, and who would have to run it.

        Raises:
            TransientError: nobody knows the runtimes yet.
        """
        fleet = Fleet(await self._runtimes.of(pipeline, now), policy.budgets)
        return replace(seat, named=await self._find(pipeline, digest), fleet=fleet)

    async def with_breaker(
        self, pipeline: str, seat: Seat, heard: BreakerRecord | None = None
    ) -> Seat:
        """The same with the pipeline's breaker; its event may come before its record."""
        found = [record for record, _ in (await self._breakers.items(f"{pipeline}.")).values()]
        if heard is not None:
            newer = (r for r in found if r.partition != heard.partition or r.at > heard.at)
            found = [*newer, heard]
        return replace(seat, breaker=gravest(found))

    async def move(self, pipeline: str, record: ActiveModel, *, revision: int) -> int:
        """Move the deployment; returns the new revision.

        Raises:
            LostRaceError: it moved since it was read.
        """
        return await self._deployments.save(pipeline, record, revision=revision)

    async def policy(self, pipeline: str) -> Policy | None:
        """What the pipeline's specification allows; None = it is not applied."""
        found, _ = await self._pipelines.load(f"pipeline.{pipeline}")
        return policy_of(found) if found is not None else None

    async def model(self, pipeline: str, digest: str) -> ModelRecord:
        """The record of an admitted model.

        Raises:
            TransientError: there is none; the registry writes it before it says so.
        """
        if (record := await self._find(pipeline, digest)) is None:
            raise TransientError(f"model {digest[:12]} of {pipeline} has no record yet")
        return record

    async def deployments(self) -> dict[str, ActiveModel]:
        """All deployments by pipeline."""
        return {name: record for name, (record, _) in (await self._deployments.items()).items()}

    async def baselines(self, pipeline: str | None = None) -> list[ModelRecord]:
        """Records of baselines of one or of every pipeline, those admitted first first."""
        prefix = "" if pipeline is None else f"{pipeline}."
        found = [record for record, _ in (await self._records.items(prefix)).values()]
        of_baseline = [record for record in found if record.trainer == BASELINE]
        return sorted(of_baseline, key=lambda record: record.admitted_at)

    async def _find(self, pipeline: str, digest: str) -> ModelRecord | None:
        record, _ = await self._records.load(f"{pipeline}.{digest}")
        return record
