"""Commands that start a stack, ask it and look at it."""

# ruff: noqa: PLC0415 - each command imports what it needs, so that --help is quick

import os
import sys
from typing import Annotated, Any

import typer

from flyball_local.cli import shell
from flyball_local.cli.root import DEFAULT_HOME, FIRST_METRIC, PIPELINES, AsJson, HomeFolder, app


@app.command()
def up(
    home: HomeFolder = DEFAULT_HOME,
    partitions: Annotated[int, typer.Option(min=1, max=64, help="Of METRICS.")] = 1,
    durable: Annotated[
        bool, typer.Option("--durable", help="Survive a power cut: sync at every write.")
    ] = False,
) -> None:
    """Bring up the embedded stack and stay; Ctrl-C stops it in order."""
    from flyball_local.stack import Options, Stack, run_until_signalled

    def ready(stack: Stack) -> None:
        shell.say(f"home     {stack.home.folder}")
        shell.say(f"nats     {stack.nats_url}  (monitoring {stack.monitor_url})")
        shell.say(f"s3       http://{stack.s3_endpoint}")
        for name in stack.options.services:
            shell.say(f"{name:<8} {stack.metrics_url(name)}/metrics")
        where = "" if home == DEFAULT_HOME else f" --home {home}"
        shell.say("a first metric and its verdict, in another terminal:")
        spec = os.path.relpath(PIPELINES / "ran.yaml")
        shell.say(f"  {FIRST_METRIC.format(flyball=sys.argv[0], spec=spec, home=where)}")

    sync = "always" if durable else None
    options = Options(partitions=partitions, sync_interval=sync, say=shell.say)
    shell.run(run_until_signalled(Stack(home, options), ready))


@app.command()
def status(home: HomeFolder = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Which parts run, and which pipelines with which model."""
    from flyball_local.control import status as ask
    from flyball_local.session import running, with_role
    from flyball_local.words import SEAT_COLUMNS, seat_row, table

    async def run() -> Any:
        async with with_role(home, "operator") as client:
            return await ask(client)

    session, reply = running(home), shell.run(run())
    parts = session.home.running()
    if as_json:
        found = reply.model_dump(mode="json")["pipelines"]
        shell.put_json({"parts": dict(parts.parts or {}) if parts else {}, "pipelines": found})
        return
    shell.out(
        table(("part", "pid"), [(k, str(v)) for k, v in ((parts and parts.parts) or {}).items()])
    )
    shell.out("", table(SEAT_COLUMNS, [seat_row(p) for p in reply.pipelines]))


@app.command()
def tail(
    subject: Annotated[str, typer.Argument(help="NATS subject or pattern.")] = "verdicts.>",
    count: Annotated[int | None, typer.Option(min=1, help="End after so many.")] = None,
    everything: Annotated[bool, typer.Option("--all", help="From the beginning.")] = False,
    home: HomeFolder = DEFAULT_HOME,
) -> None:
    """Follow a subject, decoded, one line a message."""
    from flyball_local.session import with_role
    from flyball_local.tail import tail as lines

    async def run() -> None:
        async with with_role(home, "operator") as client:
            left = count
            async for line in lines(client, subject, everything=everything):
                shell.out(line)
                left = None if left is None else left - 1
                if left == 0:
                    return

    shell.run(run())


@app.command()
def audit(
    pipeline: Annotated[str | None, typer.Argument(help="Default: every one.")] = None,
    patience: Annotated[
        float, typer.Option(help="Seconds without progress until rows are lost.")
    ] = 5.0,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Close the account of the running stack's pipelines from its streams alone."""
    from flyball_local.books import audit_home
    from flyball_local.words import account_lines

    accounts = shell.run(audit_home(home, pipeline, patience))
    if as_json:
        shell.put_json({account.pipeline: account.as_json() for account in accounts})
    else:
        for account in accounts:
            shell.out(f"{account.pipeline}:", *(f"  {line}" for line in account_lines(account)))
    shell.end(all(account.closes for account in accounts))


@app.command()
def publish(  # noqa: PLR0913, PLR0917 - one a word of the command line
    source: str,
    element: str,
    values: Annotated[list[str], typer.Argument(help="metric=value ...")],
    time: Annotated[str | None, typer.Option(help="RFC 3339 with a zone; default: now.")] = None,
    labels: Annotated[list[str] | None, typer.Option("--label", help="name=text")] = None,
    rows: Annotated[int, typer.Option(min=1, max=4096, help="The same, as of that many s.")] = 1,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Publish one report and show what became of it."""
    from flyball_local.publish import parse_pairs, parse_values
    from flyball_local.publish import publish as send
    from flyball_local.session import running

    parsed = parse_values(values)
    known = parse_pairs(labels or [], "name=text, e.g. zone=residential")
    work = send(running(home), source, element, parsed, labels=known, time=time, rows=rows)
    found = shell.run(work)
    if as_json:
        shell.put_json({outcome.pipeline: outcome.values for outcome in found})
        return
    for outcome in found:
        shell.out(f"{outcome.pipeline}: {element}: {outcome.sentence}")


@app.command("watch-host")
def watch_host(
    rounds: Annotated[int | None, typer.Option(min=1, help="Default: until Ctrl-C.")] = None,
    home: HomeFolder = DEFAULT_HOME,
) -> None:
    """Report this machine's processes and interfaces to the running stack (pipelines/host.yaml)."""
    from flyball_local.host import watch_host as watch
    from flyball_local.session import with_role

    async def run() -> int:
        async with with_role(home, "adapter") as client:
            return await watch(client, lambda n: shell.say(f"{n} elements reported"), rounds)

    shell.out(f"{shell.run(run())} reports stored")
