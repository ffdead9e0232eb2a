"""From an applied pipeline to a stored and announced baseline."""

import asyncio
import logging

from flyball_kit import clock
from flyball_kit.announce import Announcer
from flyball_kit.errors import PermanentError, TransientError
from flyball_proto.events import Manifest, ModelTrained
from flyball_trainer.seatzero.baseline import baseline
from flyball_trainer.seatzero.onnxfile import write
from flyball_trainer.store import Applied, Bundles, Specs

log = logging.getLogger("flyball.trainer.training")


class Baselines:
    """Gives every applied pipeline its baseline. Each step may be repeated; one at a time."""

    def __init__(self, specs: Specs, bundles: Bundles, announcer: Announcer) -> None:
        self._specs, self._bundles, self._announcer = specs, bundles, announcer
        self._turn = asyncio.Lock()

    async def deliver(self, pipeline: str) -> None:
        """Store and announce the baseline of a pipeline as it stands now."""
        async with self._turn:
            applied = await self._specs.load(pipeline)
            onnx, manifest = write(baseline(applied.pipeline, applied.source))
            await self._publish(applied, onnx, manifest)

    async def sweep(self) -> None:
        """Deliver what was never announced: an event may have been lost with a purged stream."""
        for name in await self._specs.names():
            try:
                async with self._turn:
                    await self._deliver_if_unknown(name)
            except PermanentError as error:
                log.warning("pipeline %s gets no baseline: %s", name, error)

    async def sweep_for_ever(self, every_s: float) -> None:
        """`sweep` now and then."""
        while True:
            try:
                await self.sweep()
            except TransientError as error:
                log.warning("the sweep for missing baselines is tried again later: %s", error)
            await clock.sleep(every_s)

    async def _deliver_if_unknown(self, pipeline: str) -> None:
        applied = await self._specs.load(pipeline)
        onnx, manifest = write(baseline(applied.pipeline, applied.source))
        last = await self._announcer.last(ModelTrained, pipeline)
        if last is None or (last.trainer == manifest.trainer and last.digest != manifest.digest):
            await self._publish(applied, onnx, manifest)

    async def _publish(self, applied: Applied, onnx: bytes, manifest: Manifest) -> None:
        trained = ModelTrained(
            pipeline=manifest.pipeline,
            at=clock.utc_now(),
            digest=manifest.digest,
            manifest_digest=await self._stored(onnx, manifest),
            trainer=manifest.trainer,
            feature_digest=manifest.feature_digest,
            size_bytes=len(onnx),
        )
        # A specification that returns to an earlier form gets its earlier model announced anew.
        revisions = ".".join(str(r) for r in applied.revisions)
        await self._announcer.publish(trained, f"{manifest.digest}.{revisions}")

    async def _stored(self, onnx: bytes, manifest: Manifest) -> str:
        """Store the bundle with its papers, whose library is imported beside everything else."""
        files = await asyncio.to_thread(_papers, manifest, len(onnx))
        return await self._bundles.put(onnx, manifest, files=files)


def _papers(manifest: Manifest, size_bytes: int) -> dict[str, bytes]:
    from flyball_trainer.bundling.papers import papers  # noqa: PLC0415 - heavy

    return papers(manifest, size_bytes, {})
