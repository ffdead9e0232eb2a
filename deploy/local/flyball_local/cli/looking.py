"""Commands that look at a running stack: status, tail."""

# ruff: noqa: PLC0415 - each command imports what it needs, so that --help is quick

from typing import TYPE_CHECKING, Annotated

import typer

from flyball_local.cli import completion, shell
from flyball_local.cli.root import DEFAULT_HOME, AsJson, HomeFolder, PipelineName, app

if TYPE_CHECKING:
    from nats.aio.client import Client

    from flyball_local.showing.pulses import Part
    from flyball_proto.commands import StatusReply
    from flyball_proto.outcomes import ActionOutcome
    from flyball_proto.progress import ActionEffect

EVERY_S = 1.0


@app.command()
def status(
    watch: Annotated[bool, typer.Option("--watch", help="Again every second.")] = False,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Which parts run, which model answers, and what happens next.

    Example: flyball status --watch
    """
    from flyball_kit import clock
    from flyball_local.control import status as ask
    from flyball_local.embedded.home import Home
    from flyball_local.showing.pulses import ENGINES, Pulses

    folder = Home(home)

    async def run(client: "Client") -> None:
        pulses = Pulses(client)
        await pulses.listen()
        while True:
            found = folder.running()
            pids = dict((found and found.parts) or {})
            await pulses.gather(name for name in pids if name not in ENGINES)
            reply = await ask(client)
            if watch and not as_json:
                shell.clear()
            parts = pulses.parts(pids)
            _show_status(parts, reply, as_json=as_json)
            if not watch:
                return
            await clock.sleep(EVERY_S)

    shell.with_operator(home, run)


@app.command()
def outcomes(
    pipeline: PipelineName,
    limit: Annotated[int, typer.Option(min=1, max=5000, help="At most so many.")] = 20,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """What elements said about actions, and what each action changes.

    Only actions with `acknowledge` in the specification are listed.

    Example: flyball outcomes congestion
    """
    from flyball_local.showing.acknowledged import COLUMNS, effect_lines, row
    from flyball_local.showing.listing import one_pipeline
    from flyball_local.showing.records import actions_told, effects, known_pipelines

    async def read(client: "Client") -> "tuple[list[ActionOutcome], tuple[ActionEffect, ...]]":
        one_pipeline(await known_pipelines(client), pipeline)
        return await actions_told(client, pipeline), await effects(client, pipeline)

    found, changes = shell.with_operator(home, read)
    if as_json:
        shell.put_json(
            {
                "actions": [one.model_dump(mode="json") for one in found[:limit]],
                "effects": [one.model_dump(mode="json") for one in changes],
            }
        )
        return
    rows = [row(one) for one in found[:limit]]
    shell.out_table(COLUMNS, rows, f"no action of {pipeline} awaits a word from its element")
    for line in effect_lines(changes):
        shell.out(line)


def _show_status(parts: "list[Part]", reply: "StatusReply", *, as_json: bool) -> None:
    from flyball_kit import clock
    from flyball_local.showing.listing import PART_COLUMNS, part_row, pipeline_lines

    if as_json:
        found = reply.model_dump(mode="json")["pipelines"]
        shell.put_json({"parts": {p.name: p.as_json() for p in parts}, "pipelines": found})
        return
    shell.out_table(PART_COLUMNS, [part_row(p) for p in parts], "no part runs")
    for pipeline in reply.pipelines:
        shell.out("", *pipeline_lines(pipeline, clock.utc_now()))
    if not reply.pipelines:
        shell.out("", "no pipeline is applied: flyball apply -f pipelines/ran.yaml")


@app.command()
def tail(
    subjects: Annotated[
        list[str] | None,
        typer.Argument(
            help="Subjects or patterns, or a stream: events, verdicts, actions, audit, ...",
            autocompletion=completion.subjects,
        ),
    ] = None,
    count: Annotated[int | None, typer.Option(min=1, help="End after so many.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="From the beginning.")] = False,
    home: HomeFolder = DEFAULT_HOME,
    as_json: Annotated[bool, typer.Option("--json", help="One JSON object a line.")] = False,
) -> None:
    """Follow verdicts, events, actions, ...: one line a message.

    Example: flyball tail events actions
    """
    from contextlib import aclosing

    from flyball_local.showing.describing import as_json as decoded
    from flyball_local.showing.describing import describe
    from flyball_local.showing.tail import stream_of
    from flyball_local.showing.tail import tail as follow

    wanted = subjects or ["verdicts"]
    for subject in wanted:
        stream_of(subject)  # a wrong word is refused also without a stack

    async def run(client: "Client") -> None:
        left = count
        async with aclosing(follow(client, wanted, everything=everything)) as messages:
            async for message in messages:
                found = decoded(message) if as_json else describe(message)
                if found is None:
                    continue
                shell.put_json(found) if isinstance(found, dict) else shell.out(found)
                left = None if left is None else left - 1
                if left == 0:
                    return

    shell.with_operator(home, run)
