"""Plays the script in lockstep on a stack, and ends with the account."""

import asyncio
from collections.abc import Callable
from contextlib import aclosing
from dataclasses import dataclass
from typing import Any, Final

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
from flyball_local.demo.seen import Seen
from flyball_local.demo.story import Telling, parse
from flyball_local.login import login_link, login_name
from flyball_local.playing.marks import MarkTimeoutError, mark_report
from flyball_local.playing.observed import Stage, Summary, connected, observe
from flyball_local.playing.outbox import Outbox
from flyball_local.playing.replay import LOCKSTEP
from flyball_local.session import Session, open_session
from flyball_local.showing.tail import follow
from flyball_local.simulator import radio
from flyball_local.simulator.cells import SimulatorOptions, simulate
from flyball_local.simulator.rehearsal import (
    BEGIN_MS,
    STRETCH_MS,
    Rehearsal,
    RehearsalOptions,
    in_rehearsal,
    rows_of,
)
from flyball_proto import streams, subjects
from flyball_proto.columns import Verdicts
from flyball_proto.deployments import DeployerSettled
from flyball_proto.events import Event, ModelTrained
from flyball_proto.spec import BASELINE

SETTLED_S: Final = streams.MARK_TIMEOUT_S
THRESHOLD: Final = 90.0
HORIZON_S: Final = 30
"""What pipelines/ran.yaml asks: above 90 % of load within 30 s."""
ACTING_S: Final = radio.OFFLOAD_MS // 1000


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


async def demo(options: DemoOptions, ended: Callable[[Ending], None]) -> None:
    """Bring everything up, let the network live through the script, and audit what happened.

    `ended` is called once with how it ended, before the stack goes down or stays.

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
        ended(Ending(summary))
        if options.stay:
            options.say("the network lives on in real time, until Ctrl-C")
            network = SimulatorOptions(
                sites=script.sites, seed=script.seed, day_s=3_600.0, hour=6.0, changed=True
            )
            await simulate(session, network)


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
        cells = len(rehearsal.network.cells)
        self.telling = Telling(say, _hours, BEGIN_MS)
        self.losses = Losses(
            cells, BEGIN_MS, round(script.hours * 3600) + 60, HORIZON_S, THRESHOLD, ACTING_S
        )
        self._person = Operator(operator, self.telling, _at(script.person_hour))
        self._seen = Seen(rehearsal, self.telling, self.losses)
        self._events: asyncio.Queue[Event | str] = asyncio.Queue(10_000)
        self._real: ModelTrained | None = None
        self._said_quarter, self._planted = -1, False

    def hear(self, batch: Verdicts) -> None:
        """Verdicts as they are stored; they are told at the mark behind them."""
        self._rehearsal.obey(batch)
        self._person.hear(batch)
        self._seen.hear(batch)

    async def play(self, stage: Stage) -> str | None:
        """Play the whole script; the last mark."""
        run, newest_ms, number = new_id()[:12], BEGIN_MS, 0
        watching = asyncio.create_task(self._watch())
        try:
            async with Outbox(stage.adapter, run, ordered=True) as outbox:
                await self._mark(outbox, stage, f"{run}-0", BEGIN_MS - 1)
                for number, stretch in enumerate(self._rehearsal.seconds(STRETCH_MS), 1):
                    self._seen.notice(stretch)
                    for row in rows_of(stretch):
                        await outbox.put(subjects.metrics("ran", row.element), row.report)
                    newest_ms = stretch[-1].time_ms
                    await self._mark(outbox, stage, f"{run}-{number}", newest_ms)
                    await self._behind(f"{run}-{number}", newest_ms)
                last = f"{run}-{number + 1}"
                await self._mark(outbox, stage, last, newest_ms, last=True)
        finally:
            await _end(watching)
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
        self._seen.tell_verdicts(now_ms)
        try:
            async with asyncio.timeout(SETTLED_S):
                await self._tell_until(mark)
        except TimeoutError as error:
            raise MarkTimeoutError(mark, PIPELINE, [0], SETTLED_S) from error
        await self._person.act(now_ms)
        if now_ms >= _at(self._script.plant_hour) and self._real and not self._planted:
            self._planted = True
            self.telling.line("somebody in the trainer's place plants two models of their own")
            await plant(self._foe, self._session.objects(), self._real)
        if (quarter := int((now_ms - BEGIN_MS) / 3_600_000 * 4)) != self._said_quarter:
            self._said_quarter = quarter
            self.telling.line(await ending.standing(self._client, self.losses, now_ms))

    async def _tell_until(self, mark: str) -> None:
        """Tell every event up to the one that settles a mark."""
        while (event := await self._events.get()) != mark:
            if isinstance(event, str):
                continue
            self.telling.event(event)
            if isinstance(event, ModelTrained) and event.kind != BASELINE:
                self._real = event


async def _end(task: asyncio.Task[None]) -> None:
    """Cancel a task until it is done: Python 3.11 loses a cancel that comes beside a message."""
    while not task.done():
        task.cancel()
        await asyncio.wait([task], timeout=1.0)


def _hours(time_ms: int) -> float:
    """The network's own clock: hours since the midnight before the beginning."""
    return 6.0 + (time_ms - BEGIN_MS) / 3_600_000 * 24


def _at(hour: float) -> int:
    return BEGIN_MS + round(hour * 3_600_000)
