"""Commands about what is allowed: a pipeline's policy in words, and a changed one tried on records."""

# ruff: noqa: PLC0415 - each command imports what it needs, so that --help is quick

from typing import TYPE_CHECKING, Annotated, Any

import typer

from flyball_local.cli import shell
from flyball_local.cli.root import (
    DEFAULT_HOME,
    AsJson,
    HomeFolder,
    PipelineName,
    SpecFile,
    app,
    group,
)
from flyball_local.exits import EXIT_LOOSER

if TYPE_CHECKING:
    from nats.aio.client import Client

    from flyball_proto.spec import Pipeline

policy = group("What may be done without a person: rules, budgets, boundaries.")
app.add_typer(policy, name="policy")


@policy.command()
def show(pipeline: PipelineName, home: HomeFolder = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """The policy in force in words, with the hash that verdicts name.

    Example: flyball policy show congestion
    """
    from flyball_local.trying.running import applied
    from flyball_local.trying.telling import policy_lines
    from flyball_risk.judging.policy import policy_digest

    found = shell.with_operator(home, lambda client: applied(client, pipeline))
    if as_json:
        spec = found.spec.model_dump(mode="json", by_alias=True, include={"decisions", "risk"})
        shell.put_json({"pipeline": pipeline, "policy": policy_digest(found), **spec})
    else:
        shell.out(*policy_lines(found))


@policy.command("test")
def try_out(
    file: SpecFile,
    pipeline: Annotated[
        str | None, typer.Option("--pipeline", help="Of the file, where it has several.")
    ] = None,
    since: Annotated[str, typer.Option(help="How far back from the newest row, e.g. 24h.")] = "24h",
    last: Annotated[
        int | None, typer.Option(min=1, max=1_000_000, help="Only the newest so many proposals.")
    ] = None,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """What a changed policy would have done with recorded decisions.

    They are judged again, under the policy in force and under the file's; nothing is changed.
    Exit code 4 says that something would become looser, and 0 that nothing would.

    Example: flyball policy test -f pipelines/ran.yaml --since 24h
    """
    from flyball_local import specfile
    from flyball_local.invalid import InvalidInputError
    from flyball_local.trying import running
    from flyball_proto.spec import parse_duration_ms

    try:
        ago_ms = parse_duration_ms(since)
    except ValueError as error:
        raise InvalidInputError(f"--since {since!r}: {error}") from error
    after = _one(specfile.load(file).pipelines, pipeline)

    async def run(client: "Client") -> Any:
        before = await running.applied(client, after.name)
        window = await running.window_of(client, after.name, ago_ms, last)
        shell.say(f"judging the recorded decisions of {after.name} again")
        return before, await running.compare(client, before, after, window)

    before, found = shell.with_operator(home, run)
    if as_json:
        shell.put_json({"pipeline": after.name, **_digests(before, after), **found.as_json()})
    else:
        _tell(found, before, after)
    if found.is_looser:
        raise typer.Exit(EXIT_LOOSER)


def _one(pipelines: Any, wanted: str | None) -> "Pipeline":
    from flyball_local.invalid import InvalidInputError

    names = ", ".join(pipelines) or "none"
    if wanted is not None and wanted not in pipelines:
        raise InvalidInputError(f"--pipeline {wanted!r}: not in the file; valid: {names}")
    if wanted is None and len(pipelines) != 1:
        raise InvalidInputError(
            f"found {len(pipelines)} pipelines in the file; name one with --pipeline: {names}"
        )
    found: Pipeline = pipelines[wanted or next(iter(pipelines))]
    return found


def _digests(before: "Pipeline", after: "Pipeline") -> dict[str, str]:
    from flyball_risk.judging.policy import policy_digest

    return {"policy_before": policy_digest(before), "policy_after": policy_digest(after)}


def _tell(found: Any, before: "Pipeline", after: "Pipeline") -> None:
    from flyball_local.trying import telling

    digests = _digests(before, after)
    old, new = digests["policy_before"][:12], digests["policy_after"][:12]
    shell.out(
        f"{after.name}: policy {old} → {new}" if old != new else f"{after.name}: policy {old}"
    )
    shell.out(*telling.comparison_lines(found))
    if found.proposals:
        shell.out("")
        shell.out_table(telling.MOVES_COLUMNS, telling.move_rows(found), "")
    if boundaries := telling.boundary_rows(found, before, after):
        shell.out("")
        shell.out_table(telling.BOUNDARY_COLUMNS, boundaries, "")
    if examples := found.examples():
        shell.out("", f"{len(examples)} of {found.changed} changed rows:")
        shell.out(*(line for row in examples for line in telling.example_lines(found, row)))
    shell.out("", *telling.ending_lines(found))
