"""Calibrations in force: what this process's calibrators settled, and KV `calibration`."""

import asyncio
import logging
from contextlib import suppress
from typing import Final

from flyball_kit.fold import Output
from flyball_kit.kv import Kv
from flyball_proto.calibrations import Calibration
from flyball_proto.columns import decode_verdicts

log = logging.getLogger("flyball.risk.calibrations")

RESTART_S: Final = 60.0
"""A restart right behind a mark does not know whether it was the last, which nobody may settle any
more: it waits for so long and goes on."""

UNKNOWN: Final[tuple[Calibration | None, int]] = (None, 0)


class Calibrations:
    """The newest calibration of each pipeline; start `follow` as a task.

    Judging takes one over between two outputs and names its revision in them. What cannot be read,
    or is about other features, counts as none: judging goes on uncalibrated, where nothing is proven.
    """

    def __init__(self, records: Kv[Calibration]) -> None:
        self._records = records
        self._found: dict[str, tuple[Calibration, int]] = {}
        self._expected: dict[str, str] = {}
        self._heard_ms: dict[str, int] = {}
        self._troubles: dict[str, str] = {}
        self._settled: dict[str, str] = {}
        self._moved = asyncio.Event()
        self._waiting: dict[str, str] = {}

    def of(self, pipeline: str) -> tuple[Calibration | None, int]:
        """The calibration in force and its revision; None and 0 when there is none."""
        found = self._found.get(pipeline, UNKNOWN)
        expected = self._expected.get(pipeline)
        if found[0] is None or expected not in (None, found[0].feature_digest):
            return UNKNOWN
        return found

    def heard(self, pipeline: str) -> int:
        """The newest event time at which a label was known, whatever it teaches; 0 = none was."""
        calibration = self.of(pipeline)[0]
        learnt_ms = calibration.event_ms if calibration else 0
        return max(self._heard_ms.get(pipeline, 0), learnt_ms)

    def hear(self, pipeline: str, known_ms: int) -> None:
        """A label was known at this event time."""
        self._heard_ms[pipeline] = max(self._heard_ms.get(pipeline, 0), known_ms)

    async def follow(self) -> None:
        """Take over what is recorded, also by another instance, for ever."""
        async for change in self._records.watch():
            if change.value is not None:
                self.note(change.key, change.value, change.revision)

    def note(self, pipeline: str, calibration: Calibration, revision: int) -> None:
        """A calibration was recorded; one that is older than what is known changes nothing."""
        if revision > self._found.get(pipeline, UNKNOWN)[1]:
            self._found[pipeline] = (calibration, revision)

    def expect(self, pipeline: str, feature_digest: str) -> None:
        """The pipeline has these features now."""
        self._expected[pipeline] = feature_digest

    def forget(self, pipeline: str) -> None:
        """The pipeline is gone."""
        for known in (self._expected, self._troubles, self._settled, self._heard_ms):
            known.pop(pipeline, None)

    def settle(self, pipeline: str, mark: str) -> None:
        """Everything that labels up to a lockstep mark say is in force."""
        self._settled[pipeline] = mark
        self._moved.set()

    def gate(self, pipeline: str, partition: int) -> "Gate":
        """For the `FoldRunner` that judges a partition: nothing behind a mark before it is settled."""
        return Gate(self, pipeline, partition)

    async def until(self, pipeline: str, partition: int, mark: str) -> None:
        """Wait until a mark is settled, however long that takes."""
        place = f"{pipeline} partition {partition}"
        self._waiting[place] = mark
        try:
            while self._settled.get(pipeline) != mark:
                self._moved.clear()
                await self._moved.wait()
        finally:
            self._waiting.pop(place, None)

    def trouble(self, pipeline: str, words: str | None) -> None:
        """Why a pipeline's labels teach nothing now; None = they do."""
        if words is None:
            self._troubles.pop(pipeline, None)
        else:
            self._troubles[pipeline] = words

    def check(self) -> str | None:
        """For `Health`: which pipelines are judged without new labels, and why."""
        waits = (f"{place} waits behind mark {mark}" for place, mark in self._waiting.items())
        return "; ".join([*(f"{p}: {why}" for p, why in self._troubles.items()), *waits]) or None


class Gate:
    """Lockstep: behind a mark nothing is judged until what labels up to it say is in force.

    Behind the last mark of a replay nobody waits. Live operation knows no marks.
    """

    def __init__(self, calibrations: Calibrations, pipeline: str, partition: int) -> None:
        self._calibrations, self._pipeline, self._partition = calibrations, pipeline, partition

    async def __call__(self, output: Output) -> None:
        """Wait behind the mark of `output`."""
        if output.mark is None:
            return
        if not output.data:
            with suppress(TimeoutError):
                async with asyncio.timeout(RESTART_S):
                    await self._until(output.mark)
            return
        mark = decode_verdicts(output.data).flow.mark
        if mark is None or not mark.last:
            await self._until(output.mark)

    async def _until(self, mark: str) -> None:
        await self._calibrations.until(self._pipeline, self._partition, mark)
