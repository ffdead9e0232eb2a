"""A service for tests of `flyball_kit.run`: `python kit_service.py <what>`.

It prints `ready` once started; `<what>` says how it ends.
"""

import asyncio
import sys

from faststream import FastStream
from opentelemetry import trace

from flyball_kit import connect
from flyball_kit.fold import Fenced, FoldObserver, InputLost, Output
from flyball_kit.run import run
from flyball_kit.service import assemble
from flyball_kit.settings import KitSettings, load
from flyball_kit.tasks import Tasks
from flyball_kit.telemetry import FoldTelemetry


class Part:
    def __init__(self, what: str) -> None:
        self._what, self._stop = what, asyncio.Event()

    async def run(self) -> None:
        observer: FoldObserver = FoldTelemetry("verdicts")
        observer.committed(Output(b"", rows=7), 0.0015)
        trace.get_tracer("flyball").start_span("batch").end()
        sys.stdout.write("ready\n")
        sys.stdout.flush()
        if self._what == "fenced":
            raise Fenced("out.p.0", 3, "4 by another")
        if self._what == "input":
            raise InputLost("12 messages of METRICS are gone")
        if self._what == "crash":
            raise ZeroDivisionError("nobody foresaw it")
        await self._stop.wait()
        sys.stdout.write("drained\n")
        sys.stdout.flush()

    async def stop(self) -> None:
        self._stop.set()


def build() -> FastStream:
    settings = load(KitSettings, "risk")
    tasks = Tasks("risk")
    tasks.add("verdicts.congestion.0", Part(sys.argv[1]))
    return assemble("risk", settings, connect.broker(settings, "risk"), tasks=tasks)


if __name__ == "__main__":
    run("risk", build)
