"""This machine as a source: its busiest processes and its network interfaces, read live.

Matches `pipelines/host.yaml`. A process reports no interface counters, an interface no processor
time; the rest is null.
"""

import asyncio
import re
from collections.abc import Callable, Iterator
from contextlib import suppress
from dataclasses import dataclass
from typing import Final

import msgspec
import psutil
from nats.aio.client import Client

from flyball_kit.clock import new_id, wall_ms
from flyball_local.playing.outbox import Outbox
from flyball_proto import subjects

SOURCE: Final = "host"
MAX_PROCESSES: Final = 20
INTERVAL_S: Final = 1.0
_UNSAFE: Final = re.compile(r"[^A-Za-z0-9_\-:@]")

Values = dict[str, float | None]
NOTHING: Final[Values] = dict.fromkeys(
    ("cpu_percent", "rss_bytes", "threads", "rx_bytes_s", "tx_bytes_s")
)


@dataclass(frozen=True, slots=True)
class Reading:
    """What one process or interface measures now."""

    element: str
    kind: str
    values: Values


class Host:
    """Reads processes and interfaces; rates are against the reading before."""

    def __init__(self) -> None:
        self._processes: dict[int, psutil.Process] = {}
        self._counters: dict[str, tuple[int, int]] = {}

    def read(self, interval_s: float) -> list[Reading]:
        """The busiest processes and every interface."""
        return [*self._busiest(), *self._interfaces(interval_s)]

    def _busiest(self) -> list[Reading]:
        found = sorted(self._process_readings(), key=_cpu, reverse=True)
        return found[:MAX_PROCESSES]

    def _process_readings(self) -> Iterator[Reading]:
        alive = {}
        for pid in psutil.pids():
            with suppress(psutil.NoSuchProcess, psutil.AccessDenied):
                process = self._processes.get(pid) or psutil.Process(pid)
                alive[pid] = process
                with process.oneshot():
                    yield Reading(
                        f"proc-{pid}",
                        "process",
                        {
                            **NOTHING,
                            "cpu_percent": process.cpu_percent(),
                            "rss_bytes": float(process.memory_info().rss),
                            "threads": float(process.num_threads()),
                        },
                    )
        self._processes = alive

    def _interfaces(self, interval_s: float) -> Iterator[Reading]:
        for name, found in psutil.net_io_counters(pernic=True).items():
            now = (found.bytes_recv, found.bytes_sent)
            before = self._counters.get(name)
            self._counters[name] = now
            if before is None:
                continue
            rx, tx = ((b - a) / interval_s for a, b in zip(before, now, strict=True))
            values = {**NOTHING, "rx_bytes_s": max(0.0, rx), "tx_bytes_s": max(0.0, tx)}
            yield Reading(f"if-{_UNSAFE.sub('_', name)}", "interface", values)


def _cpu(reading: Reading) -> float:
    return reading.values["cpu_percent"] or 0.0


async def watch_host(client: Client, tell: Callable[[int], None], rounds: int | None = None) -> int:
    """Publish a round of readings a second through a connection of role `adapter`.

    `tell` gets the number of elements after each round; returns the reports stored after `rounds`.
    """
    host = Host()
    host.read(INTERVAL_S)  # rates need a reading before
    done = 0
    async with Outbox(client, new_id()[:12]) as outbox:
        while rounds is None or done < rounds:
            await asyncio.sleep(INTERVAL_S)
            readings, now_ms = host.read(INTERVAL_S), wall_ms()
            for reading in readings:
                body = {
                    "element": reading.element,
                    "time_ms": now_ms,
                    "values": reading.values,
                    "labels": {"kind": reading.kind},
                }
                subject = subjects.metrics(SOURCE, reading.element)
                await outbox.put(subject, msgspec.json.encode(body))
            done += 1
            tell(len(readings))
        await outbox.drain()
        return outbox.stored
