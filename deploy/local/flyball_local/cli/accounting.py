"""Commands that give account: where a decision or a model comes from, how well the loop delivers."""

# ruff: noqa: PLC0415 - each command imports what it needs, so that --help is quick

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flyball_local.cli import shell
from flyball_local.cli.root import DEFAULT_HOME, AsJson, HomeFolder, PipelineName, app

if TYPE_CHECKING:
    from nats.aio.client import Client

Wanted = Annotated[
    str,
    typer.Argument(
        metavar="DECISION|MODEL", help="<pipeline>.<METRICS sequence>.<sample>, or a digest."
    ),
]


AsOpenLineage = Annotated[
    bool, typer.Option("--openlineage", help="One OpenLineage run event a line.")
]
SendTo = Annotated[
    str | None,
    typer.Option("--send", metavar="URL", help="Send the OpenLineage events to this service."),
]


@app.command()
def lineage(
    wanted: Wanted,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
    openlineage: AsOpenLineage = False,
    send_to: SendTo = None,
) -> None:
    """Trace a decision or a model to its evidence, data and people.

    Example: flyball lineage congestion.1234.0
    """
    from flyball_local.lineage import lineage as trace
    from flyball_local.lineage import lines
    from flyball_local.session import running

    objects = running(home).objects()

    async def run(client: "Client") -> Any:
        return await trace(client, objects, wanted)

    trail = shell.with_operator(home, run)
    if send_to is not None:
        from flyball_local.lineage.exporting import events
        from flyball_local.lineage.sending import send

        shell.out(f"{send(events(trail), send_to)} events were taken by {send_to}")
    elif openlineage:
        from openlineage.client.serde import Serde

        from flyball_local.lineage.exporting import events

        shell.out(*(Serde.to_json(event) for event in events(trail)))
    elif as_json:
        shell.put_json(trail.as_json())
    else:
        shell.out(*lines(trail))


@app.command()
def explain(
    decision: Annotated[
        str, typer.Argument(metavar="DECISION", help="<pipeline>.<METRICS sequence>.<sample>.")
    ],
    folder: Annotated[
        Path | None,
        typer.Option("--from", metavar="DIR", help="An export, or a copy of the archive."),
    ] = None,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Say why a decision was made, and what came of it.

    Older ones than VERDICTS holds are in the archive: flyball audit export, then --from.

    Example: flyball explain congestion.1234.0
    """
    from flyball_local.explaining.story import Story, lines

    def show(story: Story) -> None:
        shell.put_json(story.as_json()) if as_json else shell.out(*lines(story))

    if folder is not None:
        from flyball_local.explaining.archived import explain_from

        show(explain_from(folder, decision))
        return
    from flyball_local.explaining.finding import explain as find
    from flyball_local.session import running

    objects = running(home).objects()

    async def run(client: "Client") -> Story:
        return await find(client, objects, decision)

    show(shell.with_operator(home, run))


@app.command()
def dora(pipeline: PipelineName, home: HomeFolder = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """How well a pipeline's loop delivers: DORA's measures.

    Example: flyball dora congestion
    """
    from flyball_local.showing.listing import dora_lines
    from flyball_proto.commands import DoraReply, DoraRequest

    request = DoraRequest(pipeline=pipeline)
    reply = shell.ask(home, "gateway", "dora", request, DoraReply, pipeline=pipeline)
    if reply.dora is None:
        return
    if as_json:
        shell.put_json(reply.dora.model_dump(mode="json"))
    else:
        shell.out(*dora_lines(reply.dora))
