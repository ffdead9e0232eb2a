"""Commands for people in the loop: decisions that wait for them, stop and resume."""

# ruff: noqa: PLC0415 - each command imports what it needs, so that --help is quick

import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Literal

import typer

from flyball_local.cli import completion, shell
from flyball_local.cli.root import (
    DEFAULT_HOME,
    AsJson,
    By,
    HomeFolder,
    PipelineName,
    Why,
    app,
    group,
)

if TYPE_CHECKING:
    from nats.aio.client import Client

    from flyball_proto.commands import StopReply
    from flyball_proto.holds import Hold

holds = group("Decisions that wait for a person.")
app.add_typer(holds, name="holds")

OfPipeline = Annotated[
    str | None, typer.Option("--pipeline", autocompletion=completion.pipelines, help="Of it alone.")
]
OfElement = Annotated[str | None, typer.Option("--element", help="About it alone.")]
OfAction = Annotated[str | None, typer.Option("--action", help="Proposing it alone.")]
Ids = Annotated[
    list[str] | None,
    typer.Argument(help="As in flyball holds list.", autocompletion=completion.open_holds),
]
EveryOne = Annotated[bool, typer.Option("--all", help="Every open one that the filters leave.")]
Yes = Annotated[bool, typer.Option("--yes", help="Do not ask before --all.")]


