"""Commands about specifications."""

# ruff: noqa: PLC0415 - each command imports what it needs, so that --help is quick

import os
from pathlib import Path
from typing import Annotated, Any

import typer

from flyball_local.cli import shell
from flyball_local.cli.root import DEFAULT_HOME, AsJson, HomeFolder, SpecFile, app, new


@app.command()
def apply(file: SpecFile, home: HomeFolder = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Bring a specification into force on the running stack."""
    from flyball_local import specfile
    from flyball_local.control import apply as send
    from flyball_local.session import with_role

    catalogue = specfile.load(file)

    async def run() -> Any:
        async with with_role(home, "operator") as client:
            return await send(client, catalogue.objects, by=os.environ.get("USER", "operator"))

    reply = shell.run(run())
    if as_json:
        shell.put_json(reply.model_dump(mode="json"))
        return
    for found in reply.applied:
        change = "applied" if found.changed else "unchanged"
        shell.out(f"{found.kind} {found.name}: {change}, revision {found.revision}")


@app.command()
def validate(
    file: SpecFile,
    explain: Annotated[
        bool, typer.Option("--explain", help="Print it with every default filled in.")
    ] = False,
) -> None:
    """Check a specification; every mistake with its line."""
    from flyball_local import specfile
    from flyball_proto.spec import feature_digest, feature_names

    catalogue = specfile.load(file)
    if explain:
        shell.out(specfile.explain(catalogue))
        return
    for pipeline in catalogue.pipelines.values():
        source = catalogue.source_of(pipeline)
        count, digest = len(feature_names(pipeline, source)), feature_digest(pipeline, source)
        shell.out(f"Pipeline {pipeline.name}: valid, {count} features, digest {digest[:8]}")
    for name in catalogue.sources:
        shell.out(f"Source {name}: valid")


@new.command("spec")
def new_spec(
    csv: Annotated[Path, typer.Option("--csv", help="CSV or gzipped CSV with a header.")],
    target: Annotated[str, typer.Option("--target", help="Column to predict.")],
    time: Annotated[str | None, typer.Option(help="Column of the event time.")] = None,
    element: Annotated[str | None, typer.Option(help="Column of the element's name.")] = None,
    horizon: Annotated[str | None, typer.Option(help="How far ahead, e.g. 1h.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the source.")] = None,
) -> None:
    """Propose a commented specification from data."""
    from flyball_local.newspec import propose

    shell.out(propose(csv, target, time=time, element=element, horizon=horizon, name=name).rstrip())
