"""Commands about models: which there are, how good they are, and who takes the seat by hand."""

# ruff: noqa: PLC0415 - each command imports what it needs, so that --help is quick

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from flyball_local.cli import completion, shell
from flyball_local.cli.root import DEFAULT_HOME, AsJson, By, HomeFolder, PipelineName, app, group

if TYPE_CHECKING:
    from nats.aio.client import Client

    from flyball_proto.events import Wire

models = group("Which models there are, and how good each one is.")
app.add_typer(models, name="models")

Digest = Annotated[
    str, typer.Argument(help="Its beginning is enough.", autocompletion=completion.digests)
]
OfPipeline = Annotated[
    str | None,
    typer.Option("--pipeline", help="Default: every one.", autocompletion=completion.pipelines),
]
Reason = Annotated[str, typer.Option("--why", help="Kept on record with the name; needed.")]


@models.command("list")
def list_models(
    pipeline: OfPipeline = None, home: HomeFolder = DEFAULT_HOME, as_json: AsJson = False
) -> None:
    """Every model, newest first, with its loss and its evidence.

    Example: flyball models list --pipeline congestion
    """
    from flyball_kit import clock
    from flyball_local.showing import records
    from flyball_local.showing.listing import one_pipeline
    from flyball_local.showing.modellist import MODEL_COLUMNS, model_object, model_row

    async def run(client: "Client") -> Any:
        if pipeline is not None:
            one_pipeline(await records.known_pipelines(client), pipeline)
        return await records.models(client, pipeline)

    found, now = shell.with_operator(home, run), clock.utc_now()
    if as_json:
        shell.put_json({"models": [model_object(record, found) for record in found.records]})
        return
    rows = [model_row(record, found, now) for record in found.records]
    shell.out_table(MODEL_COLUMNS, rows, "no model yet; what is awaited: flyball status")


@models.command("show")
def show_model(
    digest: Digest,
    pipeline: OfPipeline = None,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Everything that is on record of one model, with its events.

    Example: flyball models show 1a2b3c4d
    """
    from flyball_kit import clock
    from flyball_local.showing import records
    from flyball_local.showing.describing import describe
    from flyball_local.showing.modellist import model_lines, model_object, one_model

    async def run(client: "Client") -> Any:
        found = await records.models(client, pipeline)
        record = one_model(found.records, digest)
        return found, record, await records.history(client, record.pipeline, record.digest)

    found, record, events = shell.with_operator(home, run)
    told = [(event, line) for event in events if (line := describe(event))]
    if as_json:
        history = [{"at": event.at.isoformat(), "words": line} for event, line in told]
        shell.put_json({**model_object(record, found), "history": history})
        return
    shell.out(*model_lines(record, found, clock.utc_now()))
    shell.out("", *(f"{event.at:%Y-%m-%d %H:%M:%S}  {line}" for event, line in told))


@models.command("compare")
def compare_models(
    digest: Digest,
    other: Digest,
    pipeline: OfPipeline = None,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Put two models side by side on rows that neither was fitted to.

    On the newest labelled ones. It is for people: it is no evidence, and nothing moves.

    Example: flyball models compare 1a2b3c4d 9f8e7d6c
    """
    from flyball_local.showing import records, sidebyside
    from flyball_local.showing.modellist import one_model
    from flyball_proto.commands import CompareModels, CompareReply

    async def run(client: "Client") -> Any:
        known = (await records.models(client, pipeline)).records
        return one_model(known, digest), one_model(known, other)

    one, two = shell.with_operator(home, run)
    sidebyside.two_models(one, two)
    command = CompareModels(pipeline=one.pipeline, digest=one.digest, other=two.digest)
    reply = shell.ask(home, "registry", "compare", command, CompareReply)
    if as_json:
        shell.put_json(reply.model_dump(mode="json"))
    elif (found := reply.comparison) is not None:
        shell.out(sidebyside.heading(found, one.pipeline))
        shell.out_table(*sidebyside.measure_rows(found, one, two), "")
        if slices := sidebyside.slice_rows(found):
            shell.out_table(("slice", "rows", "loss", "loss"), slices, "")
        shell.out(sidebyside.conclusion(found))


@models.command()
def promote(
    digest: Digest,
    why: Reason = "",
    by: By = None,
    pipeline: OfPipeline = None,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Make an admitted model the active one, at once.

    Example: flyball models promote 1a2b3c4d --why "tried at site 7"
    """
    from flyball_local.showing import records
    from flyball_local.showing.modellist import one_model
    from flyball_proto.commands import PromoteModel

    name, reason = shell.checked(by, why, required=True)

    async def run(client: "Client") -> Any:
        return one_model((await records.models(client, pipeline)).records, digest)

    record = shell.with_operator(home, run)
    command = PromoteModel(pipeline=record.pipeline, digest=record.digest, by=name, why=reason)
    _steer(home, "promote", command, record.pipeline, as_json=as_json)


@models.command()
def rollback(
    pipeline: PipelineName,
    why: Reason = "",
    by: By = None,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Take a pipeline's active model back to the anchor.

    Example: flyball models rollback congestion --why "too many false alarms"
    """
    from flyball_proto.commands import RollBackSeat

    name, reason = shell.checked(by, why, required=True)
    command = RollBackSeat(pipeline=pipeline, by=name, why=reason)
    _steer(home, "rollback", command, pipeline, as_json=as_json)


@models.command()
def pin(
    pipeline: PipelineName,
    why: Reason = "",
    by: By = None,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Let nothing move a pipeline's seat until it is unpinned.

    Example: flyball models pin congestion --why "maintenance at night"
    """
    from flyball_proto.commands import PinSeat

    name, reason = shell.checked(by, why, required=True)
    command = PinSeat(pipeline=pipeline, by=name, why=reason)
    _steer(home, "pin", command, pipeline, as_json=as_json)


@models.command()
def unpin(
    pipeline: PipelineName,
    why: Reason = "",
    by: By = None,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Let evidence move a pipeline's seat again.

    Example: flyball models unpin congestion --why "maintenance is over"
    """
    from flyball_proto.commands import UnpinSeat

    name, reason = shell.checked(by, why, required=True)
    command = UnpinSeat(pipeline=pipeline, by=name, why=reason)
    _steer(home, "unpin", command, pipeline, as_json=as_json)


def _steer(home: Path, verb: str, command: "Wire", pipeline: str, *, as_json: bool) -> None:
    """Ask the deployer, and say who answers now."""
    from flyball_local.showing.listing import short
    from flyball_proto.commands import DeploymentReply

    reply = shell.ask(home, "deployer", verb, command, DeploymentReply, pipeline=pipeline)
    if as_json:
        shell.put_json(reply.model_dump(mode="json"))
    elif reply.deployment:
        now = reply.deployment
        pinned = ", pinned" if now.pinned else ""
        shell.out(f"{now.trainer} {short(now.digest)} answers, epoch {now.epoch}{pinned}")
