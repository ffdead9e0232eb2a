"""From a trained model to a stored and announced bundle. What is away is waited for."""

import logging
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import TYPE_CHECKING, Final, Literal, TypeVar

from flyball_kit import clock
from flyball_kit.announce import Announcer
from flyball_kit.errors import TransientError
from flyball_kit.settle import Retry
from flyball_proto.events import ModelTrained, TrainerSettled, TrainingFailed
from flyball_trainer.store import Bundles
from flyball_trainer.workers.frames import Dataset

if TYPE_CHECKING:
    from flyball_trainer.training.fitting import Trained

log = logging.getLogger("flyball.trainer.publishing")

PATIENT: Final = Retry(deliveries=17_280, longest_s=5.0)
"""S3 or the broker may be away for a day; then the training has failed."""

T = TypeVar("T")


class Publishing:
    """Stores and announces models of all pipelines. Every step may be repeated.

    `waits_for` says for health what is waited for now, None = nothing.
    """

    def __init__(self, bundles: Bundles, announcer: Announcer, retry: Retry = PATIENT) -> None:
        self._bundles, self._announcer, self._retry = bundles, announcer, retry
        self._waiting: dict[str, str] = {}

    def waits_for(self) -> str | None:
        """What cannot be published now, and why."""
        return "; ".join(self._waiting.values()) or None

    async def store_dataset(self, dataset: Dataset) -> None:
        """Store what a model is being fitted to.

        Raises:
            TransientError: S3 was away for a day.
            PermanentError: S3 refuses.
        """
        await self.patiently(
            f"data set {dataset.digest[:12]}",
            lambda: self._bundles.put_dataset(dataset.digest, dataset.parquet),
        )

    async def store(self, trained: "Trained") -> str:
        """Store a bundle; returns the manifest's digest. Raises like `store_dataset`."""
        onnx, manifest = trained.onnx, trained.manifest
        return await self.patiently(
            f"model {manifest.digest[:12]} of {manifest.pipeline}",
            lambda: self._bundles.put(onnx, manifest, trained.report, trained.files),
        )

    async def announce(
        self,
        trained: "Trained",
        manifest_digest: str,
        fitted: datetime,
        because: Literal["cadence", "drift"],
        mark: str | None,
    ) -> ModelTrained:
        """Tell of a stored model, once in effect."""
        manifest = trained.manifest
        event = ModelTrained(
            pipeline=manifest.pipeline,
            at=clock.utc_now(),
            digest=manifest.digest,
            manifest_digest=manifest_digest,
            trainer=manifest.trainer,
            feature_digest=manifest.feature_digest,
            size_bytes=len(trained.onnx),
            kind=manifest.kind,
            trained_through=manifest.trained_through,
            trained_through_ms=manifest.trained_through_ms,
            rows=manifest.rows,
            because=because,
            mark=mark,
            fit_ms=round(1000 * trained.fit_s, 3),
            fitted_at=fitted,
            warnings=trained.warnings,
        )
        when = mark or str(manifest.trained_through_ms)
        await self._tell(event, f"trained.{event.pipeline}.{event.trainer}.{event.digest}.{when}")
        return event

    async def fail(self, pipeline: str, trainer: str, found: str, needed: str) -> None:
        """Tell of a training that gave no model."""
        log.warning(
            "trainer %s of %s: no model: found %s, needed %s", trainer, pipeline, found, needed
        )
        event = TrainingFailed(
            pipeline=pipeline, at=clock.utc_now(), trainer=trainer, found=found, needed=needed
        )
        await self._tell(event, f"failed.{pipeline}.{trainer}.{clock.new_id()}")

    async def settle(self, pipeline: str, mark: str, digests: tuple[str, ...]) -> None:
        """Tell that every training due at a mark has ended; the same mark may be told again."""
        event = TrainerSettled(pipeline=pipeline, at=clock.utc_now(), mark=mark, digests=digests)
        await self._tell(event, f"settled.trainer.{pipeline}.{mark}")

    async def _tell(self, event: ModelTrained | TrainingFailed | TrainerSettled, key: str) -> None:
        await self.patiently(event.subject, lambda: self._announcer.publish(event, key))

    async def patiently(self, what: str, call: Callable[[], Awaitable[T]]) -> T:
        """Repeat a call while what it needs is away.

        Raises:
            TransientError: it was away too long.
        """
        attempt = 0
        while True:
            attempt += 1
            try:
                found = await call()
            except TransientError as error:
                if attempt >= self._retry.deliveries:
                    raise
                delay_s = self._retry.delay_s(attempt)
                self._waiting[what] = f"{what} waits: {error}"
                log.warning("%s waits: %s; tried again in %.1f s", what, error, delay_s)
                await clock.sleep(delay_s)
            else:
                self._waiting.pop(what, None)
                return found
