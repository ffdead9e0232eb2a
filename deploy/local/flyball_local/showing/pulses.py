"""How the parts of a running stack are, from what each service says of itself once a second."""

import asyncio
from collections import deque
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from typing import Any, Final

import psutil
from nats.aio.client import Client
from nats.aio.msg import Msg
from pydantic import ValidationError

from flyball_local.embedded.credentials import REDIS_USERS
from flyball_proto import subjects
from flyball_proto.progress import Pulse, StagePulse

KEPT: Final = 6
"""Pulses of a service that a rate is taken over."""

MAX_SERVICES: Final = 32
"""Further ones are not listened to."""

PATIENCE_S: Final = 2.5
"""Two pulses make a rate; a service that sends none in this time is silent."""

ENGINES: Final = ("nats", "redis", "s3")
"""Parts that say nothing of themselves; that they run is seen."""

MAIN_STAGE: Final = {"ingest": "ingest.", "inference": "decisions.", "risk": "verdicts."}
"""How the tasks begin that every row passes, by service."""


@dataclass(frozen=True, slots=True)
class Part:
    """One part: `state` is runs, ready, not ready, failing, silent or gone."""

    name: str
    pid: int
    state: str
    reasons: Mapping[str, str]
    rows_per_s: float | None = None
    lag: int | None = None
    p99_ms: float | None = None

    def as_json(self) -> dict[str, Any]:
        """The object of `status --json`; None = not known or not applicable."""
        found = asdict(self)
        del found["name"]
        return found


class Pulses:
    """Listens on `pulse.*`; role `operator`."""

    def __init__(self, client: Client) -> None:
        self._client = client
        self._heard: dict[str, deque[Pulse]] = {}
        self._news = asyncio.Event()

    async def listen(self) -> None:
        """Begin to listen, until the connection closes."""
        await self._client.subscribe(subjects.pulse("*"), cb=self._hear)

    async def gather(self, services: Iterable[str], patience_s: float = PATIENCE_S) -> None:
        """Wait until each service has been heard twice, or for `patience_s`."""
        waited = set(services)
        try:
            async with asyncio.timeout(patience_s):
                while any(len(self._heard.get(name, ())) < 2 for name in waited):
                    self._news.clear()
                    await self._news.wait()
        except TimeoutError:
            return

    def parts(self, pids: Mapping[str, int]) -> list[Part]:
        """Every part of a stack."""
        return [part(name, pid, tuple(self._heard.get(name, ()))) for name, pid in pids.items()]

    async def _hear(self, message: Msg) -> None:
        try:
            pulse = Pulse.model_validate_json(message.data)
        except ValidationError:
            return  # of another version; it shows as silent
        if pulse.service not in self._heard and len(self._heard) >= MAX_SERVICES:
            return
        kept = self._heard.setdefault(pulse.service, deque(maxlen=KEPT))
        if kept and kept[-1].pid != pulse.pid:
            kept.clear()  # a new process counts from its own beginning
        kept.append(pulse)
        self._news.set()


def part(name: str, pid: int, pulses: tuple[Pulse, ...]) -> Part:
    """How one part is, by its last pulses, oldest first."""
    if not psutil.pid_exists(pid):
        return Part(name, pid, "gone", {"process": "it ended; the stack starts it again"})
    if name in ENGINES:
        return Part(name, pid, "runs", {})
    if not pulses:
        return Part(name, pid, "silent", {"pulse": "none heard; it may be starting"})
    first, last = pulses[0], pulses[-1]
    state = "failing" if not last.live else "ready" if last.ready else "not ready"
    now, before = _main(name, last), _main(name, first)
    reasons = _reasons(name, last)
    if not now:
        return Part(name, pid, state, reasons)
    seconds = (last.at - first.at).total_seconds()
    rows = sum(stage.rows for stage in now) - sum(stage.rows for stage in before)
    slowest = [stage.latency_ms["p99"] for stage in now if "p99" in stage.latency_ms]
    return Part(
        name,
        pid,
        state,
        reasons,
        rows_per_s=round(max(0, rows) / seconds, 1) if seconds > 0 else None,
        lag=sum(stage.lag for stage in now),
        p99_ms=round(max(slowest), 3) if slowest else None,
    )


def _reasons(service: str, pulse: Pulse) -> dict[str, str]:
    """What is not well; that a service has no Redis is said of those that use one."""
    return {
        name: reason
        for name, reason in pulse.reasons.items()
        if name != "redis" or service in REDIS_USERS
    }


def _main(service: str, pulse: Pulse) -> list[StagePulse]:
    prefix = MAIN_STAGE.get(service)
    return [s for s in pulse.stages if prefix and s.stage.startswith(prefix)]
