"""Cells at the edge: each one speaks and listens through its own NATS user and connection."""

import asyncio
import time
from collections.abc import Callable
from contextlib import AsyncExitStack
from dataclasses import dataclass
from functools import partial
from typing import Final

import msgspec
import numpy as np
from nats.aio.client import Client
from nats.aio.msg import Msg

from flyball_kit.clock import new_id, wall_ms
from flyball_local.playing.outbox import Outbox
from flyball_local.session import Session
from flyball_local.simulator import radio
from flyball_local.simulator.network import Cell, lay_out
from flyball_local.simulator.radio import CellReport
from flyball_proto import subjects
from flyball_proto.events import Action
from flyball_proto.outcomes import OutcomeReport

SOURCE: Final = "ran"
STEP_MS: Final = 1_000
_encode: Final = msgspec.json.Encoder().encode


@dataclass(frozen=True, slots=True)
class SimulatorOptions:
    """`seconds` of this clock, `speed` simulated seconds each; None = until cancelled.

    A day of the network lasts `day_s` simulated seconds and the run begins at `hour` o'clock; the
    world changes when `change_share` of the run is over, or has `changed` before it.
    """

    seconds: float | None = None
    speed: float = 1.0
    sites: int = 8
    seed: int = 7
    day_s: float = 86_400.0
    hour: float = 0.0
    change_share: float | None = None
    changed: bool = False


@dataclass(frozen=True, slots=True)
class Second:
    """What happened in one simulated second, for whoever tells the story."""

    time_ms: int
    hour: float
    reports: list[CellReport]
    actions: list[Action]
    faulty: list[Cell]
    changed: bool


async def simulate(
    session: Session, options: SimulatorOptions, tell: Callable[[Second], None] | None = None
) -> int:
    """Let the network live; returns the reports stored. `tell` is called every simulated second.

    Event time ends at the present, so a run faster than real time begins in the past.
    """
    begin_ms, change_ms = _times(options)
    midnight_ms = begin_ms - round(options.hour / 24 * options.day_s * 1000)
    rng = np.random.default_rng(options.seed)
    network = lay_out(
        options.sites, rng, midnight_ms=midnight_ms, day_s=options.day_s, change_ms=change_ms
    )
    state, now_ms, began_s = radio.start(network), begin_ms, time.monotonic()
    async with Cells(session, network.cells) as cells:
        while options.seconds is None or time.monotonic() - began_s < options.seconds:
            actions = cells.actions()
            acted = [(cells.index[a.element], a.action) for a in actions]
            state, reports = radio.step(network, state, acted, now_ms, rng)
            await cells.publish(reports)
            if tell:
                faulty = [
                    c
                    for c, t in zip(network.cells, state.faulty_until_ms, strict=True)
                    if t > now_ms
                ]
                hour = (now_ms - midnight_ms) / 1000 / network.day_s * 24 % 24
                changed = change_ms is not None and now_ms >= change_ms
                tell(Second(now_ms, hour, reports, actions, faulty, changed))
            now_ms += STEP_MS
            due_s = began_s + (now_ms - begin_ms) / 1000 / options.speed
            await asyncio.sleep(max(0.0, due_s - time.monotonic()))
        return await cells.stored()


def _times(options: SimulatorOptions) -> tuple[int, int | None]:
    """Event times of the beginning and of the change, on whole seconds."""
    if options.seconds is None:
        begin_ms = wall_ms() // 1000 * 1000
        return begin_ms, begin_ms if options.changed else None
    length_ms = round(options.seconds * options.speed * 1000)
    ahead_ms = round(options.seconds * (options.speed - 1) * 1000)
    begin_ms = (wall_ms() - max(0, ahead_ms)) // 1000 * 1000
    if options.change_share is None:
        return begin_ms, None
    return begin_ms, begin_ms + round(options.change_share * length_ms) // 1000 * 1000


class Cells:
    """The connections of all cells. Open it with `async with`."""

    def __init__(self, session: Session, cells: tuple[Cell, ...]) -> None:
        self._session, self._cells = session, cells
        self.index = {cell.name: i for i, cell in enumerate(cells)}
        self._received: list[Action] = []
        self._outboxes: dict[str, Outbox] = {}

    async def __aenter__(self) -> "Cells":
        self._stack = AsyncExitStack()
        names = [cell.name for cell in self._cells]
        run = new_id()[:12]
        for cell, client in zip(
            self._cells, await self._session.connect_elements(SOURCE, names), strict=True
        ):
            await self._connect(cell, client, run)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._stack.aclose()

    async def _connect(self, cell: Cell, client: Client, run: str) -> None:
        self._stack.push_async_callback(client.close)
        await client.subscribe(subjects.actions("*", cell.name), cb=partial(self._act, client))
        outbox = Outbox(client, f"{run}-{cell.name}", in_flight=100)
        self._outboxes[cell.name] = await self._stack.enter_async_context(outbox)

    async def _act(self, client: Client, message: Msg) -> None:
        """Carry it out, and say so."""
        action = Action.model_validate_json(message.data)
        self._received.append(action)
        said = OutcomeReport(decision=action.decision, result="applied")
        subject = subjects.outcomes(action.pipeline, action.element)
        await client.publish(subject, said.model_dump_json(exclude_defaults=True).encode())

    def actions(self) -> list[Action]:
        """What the cells were asked to do since the last call."""
        found, self._received = self._received, []
        return found

    async def publish(self, reports: list[CellReport]) -> None:
        """Each report by its own cell."""
        for report in reports:
            cell = report.cell
            body = {
                "element": cell.name,
                "time_ms": report.time_ms,
                "values": report.values,
                "labels": cell.labels,
            }
            await self._outboxes[cell.name].put(subjects.metrics(SOURCE, cell.name), _encode(body))

    async def stored(self) -> int:
        """Wait until all is stored; how many reports that is."""
        for outbox in self._outboxes.values():
            await outbox.drain()
        return sum(outbox.stored for outbox in self._outboxes.values())
