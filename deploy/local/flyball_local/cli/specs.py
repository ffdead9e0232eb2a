"""Commands about specifications."""

# ruff: noqa: PLC0415 - each command imports what it needs, so that --help is quick

from pathlib import Path
from typing import Annotated

import typer

from flyball_local.cli import shell
from flyball_local.cli.root import DEFAULT_HOME, AsJson, By, HomeFolder, SpecFile, Why, app, new


@app.command()
def apply(
    file: SpecFile,
    why: Why = "",
    by: By = None,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Bring a specification into force on the running stack.

    Example: flyball apply -f pipelines/ran.yaml --why "first try"
    """
    from flyball_local import specfile
    from flyball_local.control import apply as send

    name, reason = shell.checked(by, why)
    catalogue = specfile.load(file)
    reply = shell.with_operator(
        home, lambda client: send(client, catalogue.objects, by=name, why=reason)
    )
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
    """Check a specification; every mistake with its line.

    Example: flyball validate -f pipelines/ran.yaml --explain
    """
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
    csv: Annotated[Path, typer.Option("--csv", help="CSV or gzipped CSV.")],
    target: Annotated[
        str, typer.Option("--target", help="Column to predict, or COLUMN=VALUE: if it says that.")
    ],
    horizon: Annotated[str | None, typer.Option(help="How far ahead, e.g. 1h.")] = None,
    time: Annotated[str | None, typer.Option(help="Column of the event time.")] = None,
    element: Annotated[str | None, typer.Option(help="Column of the element's name.")] = None,
    name: Annotated[str | None, typer.Option(help="Name of the source.")] = None,
    out: Annotated[
        Path | None, typer.Option("--out", help="File to write; default: standard output.")
    ] = None,
) -> None:
    """Propose a commented specification from data.

    Example: flyball new spec --csv cells.csv --target load --out cells.yaml
    """
    from flyball_local.proposing.newspec import write
    from flyball_local.proposing.owndata import Wishes, proposed

    found = proposed(csv, target, Wishes(target, horizon, time, element, name, out))
    if out is None:
        shell.out(found.text.rstrip())
        return
    write(found, out)
    shell.say(f"wrote {out}: {len(found.checks)} things to check stand on top of it")
    shell.say(f"next: flyball replay --csv {csv} --spec {out}")
