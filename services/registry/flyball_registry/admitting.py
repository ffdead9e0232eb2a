"""From a trained model to its record and the event that says what became of it."""

import asyncio
import logging
from datetime import datetime

from flyball_kit import clock
from flyball_kit.announce import Announcer
from flyball_kit.errors import PermanentError, TransientError
from flyball_kit.kv import Kv
from flyball_kit.objects import Objects
from flyball_proto.bundles import is_digest
from flyball_proto.events import ModelAdmitted, ModelRecord, ModelRefused, ModelTrained
from flyball_proto.subjects import is_name
from flyball_registry.admission import Refusal, examine
from flyball_registry.store import Specs, fetch

log = logging.getLogger("flyball.registry.admitting")


class ForeignEventError(PermanentError):
    """An event names a pipeline that cannot exist."""

    kind = "foreign-event"


class Admission:
    """Examines trained models. Record first, then event; each step may be repeated."""

    def __init__(
        self, specs: Specs, objects: Objects, records: Kv[ModelRecord], announcer: Announcer
    ) -> None:
        self._specs, self._objects = specs, objects
        self._records, self._announcer = records, announcer
        self._turn = asyncio.Lock()

    async def admit(self, claim: ModelTrained) -> None:
        """Examine a model, unless its record is younger than the claim, and tell the outcome."""
        if not is_name(claim.pipeline):
            raise ForeignEventError(f"no pipeline can be named {claim.pipeline[:80]!r}")
        async with self._turn:  # the sweep may have come to the same model
            await self._admit(claim)

    async def _admit(self, claim: ModelTrained) -> None:
        record, revision = await self._known(claim)
        if record is not None and record.stage != "refused" and record.admitted_at >= claim.at:
            await self._announce(record)
            return
        refusal = await self._examined(claim)
        fresh = _record(claim, record, clock.utc_now(), refused=refusal is not None)
        if is_digest(claim.digest):
            await self._records.save(_key(claim), fresh, revision=revision)
        if refusal is None:
            await self._announce(fresh)
        else:
            await self._refuse(claim, refusal)

    async def sweep(self) -> None:
        """Examine last trained models without a record: the event may have missed us."""
        for pipeline in await self._specs.names():
            last = await self._announcer.last(ModelTrained, pipeline)
            if last is None:
                continue
            record, _ = await self._known(last)
            if record is None:
                await self.admit(last)

    async def sweep_for_ever(self, every_s: float) -> None:
        """`sweep` now and then."""
        while True:
            try:
                await self.sweep()
            except (PermanentError, TransientError) as error:
                log.warning("the sweep for unexamined models is tried again later: %s", error)
            await clock.sleep(every_s)

    async def _known(self, claim: ModelTrained) -> tuple[ModelRecord | None, int]:
        return await self._records.load(_key(claim)) if is_digest(claim.digest) else (None, 0)

    async def _examined(self, claim: ModelTrained) -> Refusal | None:
        expected = await self._specs.expected(claim.pipeline)
        found = await fetch(self._objects, claim, expected)
        return await asyncio.to_thread(examine, claim, found, expected)

    async def _announce(self, record: ModelRecord) -> None:
        admitted = ModelAdmitted(
            pipeline=record.pipeline,
            at=record.admitted_at,
            digest=record.digest,
            trainer=record.trainer,
            feature_digest=record.feature_digest,
        )
        await self._announcer.publish(
            admitted, f"admitted.{_key(record)}.{record.admitted_at.timestamp()}"
        )

    async def _refuse(self, claim: ModelTrained, refusal: Refusal) -> None:
        log.warning(
            "%s of %s refused: %s: found %s, limit %s",
            claim.digest[:12],
            claim.pipeline,
            refusal.check,
            refusal.found,
            refusal.limit,
        )
        refused = ModelRefused(
            pipeline=claim.pipeline,
            at=clock.utc_now(),
            digest=claim.digest,
            trainer=claim.trainer,
            check=refusal.check,
            found=refusal.found,
            limit=refusal.limit,
        )
        await self._announcer.publish(refused, f"refused.{_key(claim)}.{claim.at.timestamp()}")


def _record(
    claim: ModelTrained, before: ModelRecord | None, now: datetime, *, refused: bool
) -> ModelRecord:
    """A model that is admitted once more keeps its stage."""
    stage = before.stage if before is not None and before.stage != "refused" else "challenger"
    return ModelRecord(
        pipeline=claim.pipeline,
        digest=claim.digest,
        manifest_digest=claim.manifest_digest,
        trainer=claim.trainer,
        feature_digest=claim.feature_digest,
        stage="refused" if refused else stage,
        size_bytes=claim.size_bytes,
        admitted_at=now,
    )


def _key(model: ModelTrained | ModelRecord) -> str:
    return f"{model.pipeline}.{model.digest}"
