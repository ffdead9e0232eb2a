"""History through the real loop: a CSV file, published as its elements would have.

At `--speed max` in lockstep: event time is cut into stretches of whole evaluation blocks, each ends
with a mark in band, and no decision behind a mark is taken before trainer, registry and deployer
have settled it. So what is decided does not depend on how fast the machine is or trains, and two
runs give the same digest.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from flyball_local import specfile
from flyball_local.audit import Account
from flyball_local.control import apply
from flyball_local.csvfile.csvrows import count_rows, read_rows
from flyball_local.embedded.supervisor import Say
from flyball_local.invalid import InvalidInputError
from flyball_local.playing.observed import Stage, Summary, connected, observe
from flyball_local.playing.outcome import Outcome
from flyball_local.playing.player import Player, stretches
from flyball_local.playing.refusals import Refusals, Refused, with_examples
from flyball_local.session import Session, open_session
from flyball_proto.spec import Catalogue, Pipeline, Source, block_ms

STRETCH_ROWS: Final = 200
LOCKSTEP: Final = {"ingest": {"FLYBALL_INGEST_TICKS": "false"}}


@dataclass(frozen=True, slots=True)
class ReplayOptions:
    """What to play and how. `speed` None = as fast as the loop settles, else times real time.

    In lockstep a stretch ends with the first evaluation block that fills `stretch_rows` rows. The
    truth about a row is published behind the `label_delay_rows`-th later row of its element.
    """

    spec: Path
    csv: Path
    pipeline: str | None = None
    speed: float | None = None
    home: Path | None = None
    say: Say = print
    stretch_rows: int = STRETCH_ROWS
    label_delay_rows: int = 0


def parse_speed(text: str) -> float | None:
    """`max` as None, else how many times real time.

    Raises:
        InvalidInputError: It is neither.
    """
    if text == "max":
        return None
    try:
        speed = float(text)
    except ValueError:
        speed = 0.0
    if not 0 < speed < float("inf"):
        raise InvalidInputError(f"--speed {text}: valid: max, or a number above 0, e.g. 60")
    return speed


def choose(catalogue: Catalogue, wanted: str | None) -> tuple[Pipeline, Source]:
    """The pipeline to play and its source.

    Raises:
        InvalidInputError: The file does not say which, or has none of that name.
    """
    names = list(catalogue.pipelines)
    if wanted is None and len(names) == 1:
        wanted = names[0]
    if wanted is None or wanted not in catalogue.pipelines:
        found = f"no pipeline {wanted!r}" if wanted else f"{len(names)} pipelines"
        raise InvalidInputError(
            f"the specification: found {found}; valid: one of {', '.join(names) or 'none'}; "
            "name it with --pipeline"
        )
    pipeline = catalogue.pipelines[wanted]
    return pipeline, catalogue.source_of(pipeline)


@dataclass(frozen=True, slots=True)
class Played:
    """How a replay ended, and what was refused on the way."""

    summary: Summary
    refused: tuple[Refused, ...]

    @property
    def account(self) -> Account:
        """Every row and what became of it."""
        return self.summary.account

    @property
    def outcome(self) -> Outcome:
        """The life of the pipeline's models."""
        return self.summary.outcome

    def as_json(self) -> dict[str, Any]:
        """The one object of `--json`."""
        return self.summary.as_json() | {"refused": [found.as_json() for found in self.refused]}


async def replay(options: ReplayOptions) -> Played:
    """Play a file through a stack and close its account.

    Raises:
        SpecError, CsvError: The specification or the file cannot be used; nothing was started.
        MarkTimeoutError: A stage did not settle; the message names it.
    """
    catalogue = specfile.load(options.spec)
    _, source = choose(catalogue, options.pipeline)
    next(read_rows(options.csv, source), None)  # its mistakes should not wait for a stack
    variables = LOCKSTEP if options.speed is None else None
    async with open_session(options.home, options.say, variables) as session:
        return await replay_on(session, catalogue, options)


async def replay_on(session: Session, catalogue: Catalogue, options: ReplayOptions) -> Played:
    """As `replay`, on a stack that runs."""
    pipeline, source = choose(catalogue, options.pipeline)
    async with connected(session, "operator") as operator:
        await apply(operator, catalogue.objects, by="replay")
    refusals, total = Refusals(), count_rows(options.csv)

    async def play(stage: Stage) -> str | None:
        player = Player(
            stage.adapter,
            source,
            stage.partitions,
            options.say,
            pipeline=pipeline,
            label_delay_rows=options.label_delay_rows,
            total=total,
        )
        rows = read_rows(options.csv, source)
        if options.speed is not None:
            await player.at_speed(rows, options.speed)
            return None
        cut = stretches(rows, options.stretch_rows, block_ms(pipeline, source))
        return await player.in_lockstep(cut, stage.marks)

    summary = await observe(session, pipeline, source, play, refusals.add)
    async with connected(session, "auditor") as auditor:
        return Played(summary, await with_examples(auditor, refusals.found()))
