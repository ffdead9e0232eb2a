"""Tells once a second how this process is, on `pulse.<service>`, for whoever listens.

Nothing waits for it and nothing is stored. While the broker is away it is silent.
"""

from collections.abc import Callable
from contextlib import suppress
from typing import Final

from nats.aio.client import Client
from nats.errors import Error as NatsError

from flyball_kit import clock, telemetry
from flyball_kit.health import Health
from flyball_kit.tasks import Tasks
from flyball_proto import subjects
from flyball_proto.progress import Pulse, StagePulse

EVERY_S: Final = 1.0

MAX_STAGES: Final = 256
"""Stages in one pulse, about 40 kB; beyond that those with the largest lag are told."""


class Pulses:
    """The pulse of one process. `client` gives the connection at each beat."""

    def __init__(
        self, service: str, client: Callable[[], Client], *, pid: int, health: Health, tasks: Tasks
    ) -> None:
        self._service, self._client, self._pid = service, client, pid
        self._health, self._tasks = health, tasks

    async def beat_for_ever(self) -> None:
        """`beat` each second."""
        while True:
            await self.beat()
            await clock.sleep(EVERY_S)

    async def beat(self) -> None:
        """Tell how things are; when nobody can be told now, this beat is left out."""
        pulse = self.pulse()
        telemetry.turn()
        client = self._client()
        if client.is_connected:
            with suppress(NatsError, OSError):
                await client.publish(
                    subjects.pulse(self._service), pulse.model_dump_json().encode()
                )

    def pulse(self) -> Pulse:
        """How things are now."""
        report = self._health.report()
        return Pulse(
            service=self._service,
            at=clock.utc_now(),
            pid=self._pid,
            live=report.live,
            ready=report.ready,
            reasons=report.reasons,
            stages=self._stages(),
        )

    def _stages(self) -> tuple[StagePulse, ...]:
        """Every fold and dispatcher that is a task now, by name."""
        running = self._tasks.names
        found = [(name, counts) for name, counts in telemetry.folds().items() if name in running]
        if len(found) > MAX_STAGES:
            found = sorted(found, key=lambda item: item[1].lag)[-MAX_STAGES:]
        return tuple(
            StagePulse(
                stage=name,
                rows=counts.rows,
                commits=counts.commits,
                lag=counts.lag,
                latency_ms=counts.latencies.figures(),
            )
            for name, counts in sorted(found, key=lambda item: item[0])
        )
