"""Follows the records of pipelines and deployments, and keeps a desk and folds for each."""

import logging
from collections.abc import Callable
from contextlib import aclosing

from flyball_inference.desk import Desk, Flip, Standing
from flyball_inference.fold import Scoring
from flyball_inference.gate import Gate
from flyball_inference.gauge import Gauge
from flyball_inference.hot import Hot
from flyball_inference.settings import Settings
from flyball_inference.telling import Teller
from flyball_kit import clock
from flyball_kit.connect import Connect
from flyball_kit.errors import TransientError
from flyball_kit.fold import Endpoint, FoldOptions, FoldRunner
from flyball_kit.health import Health
from flyball_kit.kv import Kv
from flyball_kit.lockstep import Settlements
from flyball_kit.tasks import Tasks
from flyball_kit.telemetry import FoldTelemetry, traced
from flyball_proto import streams, subjects
from flyball_proto.deployments import ActiveModel, DeployerSettled
from flyball_proto.spec import Pipeline, digest8

PIPELINE = "pipeline."
"""Keys of pipelines in the bucket `pipelines`."""

log = logging.getLogger("flyball.inference.desks")


class Desks:
    """All pipelines of this process: one task a desk, one fold a partition.

    `hot` gives the loaded models of a pipeline; `noticed` is called when `standings` changed.
    """

    def __init__(
        self,
        settings: Settings,
        *,
        connect: Connect,
        hot: Callable[[str], Hot],
        teller: Teller,
        settlements: Settlements[DeployerSettled],
        tasks: Tasks,
        health: Health,
    ) -> None:
        self.noticed: Callable[[], None] = lambda: None
        self._settings, self._connect, self._hot = settings, connect, hot
        self._teller, self._settlements = teller, settlements
        self._tasks, self._health = tasks, health
        self._desks: dict[str, Desk] = {}
        self._pointers: dict[str, ActiveModel] = {}
        self._gauges: dict[str, dict[int, Gauge]] = {}
        self._unread = {"pipelines", "deployments"}
        health.add("records", self._check_records)
        if not settings.trusted:
            health.add("signatures", lambda: "not checked: no trainer's key is set", "note")

    def standings(self) -> dict[str, Standing]:
        """What runs here, by pipeline."""
        return {pipeline: desk.standing for pipeline, desk in self._desks.items()}

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
        """Take over what stands in KV `deployments`, for ever. A deleted one changes nothing."""
        changes = pointers.watch(synced=lambda: self._unread.discard("deployments"))
        async with aclosing(changes):
            async for change in changes:
                if change.value is not None and subjects.is_name(change.key):
                    self._pointers[change.key] = change.value
                    self._desk(change.key).want(change.value)

    async def measure(self) -> None:
        """Tell now and then how long models take while a canary answers, for ever."""
        while True:
            await clock.sleep(self._settings.measure_every_s)
            for pipeline, desk in list(self._desks.items()):
                for partition, gauge in self._gauges.get(pipeline, {}).items():
                    if not (figures := gauge.take(desk.epoch)):
                        continue
                    try:
                        await self._teller.measured(pipeline, partition, desk.epoch, figures)
                    except TransientError as error:
                        log.warning("measurements of %s are lost: %s", pipeline, error)

    def _desk(self, pipeline: str) -> Desk:
        if pipeline not in self._desks:
            desk = self._desks[pipeline] = Desk(
                pipeline,
                hot=self._hot(pipeline),
                seated=lambda flip: self._seated(desk, flip),
                tripped=lambda trip: self._teller.tripped(pipeline, trip),
                retry_s=self._settings.retry_s,
                noticed=self.noticed,
            )
            if (pointer := self._pointers.get(pipeline)) is not None:
                desk.want(pointer)
            self._health.add(f"model.{pipeline}", desk.waits_for)
            self._health.add(f"next-model.{pipeline}", lambda: desk.trouble, "note")
            self._tasks.spawn(f"desk.{pipeline}", desk.run)
        return self._desks[pipeline]

    async def _close(self, pipeline: str) -> None:
        if self._desks.pop(pipeline, None) is None:
            return
        self.noticed()
        await self._tasks.remove(f"desk.{pipeline}")
        for partition in range(self._settings.partitions):
            await self._tasks.remove(fold_name(pipeline, partition))
            self._health.drop(f"lockstep.{pipeline}.{partition}")
        self._gauges.pop(pipeline, None)
        self._health.drop(f"model.{pipeline}")
        self._health.drop(f"next-model.{pipeline}")

    async def _seated(self, desk: Desk, flip: Flip) -> None:
        """Start the folds with the first model; tell of every one."""
        for partition in range(self._settings.partitions):
            if fold_name(desk.pipeline, partition) not in self._tasks.names:
                self._start(desk, flip.pointer.feature_digest, partition)
        await self._teller.flipped(desk.pipeline, flip)

    def _start(self, desk: Desk, feature_digest: str, partition: int) -> None:
        name = fold_name(desk.pipeline, partition)
        read = subjects.features(desk.pipeline, digest8(feature_digest), partition)
        written = subjects.decisions(desk.pipeline, partition)
        gauge = Gauge(now_s=clock.monotonic_s, tripped=desk.trip)
        gate = Gate(desk, partition, self._settlements)
        runner = FoldRunner(
            name,
            connect=self._connect,
            source=Endpoint(streams.FEATURES.name, read),
            target=Endpoint(streams.DECISIONS.name, written),
            fold=lambda: traced("score", Scoring(lambda: desk.seat, gauge)),
            options=FoldOptions(retain_bytes=self._settings.retain_mib * streams.MIB),
            gate=gate,
            observer=FoldTelemetry(name),
        )
        self._gauges.setdefault(desk.pipeline, {})[partition] = gauge
        self._health.add(f"lockstep.{desk.pipeline}.{partition}", gate.waits_for, "note")
        self._tasks.add(name, runner)

    def _check_records(self) -> str | None:
        waiting = " and ".join(sorted(self._unread))
        return f"reading the buckets {waiting}" if waiting else None


def fold_name(pipeline: str, partition: int) -> str:
    """Names the task, the reader of FEATURES, and the telemetry of one fold."""
    return f"decisions.{pipeline}.{partition}"
