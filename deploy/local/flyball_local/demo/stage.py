"""Plays the script in lockstep on a stack, and ends with the account."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing, suppress
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
from nats.aio.client import Client

from flyball_kit.clock import new_id
from flyball_kit.errors import PermanentError, TransientError
from flyball_local import specfile
from flyball_local.audit import Account
from flyball_local.control import apply
from flyball_local.demo import ending
from flyball_local.demo.losses import Losses
from flyball_local.demo.operator import Operator
from flyball_local.demo.planter import plant
from flyball_local.demo.script import PIPELINE, DemoOptions, Script
from flyball_local.demo.story import Telling, parse
from flyball_local.login import login_link, login_name
from flyball_local.marks import mark_report
from flyball_local.observed import Stage, Summary, connected, observe
from flyball_local.outbox import Outbox
from flyball_local.replay import LOCKSTEP
from flyball_local.session import Session, open_session
from flyball_local.simulator import radio
from flyball_local.simulator.cells import SimulatorOptions, simulate
from flyball_local.simulator.rehearsal import (
    BEGIN_MS,
    STRETCH_MS,
    Rehearsal,
    RehearsalOptions,
    Second,
    in_rehearsal,
    rows_of,
)
from flyball_local.tail import follow
from flyball_proto import streams, subjects
from flyball_proto.columns import Outcome, Verdict, Verdicts
from flyball_proto.deployments import DeployerSettled
from flyball_proto.events import Event, ModelTrained

SETTLED_S: Final = streams.MARK_TIMEOUT_S
EFFECT_MS: Final = 40_000
LOAD: Final = "RRU.PrbTotDl"
THRESHOLD: Final = 90.0


@dataclass(frozen=True, slots=True)
class Ending:
    """How a demo ended."""

    summary: Summary

    @property
    def account(self) -> Account:
        """What went in and what came out."""
        return self.summary.account

    def as_json(self) -> dict[str, Any]:
        """The one object of `--json`: that of a replay."""
        return self.summary.as_json()


async def demo(options: DemoOptions) -> Ending:
    """Bring everything up, let the network live through the script, and audit what happened.

    Raises:
        TransientError: A mark was not settled in time; names who is late.
    """
    catalogue = specfile.load(options.spec)
    script = options.script
    rehearsed = RehearsalOptions(
        script.hours, script.sites, script.seed, 1.0, 6.0, script.change_hour
    )
    pipeline, source = in_rehearsal(catalogue, rehearsed)
    async with open_session(options.home, options.say, LOCKSTEP) as session:
        async with connected(session, "operator") as operator, connected(session, "trainer") as foe:
            await _tell_page(operator, options.say)
            await apply(operator, (source, pipeline), by="demo")
            player = Player(session, operator, foe, Rehearsal(rehearsed), script, options.say)
            summary = await observe(session, pipeline, source, player.play, player.hear)
            for line in await ending.lines(operator, player.telling, player.losses, script):
                options.say(line)
        if options.stay:
            options.say("the network lives on in real time, until Ctrl-C")
            network = SimulatorOptions(
                sites=script.sites, seed=script.seed, day_s=3_600.0, hour=6.0, changed=True
            )
            await simulate(session, network)
    return Ending(summary)


async def _tell_page(operator: Client, say: Callable[[str], None]) -> None:
    try:
        reply = await login_link(operator, login_name())
    except (PermanentError, TransientError) as error:
        say(f"no live page: {error}")
    else:
        say(f"live page  {reply.url}  (logs one browser in, once)")


class Player:
    """Publishes stretch by stretch; behind each mark it tells, answers holds and plants."""

    def __init__(
        self,
        session: Session,
        operator: Client,
        foe: Client,
        rehearsal: Rehearsal,
        script: Script,
        say: Callable[[str], None],
    ) -> None:
        self._session, self._client, self._foe = session, operator, foe
        self._rehearsal, self._script = rehearsal, script
        cells = rehearsal.network.cells
        self._cells = {cell.name: i for i, cell in enumerate(cells)}
        self.telling = Telling(say, _hours, BEGIN_MS)
        self.losses = Losses(
            len(cells), BEGIN_MS, round(script.hours * 3600) + 60, 30, THRESHOLD, 60
        )
        self._person = Operator(operator, self.telling, _at(script.person_hour))
        self._batches: list[Verdicts] = []
        self._effects: list[tuple[int, str, float, str]] = []
        self._events: asyncio.Queue[Event | str] = asyncio.Queue(10_000)
        self._real: ModelTrained | None = None
        self._said_hour, self._faulty = -1, set[int]()
        self._told_change = self._planted = False

    def hear(self, batch: Verdicts) -> None:
        """Verdicts as they are stored; they are told at the mark behind them."""
        self._rehearsal.obey(batch)
        self._person.hear(batch)
        self._batches.append(batch)

    async def play(self, stage: Stage) -> str | None:
        """Play the whole script; the last mark."""
        run, newest_ms, number = new_id()[:12], BEGIN_MS, 0
        watching = asyncio.create_task(self._watch())
        try:
            async with Outbox(stage.adapter, run, ordered=True) as outbox:
                await self._mark(outbox, stage, f"{run}-0", BEGIN_MS - 1)
                for number, stretch in enumerate(self._rehearsal.seconds(STRETCH_MS), 1):
                    self._notice(stretch)
                    for row in rows_of(stretch):
                        await outbox.put(subjects.metrics("ran", row.element), row.report)
                    newest_ms = stretch[-1].time_ms
                    await self._mark(outbox, stage, f"{run}-{number}", newest_ms)
                    await self._behind(f"{run}-{number}", newest_ms)
                last = f"{run}-{number + 1}"
                await self._mark(outbox, stage, last, newest_ms, last=True)
        finally:
            watching.cancel()
            with suppress(asyncio.CancelledError):
                await watching
        return last

    async def _mark(
        self, outbox: Outbox, stage: Stage, mark: str, time_ms: int, *, last: bool = False
    ) -> None:
        for partition in range(stage.partitions):
            subject = subjects.stored_metrics("ran", partition, subjects.MARK)
            await outbox.put(subject, mark_report(mark, time_ms, last=last))
        await outbox.drain()
        await stage.marks.wait(mark)

    async def _watch(self) -> None:
        """Events of the pipeline, for ever; a settled mark as its name."""
        settled = DeployerSettled.pattern().split(".", 2)[2]
        async with aclosing(follow(self._client, streams.EVENTS.name, ">", 0)) as messages:
            async for message in messages:
                domain, pipeline, what = message.subject.split(".", 2)
                if pipeline != PIPELINE:
                    continue
                if (domain, what) == ("runtime", settled):
                    await self._events.put(DeployerSettled.model_validate_json(message.data).mark)
                elif (event := parse(message.subject, message.data)) is not None:
                    await self._events.put(event)

    async def _behind(self, mark: str, now_ms: int) -> None:
        """What is told and done behind a mark, once everybody has settled it."""
        self.telling.now_ms = now_ms
        self._tell_verdicts(now_ms)
        async with asyncio.timeout(SETTLED_S):
            while (event := await self._events.get()) != mark:
                if isinstance(event, str):
                    continue
                self.telling.event(event)
                if isinstance(event, ModelTrained) and event.kind != "baseline":
                    self._real = event
        await self._person.act(now_ms)
        if now_ms >= _at(self._script.plant_hour) and self._real and not self._planted:
            self._planted = True
            self.telling.line("somebody in the trainer's place plants two models of their own")
            await plant(self._foe, self._session.objects(), self._real)
        if (hour := int((now_ms - BEGIN_MS) / 3_600_000 * 4)) != self._said_hour:
            self._said_hour = hour
            self.telling.line(await ending.standing(self._client, self.losses, now_ms))

    def _notice(self, stretch: list[Second]) -> None:
        """The truth about a stretch, before anybody has judged it."""
        for second in stretch:
            self.telling.now_ms = second.time_ms
            self.losses.second(second.time_ms, [r.values[LOAD] for r in second.reports])
            for cell in np.flatnonzero(
                second.state.offload_until_ms == second.time_ms + radio.OFFLOAD_MS
            ):
                self.losses.acted(second.time_ms, int(cell))
            self._tell_faults(second)
            change_ms = self._rehearsal.change_ms
            if change_ms is not None and second.time_ms >= change_ms and not self._told_change:
                self._told_change = True
                self.telling.line(
                    "THE WORLD CHANGES: phones stay connected longer, 1.6 times as many for the same "
                    "traffic; what was learnt from them is wrong now"
                )
            self._tell_effects(second)

    def _tell_faults(self, second: Second) -> None:
        now = set(map(int, np.flatnonzero(second.state.faulty_until_ms > second.time_ms)))
        for cell in sorted(now - self._faulty):
            name = self._rehearsal.network.cells[cell].name
            self.telling.some("failures", f"{name} loses two thirds of its capacity", told=2)
        self._faulty = now

    def _tell_effects(self, second: Second) -> None:
        due = [x for x in self._effects if x[0] <= second.time_ms]
        self._effects = [x for x in self._effects if x[0] > second.time_ms]
        for _, element, before, what in due:
            now = self.losses.load(second.time_ms, self._cells[element])
            self.telling.effect(element, what, before, now)

    def _tell_verdicts(self, now_ms: int) -> None:
        batches, self._batches = self._batches, []
        for batch in batches:
            self._note_scores(batch)
            for i in np.flatnonzero(batch.action_index > 0):
                self._tell_verdict(batch, int(i), now_ms)
            for hold in batch.opened:
                kind = "holds by boundary" if "boundary" in hold.reason else "holds by risk"
                self.telling.some(kind, f"{hold.element}: {hold.reason}", told=3)
            for end in batch.released:
                if end.outcome is Outcome.EXPIRED:
                    words = f"{end.hold.element}: nobody answered in time, nothing is sent"
                    self.telling.some("expired holds", words, told=1)
                elif end.outcome is Outcome.APPROVED:
                    self._await_effect(end.hold.element, now_ms, "after the approved action")

    def _note_scores(self, batch: Verdicts) -> None:
        rows = batch.rows
        cells = np.array([self._cells[name] for name in rows.element], np.int64)
        for time_ms, cell, score in zip(
            rows.time_ms, cells[rows.element_index], batch.score, strict=True
        ):
            self.losses.scored(int(time_ms), int(cell), float(score))

    def _tell_verdict(self, batch: Verdicts, i: int, now_ms: int) -> None:
        verdict = Verdict(int(batch.verdict[i]))
        element = batch.rows.element[int(batch.rows.element_index[i])]
        load = self.losses.load(int(batch.rows.time_ms[i]), self._cells[element])
        trainer = batch.model[int(batch.model_index[i])].trainer
        words = f"{element} at {load:.0f} %: {trainer} says {batch.score[i]:.2f}"
        reason = (
            batch.reason[int(batch.reason_index[i]) - 1] if batch.reason_index[i] else "offload"
        )
        if verdict in (Verdict.CLEAR, Verdict.NOTIFY):
            kind = f"actions of {trainer}"
            self.telling.some(kind, f"{words}, offload is cleared ({verdict.name.lower()})", told=3)
            self._await_effect(element, now_ms, "acted on")
        elif verdict is Verdict.DENY:
            self.telling.some("denials", f"{words}: {reason}", told=2)
        elif verdict is Verdict.WITHHOLD:
            self.telling.some("actions withheld", f"{words}: {reason}", told=2)
            self._await_effect(element, now_ms, "left alone at random")
        elif verdict is Verdict.CAP:
            self.telling.some("capped actions", f"{words}: {reason}", told=1)

    def _await_effect(self, element: str, now_ms: int, what: str) -> None:
        """The effect shows `EFFECT_MS` behind the mark at which the cell learns of it."""
        if not any(waits[1] == element for waits in self._effects):
            load = self.losses.load(now_ms, self._cells[element])
            self._effects.append((now_ms + EFFECT_MS, element, load, what))


def _hours(time_ms: int) -> float:
    """The network's own clock: hours since the midnight before the beginning."""
    return 6.0 + (time_ms - BEGIN_MS) / 3_600_000 * 24


def _at(hour: float) -> int:
    return BEGIN_MS + round(hour * 3_600_000)
