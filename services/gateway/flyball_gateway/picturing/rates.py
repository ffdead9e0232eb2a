"""Rows per second and health from pulses: what each service says of itself once a second. Pure."""

from collections import deque
from collections.abc import Iterable, Iterator
from typing import Final

from flyball_gateway.picturing.picture import SERVICES, Health, Part, Stage, StageName
from flyball_proto.progress import Pulse, StagePulse

SILENT_S: Final = 4.0
"""A service that was not heard for so long is silent; it pulses once a second."""
SPAN: Final = 6
"""Pulses that a rate is taken over."""
MAX_SERVICES: Final = 32
"""Services that are kept; what else pulses is not shown."""

STAGES: Final[tuple[tuple[StageName, str, str], ...]] = (
    ("ingest", "ingest", "ingest"),
    ("inference", "inference", "decisions"),
    ("risk", "risk", "verdicts"),
    ("actions", "risk", "actions"),
    ("labels", "ingest", "samples"),
)
"""Name on the page, the service, and the first token of its tasks."""


class Pulses:
    """The last pulses of each service; times are the reader's monotonic seconds."""

    def __init__(self, began_s: float) -> None:
        self._began_s = began_s
        self._heard: dict[str, deque[tuple[float, Pulse]]] = {}

    def hear(self, pulse: Pulse, at_s: float) -> None:
        """Take one in; a process that was started afresh counts from its own beginning."""
        kept = self._heard.get(pulse.service)
        if kept is None:
            if len(self._heard) >= MAX_SERVICES:
                return
            kept = self._heard[pulse.service] = deque(maxlen=SPAN)
        if kept and kept[-1][1].pid != pulse.pid:
            kept.clear()
        kept.append((at_s, pulse))

    def parts(self, at_s: float) -> tuple[Part, ...]:
        """How each service is, the expected ones first."""
        names = (*SERVICES, *sorted(set(self._heard) - set(SERVICES)))
        return tuple(self._part(name, at_s) for name in names)

    def stages(self, pipeline: str, at_s: float) -> tuple[Stage, ...]:
        """What passes through each stage of a pipeline; those that nobody reports are missing."""
        return tuple(
            stage
            for name, service, task in STAGES
            if (stage := self._stage(name, service, f"{task}.{pipeline}.", at_s)) is not None
        )

    def _part(self, service: str, at_s: float) -> Part:
        kept = self._heard.get(service)
        if not kept:
            waited = at_s - self._began_s
            health: Health = "not heard yet" if waited < SILENT_S else "silent"
            return Part(service, health, ("never heard since the gateway began",))
        heard_s, pulse = kept[-1]
        quiet_s = max(0.0, at_s - heard_s)
        reasons = tuple(f"{name}: {reason}" for name, reason in sorted(pulse.reasons.items()))
        if quiet_s > SILENT_S:
            gone = (f"last heard {quiet_s:.0f} s ago; is its process running?", *reasons)
            return Part(service, "silent", gone, quiet_s)
        if not pulse.live:
            return Part(service, "broken", reasons, quiet_s)
        return Part(service, "well" if pulse.ready else "not ready", reasons, quiet_s)

    def _stage(self, name: StageName, service: str, task: str, at_s: float) -> Stage | None:
        kept = self._heard.get(service)
        if not kept or not (now := tuple(_of(kept[-1][1], task))):
            return None
        rows = sum(stage.rows for stage in now)
        seconds = kept[-1][0] - kept[0][0]
        before = sum(stage.rows for stage in _of(kept[0][1], task))
        silent = at_s - kept[-1][0] > SILENT_S
        rate = None if silent or seconds <= 0 else max(0.0, (rows - before) / seconds)
        p50, p99 = (_worst(now, quantile) for quantile in ("p50", "p99"))
        return Stage(name, rows, rate, sum(stage.lag for stage in now), p50, p99)


def _of(pulse: Pulse, task: str) -> Iterator[StagePulse]:
    return (stage for stage in pulse.stages if stage.stage.startswith(task))


def _worst(stages: Iterable[StagePulse], quantile: str) -> float | None:
    found = [stage.latency_ms[quantile] for stage in stages if quantile in stage.latency_ms]
    return max(found, default=None)