@holds.command("list")
def list_holds(
    every: Annotated[bool, typer.Option("--all", help="Ended ones too.")] = False,
    pipeline: OfPipeline = None,
    element: OfElement = None,
    action: OfAction = None,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Decisions that wait for a person, newest first.

    Example: flyball holds list
    """
    from flyball_kit import clock
    from flyball_local.showing.listing import HOLD_COLUMNS, hold_row

    found = [
        hold
        for hold in shell.with_operator(home, lambda client: _read(client, pipeline))
        if (every or hold.state == "open") and _matches(hold, element, action)
    ]
    if as_json:
        shell.put_json({"holds": [hold.model_dump(mode="json") for hold in found]})
        return
    now = clock.utc_now()
    shell.out_table(HOLD_COLUMNS, [hold_row(h, now) for h in found], "no decision waits")


@holds.command("show")
def show_hold(
    hold: Annotated[str, typer.Argument(autocompletion=completion.open_holds)],
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Everything that is on record of one hold.

    Example: flyball holds show congestion.4711.0
    """
    from flyball_kit import clock
    from flyball_local.showing.listing import hold_lines, one_hold

    found = one_hold(shell.with_operator(home, lambda client: _read(client, None)), hold)
    if as_json:
        shell.put_json(found.model_dump(mode="json"))
    else:
        shell.out(*hold_lines(found, clock.utc_now()))


@holds.command()
def approve(  # noqa: PLR0913, PLR0917 - one a word of the command line
    ids: Ids = None,
    why: Why = "",
    by: By = None,
    every: EveryOne = False,
    pipeline: OfPipeline = None,
    element: OfElement = None,
    action: OfAction = None,
    yes: Yes = False,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Let decisions that wait go out to their elements.

    Example: flyball holds approve congestion.4711.0 --why "the cell is overloaded"
    """
    name, reason = shell.checked(by, why)
    chosen = _chosen(home, ids, every, (pipeline, element, action), "approve", yes=yes)
    _answer(home, chosen, "approve", name, reason, as_json=as_json)


@holds.command()
def deny(  # noqa: PLR0913, PLR0917 - one a word of the command line
    ids: Ids = None,
    why: Why = "",
    by: By = None,
    every: EveryOne = False,
    pipeline: OfPipeline = None,
    element: OfElement = None,
    action: OfAction = None,
    yes: Yes = False,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Keep decisions that wait from their elements.

    Example: flyball holds deny --all --element cell-7 --yes --why "under repair"
    """
    name, reason = shell.checked(by, why)
    chosen = _chosen(home, ids, every, (pipeline, element, action), "deny", yes=yes)
    _answer(home, chosen, "deny", name, reason, as_json=as_json)


@app.command()
def stop(
    pipeline: PipelineName,
    why: Why = "",
    by: By = None,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Stop a pipeline's actions at once, until it is resumed.

    Decisions go on, but nothing reaches an element.

    Example: flyball stop congestion --why "maintenance at site 7"
    """
    from flyball_proto.commands import StopPipeline, StopReply

    name, reason = shell.checked(by, why)
    command = StopPipeline(pipeline=pipeline, by=name, why=reason)
    reply = shell.ask(home, "risk", "stop", command, StopReply, pipeline=pipeline)
    _say_stop(reply, f"let it act again: flyball resume {pipeline}", as_json=as_json)


@app.command()
def resume(
    pipeline: PipelineName,
    why: Why = "",
    by: By = None,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Let a stopped pipeline act again, from the next row on.

    Example: flyball resume congestion --why "maintenance is over"
    """
    from flyball_proto.commands import ResumePipeline, StopReply

    name, reason = shell.checked(by, why)
    command = ResumePipeline(pipeline=pipeline, by=name, why=reason)
    reply = shell.ask(home, "risk", "resume", command, StopReply, pipeline=pipeline)
    _say_stop(reply, "actions go out from the next decision on", as_json=as_json)


def _say_stop(reply: "StopReply", then: str, *, as_json: bool) -> None:
    if as_json:
        shell.put_json(reply.model_dump(mode="json"))
        return
    state = reply.state
    if state is None:
        shell.out("done")
        return
    word = "stopped" if state.stopped else "running"
    since = f"by {state.by} at {state.at:%H:%M:%S} UTC"
    before = "" if reply.changed else ", as it was before"
    shell.out(f"{state.pipeline} is {word}, {since}{before}; {then}")


async def _read(client: "Client", pipeline: str | None) -> "list[Hold]":
    from flyball_local.showing import records
    from flyball_local.showing.listing import one_pipeline

    if pipeline is None:
        return await records.holds(client)
    one_pipeline(await records.known_pipelines(client), pipeline)
    return await records.holds(client, f"{pipeline}.")


def _matches(hold: "Hold", element: str | None, action: str | None) -> bool:
    return element in {None, hold.element} and action in {None, hold.action}


def _chosen(
    home: Path,
    ids: list[str] | None,
    every: bool,
    filters: tuple[str | None, str | None, str | None],
    verb: str,
    *,
    yes: bool,
) -> list[str]:
    """The ids given, or with --all every open one that the filters leave, once a person said so.

    Raises:
        InvalidInputError: Neither ids nor --all, or both; or nobody can be asked.
    """
    from flyball_local.invalid import InvalidInputError

    pipeline, element, action = filters
    if bool(ids) == every or (ids and any(filters)):
        raise InvalidInputError(
            f"holds {verb}: name ids, or --all with --pipeline, --element or --action; "
            "which there are: flyball holds list"
        )
    if ids:
        return list(dict.fromkeys(ids))
    found = shell.with_operator(home, lambda client: _read(client, pipeline))
    chosen = [h for h in found if h.state == "open" and _matches(h, element, action)]
    if not chosen or yes:
        return [hold.id for hold in chosen]
    if not sys.stdin.isatty():
        raise InvalidInputError(
            f"holds {verb} --all would {verb} {len(chosen)}; say --yes where nobody can be asked"
        )
    for hold in chosen:
        shell.say(f"{hold.id}  {hold.action} on {hold.element}: {hold.reason}")
    typer.confirm(f"{verb} these {len(chosen)}?", abort=True, err=True)
    return [hold.id for hold in chosen]


def _answer(
    home: Path,
    chosen: list[str],
    answer: Literal["approve", "deny"],
    by: str,
    why: str,
    *,
    as_json: bool,
) -> None:
    """Answer one after the other; one that is refused does not keep the others from it."""
    from flyball_local.showing.answering import answer_holds

    outcomes = shell.with_operator(
        home, lambda client: answer_holds(client, chosen, answer, by, why)
    )
    if as_json:
        shell.put_json({"answers": [outcome.as_json() for outcome in outcomes]})
    for outcome in outcomes:
        if outcome.refusal:
            shell.say(f"{outcome.id}: {outcome.refusal}")
        elif not as_json:
            shell.out(f"{outcome.id}: {outcome.words}")
    if not outcomes and not as_json:
        shell.out("no decision waits")
    shell.end(not any(outcome.refusal for outcome in outcomes))
