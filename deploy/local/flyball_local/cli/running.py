"""Commands that start a stack and bring metrics to it."""

# ruff: noqa: PLC0415 - each command imports what it needs, so that --help is quick

import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from flyball_local.cli import shell
from flyball_local.cli.root import (
    DEFAULT_HOME,
    FIRST_METRIC,
    PIPELINES,
    AsJson,
    HomeFolder,
    SourceName,
    app,
)

if TYPE_CHECKING:
    from flyball_local.embedded.stack import Stack


@app.command()
def up(
    home: HomeFolder = DEFAULT_HOME,
    partitions: Annotated[int, typer.Option(min=1, max=64, help="Of METRICS.")] = 1,
    durable: Annotated[
        bool, typer.Option("--durable", help="Survive a power cut: sync at every write.")
    ] = False,
) -> None:
    """Bring up a whole stack on this machine, until Ctrl-C.

    Example: flyball up
    """
    from flyball_local.embedded.stack import Options, Stack, run_until_signalled

    async def ready(stack: "Stack") -> None:
        ports = (f"{name} {stack.metrics_url(name)}" for name in stack.options.services)
        shell.say(f"home     {stack.home.folder}")
        shell.say(f"nats     {stack.nats_url}  (monitoring {stack.monitor_url})")
        shell.say(f"s3       http://{stack.s3_endpoint}")
        shell.say(f"metrics  below /metrics of {', '.join(ports)}")
        shell.say(f"page     {await _page(stack)}")
        shell.say("a first metric and its verdict, in another terminal:")
        shell.say(f"  {_first_metric(home)}")

    sync = "always" if durable else None
    options = Options(partitions=partitions, sync_interval=sync, say=shell.say)
    shell.run(run_until_signalled(Stack(home, options), ready))


def _first_metric(home: Path) -> str:
    """A line for the shell that applies a specification and publishes a report that it acts on."""
    where = "" if home == DEFAULT_HOME else f" --home {home}"
    spec = os.path.relpath(PIPELINES / "ran.yaml")
    return FIRST_METRIC.format(flyball=sys.argv[0], spec=spec, home=where)


async def _page(stack: "Stack") -> str:
    """The page's address with a link that logs one browser in; without it, how to get one."""
    from flyball_kit.errors import PermanentError, TransientError
    from flyball_local.login import login_link, login_name

    client = await stack.connect("operator")
    try:
        reply = await login_link(client, login_name())
    except (PermanentError, TransientError) as error:
        return f"{stack.page_url}  (no login link: {error}; later: flyball users invite NAME)"
    finally:
        await client.close()
    return f"{reply.url}  (logs one browser in, once; further ones: flyball users invite NAME)"


@app.command()
def publish(  # noqa: PLR0913, PLR0917 - one a word of the command line
    source: SourceName,
    element: str,
    values: Annotated[list[str], typer.Argument(help="metric=value ...")],
    time: Annotated[str | None, typer.Option(help="RFC 3339 with a zone; default: now.")] = None,
    labels: Annotated[list[str] | None, typer.Option("--label", help="name=text")] = None,
    rows: Annotated[int, typer.Option(min=1, max=4096, help="The same, as of that many s.")] = 1,
    home: HomeFolder = DEFAULT_HOME,
    as_json: AsJson = False,
) -> None:
    """Publish one report and show what became of it.

    Example: flyball publish ran cell-1 RRU.PrbTotDl=96 RRC.ConnMean=310 --rows 8
    """
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
    """Report this machine's processes and interfaces as a source.

    Example: flyball watch-host --rounds 10
    """
    from flyball_local.host import watch_host as watch
    from flyball_local.session import with_role

    async def run() -> int:
        async with with_role(home, "adapter") as client:
            return await watch(client, lambda n: shell.say(f"{n} elements reported"), rounds)

    shell.out(f"{shell.run(run())} reports stored")
