"""One pipeline's calibrator: samples in, a calibration out whenever enough labels are new."""

import asyncio
import logging
import zlib
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from pydantic import ValidationError

from flyball_kit import clock
from flyball_kit.announce import Announcer
from flyball_kit.errors import TransientError
from flyball_kit.kv import Kv, LostRaceError
from flyball_kit.samples import SampleMessage
from flyball_proto.calibrations import Calibrated, Calibration, SteppedBackNow
from flyball_risk.acknowledging.freeing import freed
from flyball_risk.calibrating.calibrations import Calibrations
from flyball_risk.calibrating.keeping import dump, load
from flyball_risk.calibrating.labelled import Terms
from flyball_risk.calibrating.lanes import Lanes, Reached
from flyball_risk.calibrating.learning import Learning
from flyball_risk.calibrating.news import news

log = logging.getLogger("flyball.risk.calibrator")

T = TypeVar("T")

SAVE_EVERY_S: Final = 30.0
"""What was read since is read again after a crash; SAMPLES keeps it."""
SAVE_EVERY_BYTES: Final = 1 << 20
"""Of samples read: those that make them must not wait for room until the time is over."""
ROW_BYTES: Final = 64
RETRY_S: Final = 2.0


class Calibrator:
    """Takes messages one at a time. The state, with the positions in it, is saved before the calibration.

    Whatever cannot be saved now is saved later; judging goes on with the last calibration.
    """

    def __init__(
        self,
        terms: Terms,
        partitions: int,
        *,
        states: Kv[bytes],
        records: Kv[bytes],
        calibrations: Calibrations,
        announcer: Announcer,
        not_applied: Callable[[str], bool] = lambda _: False,
    ) -> None:
        self._not_applied = not_applied
        self._learning = Learning(terms)
        self._lanes: Lanes[SampleMessage] = Lanes(partitions)
        self._states, self._records = states, records
        self._calibrations, self._announcer = calibrations, announcer
        self._revision: int | None = None
        self._saved: dict[int, int] = {}
        self._next_save_s, self._unsaved_bytes = 0.0, 0
        self._turn = asyncio.Lock()

    @property
    def terms(self) -> Terms:
        """What is learnt about."""
        return self._learning.terms

    async def revise(self, terms: Terms) -> None:
        """Go on under a changed specification of the same features; what it proves is told anew."""
        async with self._turn:
            if terms == self.terms:
                return
            self._learning.revise(terms)
            if self._learning.calibration is not None and not self._lanes.in_lockstep:
                await self._fit()

    async def behind(self, partition: int) -> int | None:
        """For `SampleReader`: what was saved was read; None = from the first there is."""
        async with self._turn:
            if self._revision is None:
                await self._patiently(self._begin)
            return self._saved.get(partition)

    def needed(self, partition: int) -> int:
        """For `SampleReader`: what a restart would read; 0 = not known yet."""
        return self._saved[partition] + 1 if partition in self._saved else 0

    async def take(self, message: SampleMessage) -> None:
        """For `SampleReader`: learn what a message says; returns when what it leads to is saved."""
        async with self._turn:
            for step in self._lanes.push(message):
                if isinstance(step, Reached):
                    await self._settle(step.mark.id)
                else:
                    await self._fold(step)
            if self._must_save and not self._lanes.in_lockstep:
                await self._patiently(self._save)

    @property
    def _must_save(self) -> bool:
        due = clock.monotonic_s() >= self._next_save_s
        return due or self._unsaved_bytes >= SAVE_EVERY_BYTES

    def lost(self, partition: int) -> None:
        """Samples vanished unread: go on with the first there is."""
        self._saved.pop(partition, None)
        self._learning.read.pop(partition, None)

    async def _fold(self, message: SampleMessage) -> None:
        learning = self._learning
        if message.sequence <= learning.read.get(message.partition, 0):
            return
        learning.read[message.partition] = message.sequence
        if message.samples is None:
            return
        rows = len(message.samples.rows)
        self._unsaved_bytes += message.samples.feature.nbytes + ROW_BYTES * rows
        alone = self.terms.acts_alone
        learning.take(freed(message.samples, self._not_applied) if alone else message.samples)
        if self._lanes.in_lockstep:
            return
        self._calibrations.hear(self.terms.pipeline, learning.heard_ms)
        if learning.is_due:
            await self._fit()

    async def _settle(self, mark: str) -> None:
        """In lockstep everything comes into force at marks alone."""
        self._learning.mark = mark
        if self._learning.is_due:
            await self._fit()
        elif self._must_save:
            await self._patiently(self._save)
        self._calibrations.hear(self.terms.pipeline, self._learning.heard_ms)
        self._calibrations.settle(self.terms.pipeline, mark)

    async def _fit(self) -> None:
        """Fit beside the event loop, save, bring into force, tell."""
        learning = self._learning
        before = learning.calibration
        now = await asyncio.to_thread(learning.fit, clock.utc_now())
        learning.untold = news(before, now, learning.told)
        if learning.untold:
            learning.told = now.cut_off
        await self._patiently(self._save)
        await self._patiently(self._record)

    async def _begin(self) -> None:
        """Go on where the saved state stands; tell what was saved and perhaps not told."""
        pipeline = self.terms.pipeline
        data, self._revision = await self._states.load(key(pipeline))
        learning = self._known(data)
        self._learning, self._saved = learning, dict(learning.read)
        self._next_save_s, self._unsaved_bytes = clock.monotonic_s() + SAVE_EVERY_S, 0
        self._calibrations.hear(pipeline, learning.heard_ms)
        if learning.calibration is not None:
            await self._record()
        if learning.mark:
            self._calibrations.settle(pipeline, learning.mark)

    async def _save(self) -> None:
        learning, name = self._learning, key(self.terms.pipeline)
        data = await asyncio.to_thread(dump, learning)
        try:
            self._revision = await self._states.save(name, data, revision=self._revision or 0)
        except LostRaceError:
            await self._give_way(data)
        self._saved = dict(self._learning.read)
        self._next_save_s, self._unsaved_bytes = clock.monotonic_s() + SAVE_EVERY_S, 0

    async def _give_way(self, data: bytes) -> None:
        """Another write came first: our own of an unknown end, or that of a second instance.

        Its state is as right for its positions as ours is; the one that is further stays.
        """
        name = key(self.terms.pipeline)
        found, self._revision = await self._states.load(name)
        other = self._known(found)
        if sum(other.read.values()) < sum(self._learning.read.values()):
            self._revision = await self._states.save(name, data, revision=self._revision)
        else:
            self._learning = other

    def _known(self, data: bytes | None) -> Learning:
        """What is saved; nothing, when it cannot be read."""
        if data is not None:
            try:
                return load(data, self.terms)
            except (ValueError, KeyError, TypeError, zlib.error):
                log.exception("%s: the calibration begins anew", self.terms.pipeline)
        return Learning(self.terms)

    async def _record(self) -> None:
        """Write the calibration if it is not there yet, bring it into force, then the events."""
        learning, pipeline = self._learning, self.terms.pipeline
        calibration = learning.calibration
        if calibration is None:
            return
        data, revision = await self._records.load(pipeline)
        there = _read(data)
        if there is None or there.at < calibration.at:
            new = calibration.model_dump_json().encode()
            revision = await self._records.save(pipeline, new, revision=revision)
        else:
            calibration = there
        self._calibrations.note(pipeline, calibration, revision)
        for event in learning.untold:
            last = await self._announcer.last(type(event), pipeline)
            if last is None or last.at < event.at:
                await self._announcer.publish(event, f"{event.subject}.{event.at.isoformat()}")
        learning.untold = []

    async def _patiently(self, do: Callable[[], Awaitable[T]]) -> T:
        """Until the broker answers."""
        pipeline = self.terms.pipeline
        while True:
            try:
                done = await do()
            except TransientError as error:
                log.warning("%s: the calibration waits: %s", pipeline, error)
                self._calibrations.trouble(pipeline, str(error))
                await clock.sleep(RETRY_S)
            else:
                self._calibrations.trouble(pipeline, None)
                return done


def _read(data: bytes | None) -> Calibration | None:
    """What is recorded; what cannot be read is written anew."""
    if data is None:
        return None
    try:
        return Calibration.model_validate_json(data)
    except ValidationError:
        return None


def key(pipeline: str) -> str:
    """Of the bucket `positions`: the state that a restart goes on with."""
    return f"state.CALIBRATION.{pipeline}"


EVENTS: Final = (Calibrated, SteppedBackNow)
"""What calibrators publish."""
