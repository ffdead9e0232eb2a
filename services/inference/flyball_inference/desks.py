"""Follows the records of pipelines and active pointers, and keeps a desk and folds for each."""

from contextlib import aclosing

from flyball_inference.desk import Desk, Flip
from flyball_inference.fold import Scoring
from flyball_inference.settings import Settings
from flyball_inference.store import Bundles
from flyball_kit import clock
from flyball_kit.announce import Announcer
from flyball_kit.connect import Connect
from flyball_kit.fold import Endpoint, FoldOptions, FoldRunner
from flyball_kit.health import Health
from flyball_kit.kv import Kv
from flyball_kit.tasks import Tasks
from flyball_kit.telemetry import FoldTelemetry, traced
from flyball_proto import streams, subjects
from flyball_proto.deployments import ActiveModel
from flyball_proto.events import ModelFlipped
from flyball_proto.spec import Pipeline, digest8

PIPELINE = "pipeline."
"""Keys of pipelines in the bucket `pipelines`."""


class Desks:
    """All pipelines of this process: one task a desk, one fold a partition."""

    def __init__(
        self,
        settings: Settings,
        *,
        connect: Connect,
        bundles: Bundles,
        announcer: Announcer,
        tasks: Tasks,
        health: Health,
    ) -> None:
        self._settings, self._connect, self._bundles = settings, connect, bundles
        self._announcer, self._tasks, self._health = announcer, tasks, health
        self._desks: dict[str, Desk] = {}
        self._unread = {"pipelines", "deployments"}
        self._instance = clock.new_id()
        health.add("records", self._check_records)

    async def follow_pipelines(self, pipelines: Kv[Pipeline]) -> None:
        """Take over what stands in KV `pipelines`, for ever."""
        changes = pipelines.watch(PIPELINE, synced=lambda: self._unread.discard("pipelines"))
        async with aclosing(changes):
            async for change in changes:
                name = change.key.removeprefix(PIPELINE)
                if change.value is None:
                    await self._close(name)
                else:
                    self._desk(name).specify(change.value, change.revision)

    async def follow_pointers(self, pointers: Kv[ActiveModel]) -> None:
        """Take over what stands in KV `deployments`, for ever. A deleted pointer changes nothing."""
        changes = pointers.watch(synced=lambda: self._unread.discard("deployments"))
        async with aclosing(changes):
            async for change in changes:
                if change.value is not None and subjects.is_name(change.key):
                    self._desk(change.key).want(change.value)

    def _desk(self, pipeline: str) -> Desk:
        if pipeline not in self._desks:
            desk = self._desks[pipeline] = Desk(
                pipeline,
                bundles=self._bundles,
                seated=lambda flip: self._seated(desk, flip),
                retry_s=self._settings.retry_s,
            )
            self._health.add(f"model.{pipeline}", desk.waits_for)
            self._health.add(f"next-model.{pipeline}", lambda: desk.trouble, "note")
            self._tasks.spawn(f"desk.{pipeline}", desk.run)
        return self._desks[pipeline]

    async def _close(self, pipeline: str) -> None:
        if self._desks.pop(pipeline, None) is None:
            return
        await self._tasks.remove(f"desk.{pipeline}")
        for partition in range(self._settings.partitions):
            await self._tasks.remove(fold_name(pipeline, partition))
        self._health.drop(f"model.{pipeline}")
        self._health.drop(f"next-model.{pipeline}")

    async def _seated(self, desk: Desk, flip: Flip) -> None:
        """Start the folds with the first model; tell of every one."""
        for partition in range(self._settings.partitions):
            if fold_name(desk.pipeline, partition) not in self._tasks.names:
                self._start(desk, flip.pointer.feature_digest, partition)
        for partition in range(self._settings.partitions):
            event = ModelFlipped(
                pipeline=desk.pipeline,
                at=clock.utc_now(),
                partition=partition,
                digest=flip.pointer.digest,
                epoch=flip.pointer.epoch,
                load_ms=round(flip.load_ms, 3),
            )
            place = f"{desk.pipeline}:{partition}:{flip.pointer.epoch}"
            await self._announcer.publish(event, f"flipped:{place}:{self._instance}")

    def _start(self, desk: Desk, feature_digest: str, partition: int) -> None:
        name = fold_name(desk.pipeline, partition)
        read = subjects.features(desk.pipeline, digest8(feature_digest), partition)
        written = subjects.decisions(desk.pipeline, partition)
        runner = FoldRunner(
            name,
            connect=self._connect,
            source=Endpoint(streams.FEATURES.name, read),
            target=Endpoint(streams.DECISIONS.name, written),
            fold=lambda: traced("score", Scoring(lambda: desk.seat)),
            options=FoldOptions(retain_bytes=self._settings.retain_mib * streams.MIB),
            observer=FoldTelemetry(name),
        )
        self._tasks.add(name, runner)

    def _check_records(self) -> str | None:
        waiting = " and ".join(sorted(self._unread))
        return f"reading the buckets {waiting}" if waiting else None


def fold_name(pipeline: str, partition: int) -> str:
    """Names the task, the reader of FEATURES, and the telemetry of one fold."""
    return f"decisions.{pipeline}.{partition}"
