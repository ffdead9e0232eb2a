"""From a trained model to its record and the event that says what became of it."""

import asyncio
import logging
from collections.abc import Callable, Collection, Mapping
from datetime import datetime

from flyball_kit import clock
from flyball_kit.announce import Announcer
from flyball_kit.errors import PermanentError, TransientError
from flyball_kit.kv import Kv
from flyball_kit.objects import Objects
from flyball_proto.bundles import is_digest
from flyball_proto.events import Manifest, ModelAdmitted, ModelRecord, ModelRefused, ModelTrained
from flyball_proto.subjects import is_name
from flyball_registry.admission.claims import Refusal, outside
from flyball_registry.admission.frames import Order, Outcome, refused
from flyball_registry.admission.isolation import Examiner
from flyball_registry.admission.store import Specs, fetch
from flyball_registry.scoring.timelines import valid_from

log = logging.getLogger("flyball.registry.admitting")

MAX_WARNINGS, MAX_WARNING = 16, 400
"""A trainer's warnings that are kept, and characters of each."""

Position = Callable[[str], Mapping[str, int]]
"""How far a pipeline's samples were read, as METRICS sequences by partition."""


class ForeignEventError(PermanentError):
    """An event names a pipeline that cannot exist."""

    kind = "foreign-event"


class Admission:
    """Examines trained models. Record first, then event; each step may be repeated."""

    def __init__(
        self,
        specs: Specs,
        objects: Objects,
        records: Kv[ModelRecord],
        announcer: Announcer,
        *,
        examiner: Examiner,
        position: Position = lambda _: {},
        admitted: Callable[[ModelRecord], None] = lambda _: None,
    ) -> None:
        self._specs, self._objects = specs, objects
        self._records, self._announcer = records, announcer
        self._examiner = examiner
        self._position, self._admitted = position, admitted
        self._turn = asyncio.Lock()
        self._examined = asyncio.Condition()

    async def admit(self, claim: ModelTrained) -> ModelRecord | None:
        """Examine a model, unless its record is younger than the claim, and tell the outcome.

        Returns its record; None when not even its name could be recorded.
        """
        if not is_name(claim.pipeline):
            raise ForeignEventError(f"no pipeline can be named {claim.pipeline[:80]!r}")
        async with self._turn:  # the sweep may have come to the same model
            record = await self._admit(claim)
        if record is not None and record.stage != "refused":
            self._admitted(record)
        async with self._examined:
            self._examined.notify_all()
        return record

    async def examined(self, pipeline: str, digests: Collection[str]) -> list[ModelRecord]:
        """The records of models, once all have been examined; waits for as long as that takes."""
        found: dict[str, ModelRecord] = {}
        async with self._examined:
            while True:
                for digest in sorted(d for d in digests if is_digest(d) and d not in found):
                    record, _ = await self._records.load(f"{pipeline}.{digest}")
                    if record is not None:
                        found[digest] = record
                if found.keys() >= set(filter(is_digest, digests)):
                    return list(found.values())
                await self._examined.wait()

    async def _admit(self, claim: ModelTrained) -> ModelRecord | None:
        record, revision = await self._known(claim)
        if record is not None and record.stage != "refused" and record.admitted_at >= claim.at:
            await self._announce(record)
            return record
        began_s = clock.monotonic_s()
        outcome, manifest = await self._outcome(claim)
        refusal = outcome.refusal
        fresh = _record(claim, record, clock.utc_now(), self._valid_from(claim), outcome, manifest)
        if is_digest(claim.digest):
            await self._records.save(_key(claim), fresh, revision=revision)
        if refusal is None:
            took_ms = (clock.monotonic_s() - began_s) * 1000
            log.info("%s of %s admitted in %.0f ms", claim.digest[:12], claim.pipeline, took_ms)
            await self._announce(fresh)
        else:
            await self._refuse(claim, refusal)
        return fresh if is_digest(claim.digest) else None

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

    def _valid_from(self, claim: ModelTrained) -> dict[str, int]:
        """In lockstep the mark at which it was due; else from now on, whenever it was trained."""
        position = {} if claim.mark is not None else self._position(claim.pipeline)
        return valid_from(claim.trained_through, position)

    async def _known(self, claim: ModelTrained) -> tuple[ModelRecord | None, int]:
        return await self._records.load(_key(claim)) if is_digest(claim.digest) else (None, 0)

    async def _outcome(self, claim: ModelTrained) -> tuple[Outcome, Manifest | None]:
        """What became of a model; its manifest once that is known to be sound."""
        expected = await self._specs.expected(claim.pipeline)
        signers = self._examiner.signers
        found = await fetch(self._objects, claim, expected, signers)
        refusal = outside(claim, found, expected, signers.nkeys)
        if refusal is not None or expected is None or found.manifest is None:
            return (refused(refusal) if refusal else Outcome()), None
        order = Order(claim, found, expected, signers.pem)
        outcome = await self._examiner.examine(order)
        sound = outcome.refusal is None
        return outcome, Manifest.model_validate_json(found.manifest) if sound else None

    async def _announce(self, record: ModelRecord) -> None:
        admitted = ModelAdmitted(
            pipeline=record.pipeline,
            at=record.admitted_at,
            digest=record.digest,
            trainer=record.trainer,
            feature_digest=record.feature_digest,
            valid_from=record.valid_from,
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
    claim: ModelTrained,
    before: ModelRecord | None,
    now: datetime,
    valid: dict[str, int],
    outcome: Outcome,
    manifest: Manifest | None,
) -> ModelRecord:
    """A model that is admitted once more keeps its stage, and since when it answers."""
    again = before if before is not None and before.stage != "refused" else None
    stage = "challenger" if again is None else again.stage
    return ModelRecord(
        pipeline=claim.pipeline,
        digest=claim.digest,
        manifest_digest=claim.manifest_digest,
        trainer=claim.trainer,
        feature_digest=claim.feature_digest,
        stage=stage if outcome.refusal is None else "refused",
        size_bytes=claim.size_bytes,
        admitted_at=now,
        kind=claim.kind,
        trained_through=claim.trained_through,
        trained_through_ms=claim.trained_through_ms,
        rows=claim.rows,
        valid_from=valid if again is None else again.valid_from,
        dataset_digest="" if manifest is None else manifest.dataset_digest,
        warnings=tuple(warning[:MAX_WARNING] for warning in claim.warnings[:MAX_WARNINGS]),
        variants=() if manifest is None else manifest.variants,
        latency_p99_ms=outcome.latency_p99_ms,
        memory_bytes=outcome.memory_bytes,
    )


def _key(model: ModelTrained | ModelRecord) -> str:
    return f"{model.pipeline}.{model.digest}"
