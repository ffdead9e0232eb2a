"""Keeps a calibrator and its readers running for each applied pipeline."""

import logging
from collections.abc import Callable
from functools import partial

from nats.aio.client import Client

from flyball_kit.announce import Announcer
from flyball_kit.connect import Connect
from flyball_kit.fold.errors import InputLost
from flyball_kit.fold.positions import release
from flyball_kit.kv import Kv
from flyball_kit.samples import SampleReader
from flyball_kit.specifications import Fitting
from flyball_kit.tasks import Tasks
from flyball_proto import streams
from flyball_proto.spec import digest8
from flyball_risk.calibrating.calibrations import Calibrations
from flyball_risk.calibrating.calibrator import Calibrator
from flyball_risk.calibrating.labelled import terms
from flyball_risk.judging.policy import policy_of
from flyball_risk.settings import Settings

SERVICE = "risk"

log = logging.getLogger("flyball.risk.calibrators")


class Reading:
    """Reads one partition's samples for ever, a `tasks.Runner`: what vanished unread is done without.

    Judging must not end because labels are missing; it is told, and learning goes on.
    """

    def __init__(self, reader: Callable[[], SampleReader], lost: Callable[[], None]) -> None:
        self._make, self._lost = reader, lost
        self._reader: SampleReader | None = None
        self._stopping = False

    async def run(self) -> None:
        """Run until stopped."""
        while not self._stopping:
            self._reader = self._make()
            try:
                await self._reader.run()
            except InputLost as error:
                log.warning("labels are missing, calibration goes on without: %s", error)
                self._lost()

    async def stop(self) -> None:
        """Return from `run`."""
        self._stopping = True
        if self._reader is not None:
            await self._reader.stop()


class Calibrators:
    """All pipelines of this process; a reader a partition each."""

    def __init__(
        self,
        settings: Settings,
        calibrations: Calibrations,
        *,
        connect: Connect,
        client: Callable[[], Client],
        announcer: Announcer,
        tasks: Tasks,
        not_applied: Callable[[str, str], bool] = lambda *_: False,
    ) -> None:
        self._not_applied = not_applied
        self._settings, self._calibrations = settings, calibrations
        self._connect, self._client = connect, client
        self._announcer, self._tasks = announcer, tasks
        self._states: Kv[bytes] = Kv(client, streams.POSITIONS, bytes)
        self._records: Kv[bytes] = Kv(client, streams.CALIBRATION, bytes)
        self._running: dict[str, Calibrator] = {}

    async def apply(self, found: Fitting) -> None:
        """Begin to learn, go on under a changed specification, or begin anew with other features."""
        key = self._settings.control_key
        policy = policy_of(found.pipeline, found.pipeline_revision, control_key=key)
        wanted = terms(found.pipeline, found.source, policy)
        running = self._running.get(wanted.pipeline)
        if running is not None and running.terms.feature_digest == wanted.feature_digest:
            await running.revise(wanted)
            return
        await self.end(wanted.pipeline)
        self._calibrations.expect(wanted.pipeline, wanted.feature_digest)
        self._running[wanted.pipeline] = calibrator = Calibrator(
            wanted,
            self._settings.partitions,
            states=self._states,
            records=self._records,
            calibrations=self._calibrations,
            announcer=self._announcer,
            not_applied=partial(self._not_applied, wanted.pipeline),
        )
        for partition in range(self._settings.partitions):
            self._tasks.add(
                f"labels.{wanted.pipeline}.{partition}", self._reading(calibrator, partition)
            )

    def _reading(self, calibrator: Calibrator, partition: int) -> Reading:
        def reader() -> SampleReader:
            return SampleReader(
                SERVICE,
                connect=self._connect,
                pipeline=calibrator.terms.pipeline,
                feature_digest=calibrator.terms.feature_digest,
                partition=partition,
                behind=lambda: calibrator.behind(partition),
                take=calibrator.take,
                needed=lambda: calibrator.needed(partition),
            )

        return Reading(reader, lambda: calibrator.lost(partition))

    async def end(self, pipeline: str) -> None:
        """Stop learning; SAMPLES does not wait for its readers any more."""
        running = self._running.pop(pipeline, None)
        if running is None:
            return
        self._calibrations.forget(pipeline)
        digest = digest8(running.terms.feature_digest)
        for partition in range(self._settings.partitions):
            await self._tasks.remove(f"labels.{pipeline}.{partition}")
            reader = f"{SERVICE}.{pipeline}.{digest}.{partition}"
            await release(self._client().jetstream(), streams.SAMPLES.name, reader)
