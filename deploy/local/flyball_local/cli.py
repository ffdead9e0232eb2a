"""The `flyball` command. Everything heavy is imported by the command that needs it.

Exit codes: 0 done, 1 a problem was found, 2 the input cannot be used, 3 no stack is running.
Results go to standard output, progress and errors to standard error.
"""

# ruff: noqa: PLC0415 - each command imports what it needs, so that --help is quick

import asyncio
import json
import os
import sys
from collections.abc import Coroutine
from pathlib import Path
from typing import Annotated, Any, Final, TypeVar

import typer

from flyball_local.exits import EXIT_PROBLEM, exit_code, sentence

DEFAULT_HOME: Final = Path(".flyball")
PIPELINES: Final = Path(__file__).parents[3] / "pipelines"
FIRST_METRIC: Final = (
    "{flyball} apply -f {spec}{home} && "
    "{flyball} publish ran cell-1 RRU.PrbTotDl=96 RRC.ConnMean=310 "
    "--label zone=residential --rows 8{home}"
)

app = typer.Typer(
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    add_completion=False,
    help="Closes the loop between a network and the models that steer it.",
)
new = typer.Typer(no_args_is_help=True, help="Write something to start from.")
app.add_typer(new, name="new")

HomeFolder = Annotated[Path, typer.Option("--home", help="Folder of the stack.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
SpecFile = Annotated[Path, typer.Option("-f", "--file", help="Specification, YAML.")]

_T = TypeVar("_T")


def main() -> None:
    """Run the command; errors become one sentence and an exit code."""
    try:
        app()
    except Exception as error:
        if os.environ.get("FLYBALL_DEBUG"):
            raise
        sys.stderr.write(f"{sentence(error)}\n")
        sys.exit(exit_code(error))
    except KeyboardInterrupt:
        sys.exit(130)


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
        _say(f"home     {stack.home.folder}")
        _say(f"nats     {stack.nats_url}  (monitoring {stack.monitor_url})")
        _say(f"s3       http://{stack.s3_endpoint}")
        for name in stack.options.services:
            _say(f"{name:<8} {stack.metrics_url(name)}/metrics")
        where = "" if home == DEFAULT_HOME else f" --home {home}"
        _say("a first metric and its verdict, in another terminal:")
        spec = os.path.relpath(PIPELINES / "ran.yaml")
        _say(f"  {FIRST_METRIC.format(flyball=sys.argv[0], spec=spec, home=where)}")

    sync = "always" if durable else None
    options = Options(partitions=partitions, sync_interval=sync, say=_say)
    _run(run_until_signalled(Stack(home, options), ready))


@app.command()
def demo(
    seconds: Annotated[float, typer.Option(min=5, help="How long the network lives.")] = 60.0,
    home: Annotated[
        Path | None, typer.Option("--home", help="Keep the stack's folder; default: temporary.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """The whole stack with a simulated radio access network, for a minute."""
    from flyball_local.demo import DemoOptions
    from flyball_local.demo import demo as run_demo

    found = _run(run_demo(DemoOptions(seconds=seconds, home=home, say=_say)))
    if not as_json:
        _print(f"{found.reports} reports sent, {found.actions_received} actions received")
    _show(found, as_json=as_json)


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

    reply = _run(run())
    if as_json:
        _json(reply.model_dump(mode="json"))
        return
    for found in reply.applied:
        change = "applied" if found.changed else "unchanged"
        _print(f"{found.kind} {found.name}: {change}, revision {found.revision}")


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
        _print(specfile.explain(catalogue))
        return
    for pipeline in catalogue.pipelines.values():
        source = catalogue.source_of(pipeline)
        count, digest = len(feature_names(pipeline, source)), feature_digest(pipeline, source)
        _print(f"Pipeline {pipeline.name}: valid, {count} features, digest {digest[:8]}")
    for name in catalogue.sources:
        _print(f"Source {name}: valid")


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

    _print(propose(csv, target, time=time, element=element, horizon=horizon, name=name).rstrip())


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
    found = _run(work)
    if as_json:
        _json({outcome.pipeline: outcome.values for outcome in found})
        return
    for outcome in found:
        _print(f"{outcome.pipeline}: {element}: {outcome.sentence}")


@app.command()
def replay(
    csv: Annotated[Path, typer.Option("--csv", help="CSV or gzipped CSV.")],
    spec: Annotated[Path | None, typer.Option("--spec", help="Specification, YAML.")] = None,
    speed: Annotated[str, typer.Option(help="Times real time, or max (lockstep).")] = "max",
    pipeline: Annotated[str | None, typer.Option(help="If the file has several.")] = None,
    label_delay: Annotated[
        int, typer.Option(min=0, help="Rows of an element until the truth about one arrives.")
    ] = 0,
    home: Annotated[
        Path | None, typer.Option("--home", help="Use or keep this stack; default: temporary.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Play a CSV file through the real loop, as its elements would have published it."""
    from flyball_local.replay import ReplayOptions, parse_speed, require_spec
    from flyball_local.replay import replay as play

    options = ReplayOptions(
        require_spec(spec, csv),
        csv,
        pipeline,
        parse_speed(speed),
        home,
        _say,
        label_delay_rows=label_delay,
    )
    _show(_run(play(options)), as_json=as_json)


@app.command()
def status(home: HomeFolder = DEFAULT_HOME, as_json: AsJson = False) -> None:
    """Which parts run, and which pipelines with which model."""
    from flyball_local.control import status as ask
    from flyball_local.session import running, with_role
    from flyball_local.words import SEAT_COLUMNS, seat_row, table

    async def run() -> Any:
        async with with_role(home, "operator") as client:
            return await ask(client)

    session, reply = running(home), _run(run())
    parts = session.home.running()
    if as_json:
        found = reply.model_dump(mode="json")["pipelines"]
        _json({"parts": dict(parts.parts or {}) if parts else {}, "pipelines": found})
        return
    _print(
        table(("part", "pid"), [(k, str(v)) for k, v in ((parts and parts.parts) or {}).items()])
    )
    _print("", table(SEAT_COLUMNS, [seat_row(p) for p in reply.pipelines]))


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
                _print(line)
                left = None if left is None else left - 1
                if left == 0:
                    return

    _run(run())


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

    accounts = _run(audit_home(home, pipeline, patience))
    if as_json:
        _json({account.pipeline: account.as_json() for account in accounts})
    else:
        for account in accounts:
            _print(f"{account.pipeline}:", *(f"  {line}" for line in account_lines(account)))
    _end(all(account.closes for account in accounts))


@app.command()
def simulate(
    seconds: Annotated[float | None, typer.Option(min=1, help="Default: until Ctrl-C.")] = None,
    speed: Annotated[float, typer.Option(min=0.1, help="Simulated seconds a second.")] = 1.0,
    sites: Annotated[int, typer.Option(min=1, max=200, help="Of three cells each.")] = 8,
    seed: int = 7,
    home: HomeFolder = DEFAULT_HOME,
) -> None:
    """Let a simulated radio access network report to the running stack (pipelines/ran.yaml)."""
    from flyball_local.demo import Story
    from flyball_local.session import running
    from flyball_local.simulator.cells import SimulatorOptions
    from flyball_local.simulator.cells import simulate as live

    options = SimulatorOptions(
        seconds=seconds, speed=speed, sites=sites, seed=seed, hour=16.0, change_share=0.5
    )
    stored = _run(live(running(home), options, Story(_print).tell))
    _print(f"{stored} reports stored")


@app.command()
def rehearse(
    hours: Annotated[float, typer.Option(min=0.1, help="Of the network's own time.")] = 4.0,
    change_at: Annotated[
        float | None, typer.Option(help="Hour at which residential cells grow; default: never.")
    ] = None,
    sites: Annotated[int, typer.Option(min=1, max=200, help="Of three cells each.")] = 4,
    seed: int = 7,
    spec: Annotated[Path, typer.Option("--spec", help="Specification.")] = PIPELINES / "ran.yaml",
    home: Annotated[
        Path | None, typer.Option("--home", help="Use or keep this stack; default: temporary.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let a simulated network live through the loop in lockstep: hours in a minute, repeatable."""
    from flyball_local import specfile
    from flyball_local.replay import LOCKSTEP
    from flyball_local.session import open_session
    from flyball_local.simulator.rehearsal import RehearsalOptions
    from flyball_local.simulator.rehearsal import rehearse as play

    options = RehearsalOptions(hours=hours, sites=sites, seed=seed, change_hour=change_at)
    catalogue = specfile.load(spec)

    async def run() -> Any:
        async with open_session(home, _say, LOCKSTEP) as session:
            return await play(session, catalogue, options, _say)

    _show(_run(run()), as_json=as_json)


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
            return await watch(client, lambda n: _say(f"{n} elements reported"), rounds)

    _print(f"{_run(run())} reports stored")


@app.command()
def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Shorter and fewer loads.")] = False,
    as_json: AsJson = False,
) -> None:
    """Measure latency and throughput on an embedded stack of its own."""
    from rich.console import Console

    from flyball_local.bench import run_bench, show

    report = _run(run_bench(quick=quick, say=_say))
    if as_json:
        _json(report.as_json())
    else:
        show(report, Console())


def _run(work: Coroutine[Any, Any, _T]) -> _T:
    return asyncio.run(work)


def _show(found: Any, *, as_json: bool) -> None:
    """How something that was played through the loop ended."""
    from flyball_local.words import account_lines, outcome_lines

    if as_json:
        _json(found.as_json())
    else:
        _print(*account_lines(found.account), *outcome_lines(found.as_json()))
    for problem in found.account.problems:
        _say(problem)
    _end(found.account.closes)


def _end(well: bool) -> None:
    if not well:
        raise typer.Exit(EXIT_PROBLEM)


def _say(text: str) -> None:
    """Progress: standard error."""
    typer.echo(text, err=True)


def _print(*lines: str) -> None:
    """Results: standard output."""
    for line in lines:
        typer.echo(line)


def _json(value: object) -> None:
    typer.echo(json.dumps(value))
