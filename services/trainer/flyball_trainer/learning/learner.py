"""One pipeline's learning: samples in, trainings when they are due, lockstep marks answered."""

import asyncio
from collections.abc import Awaitable, Callable
from datetime import datetime
from typing import Final

import numpy as np

from flyball_kit.samples import SampleMessage
from flyball_proto import streams, subjects
from flyball_proto.columns import Mark, Samples
from flyball_proto.events import ModelTrained, TrainerSettled
from flyball_proto.judgements import Drifted
from flyball_proto.progress import TrainerProgress
from flyball_proto.spec import digest8
from flyball_trainer.learning.contract import Contract
from flyball_trainer.learning.history import History
from flyball_trainer.learning.lanes import Lanes, Reached
from flyball_trainer.learning.ledger import Entry, Ledger
from flyball_trainer.learning.material import Material
from flyball_trainer.learning.pace import Pace
from flyball_trainer.learning.progress import Delivered, Now, told
from flyball_trainer.learning.rounds import Job, Rounds
from flyball_trainer.learning.schedule import recovered
from flyball_trainer.learning.steps import Steps
from flyball_trainer.publishing import Publishing

ROW_BYTES: Final = 58
"""A row's bytes in SAMPLES beside its features."""


class Learner:
    """Holds the window of one pipeline and feature digest; messages are taken one at a time.

    In live operation `train_for_ever` trains what is due beside the reading, each trainer at most
    once at a time. In lockstep trainings happen in `take`, at marks alone.
    """

    def __init__(
        self,
        contract: Contract,
        *,
        partitions: int,
        retain_bytes: int,
        rounds: Rounds,
        publishing: Publishing,
        history: History,
        settled: Callable[[], Awaitable[TrainerSettled | None]],
    ) -> None:
        self.contract = contract
        self._rounds, self._publishing, self._history = rounds, publishing, history
        self._settled = settled
        self._material = Material(len(contract.features), retain_bytes)
        self._lanes = Lanes(partitions)
        self._ledgers = [Ledger(retain_bytes // partitions) for _ in range(partitions)]
        self._pace: Pace | None = None
        self._announced: dict[str, ModelTrained] = {}
        self._delivered = Delivered()
        self._answered: TrainerSettled | None = None
        self._drift = 0
        self._turn = asyncio.Lock()
        self._moved, self._quiet = asyncio.Event(), asyncio.Event()
        self._quiet.set()

    @property
    def steps(self) -> Steps:
        """What is under way."""
        return self._rounds.steps

    def revise(self, contract: Contract) -> None:
        """Go on under another specification of the same features."""
        self.contract = contract
        self._stir()

    def progress(self, at: datetime) -> list[TrainerProgress]:
        """How far every trainer of the specification is; empty until that is known."""
        pace, steps = self._pace, self.steps
        if pace is None:
            return []
        now = Now(
            at,
            pace.now_ms,
            pace.rate.rows_per_s,
            steps.under_way,
            steps.failed,
            self._delivered,
        )
        return [told(self.contract, t, pace.progress(t.name), now) for t in self.contract.trainers]

    def needed(self, partition: int) -> int:
        """For `SampleReader`: the oldest sequence that a restart would need."""
        return self._ledgers[partition].needed(self._lanes.held(partition))

    async def behind(self, partition: int) -> None:
        """For `SampleReader`: from the first there is, once it is known what was done before."""
        async with self._turn:
            if self._pace is None:
                self._pace = await self._recovered()
            subject = subjects.samples(
                self.contract.pipeline, digest8(self.contract.feature_digest), partition
            )
            end = await self._publishing.patiently(
                subject, lambda: self._history.newest(streams.SAMPLES, subject)
            )
            self._lanes.begin(partition, end)
        self._stir()

    async def take(self, message: SampleMessage) -> None:
        """For `SampleReader`: learn what a message says; at a complete mark, settle it."""
        async with self._turn:
            self._ledgers[message.partition].passed(message.sequence)
            for step in self._lanes.push(message):
                if isinstance(step, Reached):
                    await self._settle(step.mark)
                elif step.samples is not None:
                    self._fold(step.partition, step.sequence, step.samples)
        self._stir()

    async def look_for_drift(self) -> None:
        """Perhaps drift was noticed."""
        subject = Drifted.pattern().replace("*", self.contract.pipeline)
        newest = await self._publishing.patiently(
            subject, lambda: self._history.newest(streams.EVENTS, subject)
        )
        if newest > self._drift and self._pace is not None:
            self._drift = newest
            self._pace.notice()
            self._moved.set()

    async def train_for_ever(self) -> None:
        """Live: whenever something moved, begin what is due."""
        await self._moved.wait()
        async with asyncio.TaskGroup() as group:
            if self.contract.trainers:
                group.create_task(self._rounds.warm_up())
            while True:
                await self._moved.wait()
                self._moved.clear()
                if self._pace is None or self._lanes.in_lockstep or not self._lanes.caught_up:
                    continue
                for job in self._begun(self._pace, at_mark=False):
                    group.create_task(self._run(self._pace, [job], None))

    async def _settle(self, mark: Mark) -> None:
        """Train what is due at a mark and answer it; what was answered before is answered again."""
        pace = self._known_pace
        answered, self._answered = self._answered, None
        if answered is not None and answered.mark == mark.id:
            await self._publishing.settle(self.contract.pipeline, mark.id, answered.digests)
            return
        await self.look_for_drift()
        await self._quiet.wait()  # trainings that began before lockstep did
        await self._run(pace, self._begun(pace, at_mark=True), mark.id)
        found = (self._announced.get(trainer.name) for trainer in self.contract.trainers)
        digests = tuple(e.digest for e in found if e is not None and e.mark == mark.id)
        await self._publishing.settle(self.contract.pipeline, mark.id, digests)

    def _begun(self, pace: Pace, *, at_mark: bool) -> list[Job]:
        """Orders of everybody who is due, from the rows known now."""
        contract, jobs = self.contract, []
        for found in pace.due(contract.cadences, contract.horizon_ms, at_mark=at_mark):
            order = self._material.order(contract, found.trainer, pace.now_ms)
            pace.begin(found.trainer)
            jobs.append(Job(order, found.because, pace.now_ms))
        if jobs:
            self._quiet.clear()
        return jobs

    async def _run(self, pace: Pace, jobs: list[Job], mark: str | None) -> None:
        for ended in await self._rounds.run(jobs, mark):
            pace.end(ended.trainer, ended.outcome, ended.now_ms)
            if ended.announced is not None:
                self._announced[ended.trainer] = ended.announced
                self._delivered.note(ended.announced)
            self.steps.end(ended.trainer)
        if not pace.busy:
            self._quiet.set()
        self._stir()

    def _fold(self, partition: int, sequence: int, samples: Samples) -> None:
        pace, ledger, mark = self._known_pace, self._ledgers[partition], samples.flow.mark
        self._material.append(partition, samples)
        if len(samples.rows):
            time_ms = samples.rows.time_ms
            usable = (samples.censored == 0) & np.isfinite(samples.label)
            pace.know(samples.known_ms, time_ms, usable)
            size = samples.feature.nbytes + ROW_BYTES * len(time_ms)
            ledger.note(Entry(sequence, size, int(time_ms.max())))
            ledger.forget_before(pace.now_ms - self.contract.window_ms)
        if mark is not None:
            ledger.mark(None if mark.last else sequence)

    async def _recovered(self) -> Pace:
        """What was done before this process began."""
        pipeline, publishing = self.contract.pipeline, self._publishing
        events = await publishing.patiently(pipeline, lambda: self._history.read(pipeline))
        self._answered = await publishing.patiently(pipeline, self._settled)
        for sequence, event in events:
            if isinstance(event, Drifted):
                self._drift = sequence
            else:
                self._announced[event.trainer] = event
                if event.feature_digest == self.contract.feature_digest:
                    self._delivered.note(event)
        before = (event for _, event in events)
        return Pace(recovered(before, self.contract.feature_digest))

    def _stir(self) -> None:
        self._moved.set()
        self.steps.moved.set()

    @property
    def _known_pace(self) -> Pace:
        assert self._pace is not None, "`behind` comes first"  # noqa: S101 - wiring mistake
        return self._pace
