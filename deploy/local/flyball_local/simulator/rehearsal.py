"""The simulated network in lockstep: hours of it in a minute, its cells obeying, twice the same.

Cells speak through one connection. What risk dispatched in a stretch, or a person approved behind
it, reaches them at its end, so that nothing depends on how fast the machine is.
"""

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import Final, NamedTuple

import msgspec
import numpy as np

from flyball_local.control import apply
from flyball_local.csvfile.csvrows import CsvRow
from flyball_local.embedded.supervisor import Say
from flyball_local.playing.observed import Stage, Summary, connected, observe
from flyball_local.playing.player import Player
from flyball_local.session import Session
from flyball_local.simulator import radio
from flyball_local.simulator.network import Network, lay_out
from flyball_local.simulator.radio import CellReport, State
from flyball_proto.columns import DISPATCHED, Outcome, Verdicts
from flyball_proto.spec import KEEP, Catalogue, Pipeline, Source

BEGIN_MS: Final = 1_767_225_600_000
"""2026-01-01, so that two rehearsals have the same event times."""
STEP_MS: Final = 1_000
STRETCH_MS: Final = 20_000
"""What is decided in a stretch reaches the cells at its end: 10 s later on average."""
_encode: Final = msgspec.json.Encoder().encode


class Second(NamedTuple):
    """One second of the network: what its cells report, and how it is behind that."""

    time_ms: int
    reports: list[CellReport]
    state: State


@dataclass(frozen=True, slots=True)
class RehearsalOptions:
    """How long the network lives and what happens to it, in its own hours.

    `hours` of event time from `hour` o'clock on; a day lasts `day_hours`, and is the season of
    comparisons. The world changes when `change_hour` of the run are over; None = never.
    """

    hours: float = 4.0
    sites: int = 6
    seed: int = 7
    day_hours: float = 1.0
    hour: float = 6.0
    change_hour: float | None = None


@dataclass
class Rehearsal:
    """A network that lives stretch by stretch. Give `obey` what was judged, take `stretches`."""

    options: RehearsalOptions
    network: Network = field(init=False)
    _asked: dict[int, str] = field(default_factory=dict)

    def __post_init__(self) -> None:
        """Lay out the network."""
        options = self.options
        self._rng = np.random.default_rng(options.seed)
        change, day_ms = options.change_hour, options.day_hours * 3_600_000
        self.change_ms = None if change is None else BEGIN_MS + round(change * 3600) * 1000
        self.network = lay_out(
            options.sites,
            self._rng,
            midnight_ms=BEGIN_MS - round(options.hour / 24 * day_ms),
            day_s=options.day_hours * 3600,
            change_ms=self.change_ms,
        )
        self._index = {cell.name: i for i, cell in enumerate(self.network.cells)}

    def obey(self, batch: Verdicts) -> None:
        """Let cells carry out what was dispatched or approved, from the next stretch on."""
        for i in np.flatnonzero(np.isin(batch.verdict, DISPATCHED) & (batch.action_index > 0)):
            action = batch.action[int(batch.action_index[i]) - 1]
            self._ask(batch.rows.element[int(batch.rows.element_index[i])], action)
        for end in batch.released:
            if end.outcome is Outcome.APPROVED:
                self._ask(end.hold.element, end.hold.action)

    def _ask(self, element: str, action: str) -> None:
        if action != KEEP and element in self._index:
            self._asked[self._index[element]] = action

    def seconds(self, stretch_ms: int) -> Iterator[list[Second]]:
        """What happens in each stretch; what `obey` was told by then is carried out at its start."""
        state, now_ms = radio.start(self.network), BEGIN_MS
        end_ms = BEGIN_MS + round(self.options.hours * 3600) * 1000
        while now_ms < end_ms:
            stretch: list[Second] = []
            actions, self._asked = sorted(self._asked.items()), {}
            for _ in range(0, stretch_ms, STEP_MS):
                state, reports = radio.step(self.network, state, actions, now_ms, self._rng)
                stretch.append(Second(now_ms, reports, state))
                actions, now_ms = [], now_ms + STEP_MS
            yield stretch

    def stretches(self, stretch_ms: int) -> Iterator[list[CsvRow]]:
        """Rows of each stretch."""
        for stretch in self.seconds(stretch_ms):
            yield rows_of(stretch)


def rows_of(stretch: list[Second]) -> list[CsvRow]:
    """What all cells report in a stretch, second by second."""
    return [_row(report) for second in stretch for report in second.reports]


def _row(report: CellReport) -> CsvRow:
    cell = report.cell
    body = {
        "element": cell.name,
        "time_ms": report.time_ms,
        "values": report.values,
        "labels": cell.labels,
    }
    return CsvRow(cell.name, report.time_ms, _encode(body))


def in_rehearsal(catalogue: Catalogue, options: RehearsalOptions) -> tuple[Pipeline, Source]:
    """The only pipeline of a specification of the simulated network, in rehearsed days.

    Its season is one of them, and the watch over the seat may err once in thirty, as by default.
    """
    (pipeline,) = catalogue.pipelines.values()
    source = catalogue.source_of(pipeline)
    day_ms = round(options.day_hours * 3_600_000)
    source_spec = source.spec.model_copy(update={"season_ms": day_ms})
    promotion = pipeline.spec.promotion
    if promotion.watch.false_alarm_every_ms is None:
        watch = promotion.watch.model_copy(update={"false_alarm_every_ms": 30 * day_ms})
        promotion = promotion.model_copy(update={"watch": watch})
    pipeline_spec = pipeline.spec.model_copy(update={"promotion": promotion})
    return (
        pipeline.model_copy(update={"spec": pipeline_spec}),
        source.model_copy(update={"spec": source_spec}),
    )


async def rehearse(
    session: Session, catalogue: Catalogue, options: RehearsalOptions, say: Say
) -> Summary:
    """Let the network live through a running stack in lockstep.

    Raises:
        TransientError: A mark was not settled in time; names who is late.
    """
    pipeline, source = in_rehearsal(catalogue, options)
    async with connected(session, "operator") as operator:
        await apply(operator, (source, pipeline), by="rehearsal")
    rehearsal = Rehearsal(options)

    async def play(stage: Stage) -> str | None:
        player = Player(stage.adapter, source, stage.partitions, say, pipeline=pipeline)
        return await player.in_lockstep(rehearsal.stretches(STRETCH_MS), stage.marks, ahead=0)

    return await observe(session, pipeline, source, play, rehearsal.obey)
