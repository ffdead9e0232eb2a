"""Commands that let something play through the loop: files, a simulated network, load."""

# ruff: noqa: PLC0415 - each command imports what it needs, so that --help is quick

import sys
from pathlib import Path
from typing import Annotated, Any

import typer

from flyball_local.cli import shell
from flyball_local.cli.root import DEFAULT_HOME, PIPELINES, AsJson, HomeFolder, app


@app.command()
def demo(
    home: Annotated[
        Path | None, typer.Option("--home", help="Keep the stack's folder; default: temporary.")
    ] = None,
    stay: Annotated[
        bool, typer.Option("--stay", help="Let the network live on in real time, until Ctrl-C.")
    ] = False,
    short: Annotated[
        bool, typer.Option("--short", help="Half an hour of the network: too short to learn much.")
    ] = False,
    as_json: AsJson = False,
) -> None:
    """The whole story on a simulated radio access network, in about two minutes.

    Example: flyball demo --stay
    """
    from flyball_local.demo import SHORT, DemoOptions, Script
    from flyball_local.demo import demo as run_demo

    say = shell.say if as_json else shell.out
    options = DemoOptions(SHORT if short else Script(), home, say=say, stay=stay)
    shell.run(run_demo(options, lambda found: shell.show(found, as_json=as_json)))


@app.command()
def replay(  # noqa: PLR0913, PLR0917 - one a word of the command line
    csv: Annotated[Path, typer.Option("--csv", help="CSV or gzipped CSV.")],
    spec: Annotated[
        Path | None, typer.Option("--spec", help="Specification, YAML; none: one is proposed.")
    ] = None,
    target: Annotated[
        str | None,
        typer.Option(help="Without --spec: the column to predict, or COLUMN=VALUE."),
    ] = None,
    horizon: Annotated[str | None, typer.Option(help="Without --spec: how far ahead.")] = None,
    time: Annotated[str | None, typer.Option(help="Without --spec: the time's column.")] = None,
    element: Annotated[str | None, typer.Option(help="Without --spec: the element's.")] = None,
    out: Annotated[
        Path | None,
        typer.Option("--out", help="Where the proposed specification goes; default: here."),
    ] = None,
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
    """Play a CSV file through the real loop, as its elements would have published it.

    Example: flyball replay --csv cells.csv --target load
    """
    from flyball_local.playing.replay import ReplayOptions, parse_speed
    from flyball_local.playing.replay import replay as play
    from flyball_local.proposing.owndata import Wishes

    rate = parse_speed(speed)
    wishes = Wishes(target, horizon, time, element, None, out)
    path = _spec_for(csv, wishes) if spec is None else _given(spec, wishes)
    options = ReplayOptions(
        path, csv, pipeline, rate, home, shell.say, label_delay_rows=label_delay
    )
    found = shell.run(play(options))
    if not as_json:
        _tell_worth(found.as_json(), path, csv, proposed=spec is None)
    shell.show(found, as_json=as_json)


def _given(spec: Path, wishes: Any) -> Path:
    """The specification that was named, if nothing was asked of a proposal beside it."""
    from flyball_local.invalid import InvalidInputError

    names = ("target", "horizon", "time", "element", "out")
    if beside := [f"--{name}" for name in names if getattr(wishes, name) is not None]:
        raise InvalidInputError(
            f"found {', '.join(beside)} beside --spec {spec}; valid: a specification, or what one "
            "is proposed from; remove either, or change the specification"
        )
    return spec


def _spec_for(csv: Path, wishes: Any) -> Path:
    """A proposed specification; on a terminal the target is asked for."""
    from flyball_local.proposing import owndata

    if wishes.target is not None:
        return owndata.written(csv, wishes.target, wishes, shell.say)
    lines, likely = owndata.overview(csv, wishes)
    shell.out(*lines)
    if not (sys.stdin.isatty() and sys.stdout.isatty()):
        raise owndata.ask_for_target(csv, likely)
    target = typer.prompt("Which column shall be predicted?", default=likely)
    return owndata.written(csv, target, wishes, shell.say)


def _tell_worth(found: dict[str, Any], spec: Path, csv: Path, *, proposed: bool) -> None:
    from flyball_local.playing.worth import next_lines, refused_lines, worth_lines

    shell.out(*worth_lines(found), *refused_lines(found["refused"]))
    shell.out(*next_lines(found, spec, csv, proposed=proposed), "")


@app.command()
def rehearse(
    hours: Annotated[float, typer.Option(min=0.1, help="Of the network's own time.")] = 4.0,
    change_at: Annotated[
        float | None,
        typer.Option(help="Hour at which a service that sends in bursts begins; default: never."),
    ] = None,
    sites: Annotated[int, typer.Option(min=1, max=200, help="Of three cells each.")] = 6,
    seed: int = 7,
    spec: Annotated[Path, typer.Option("--spec", help="Specification.")] = PIPELINES / "ran.yaml",
    home: Annotated[
        Path | None, typer.Option("--home", help="Use or keep this stack; default: temporary.")
    ] = None,
    as_json: AsJson = False,
) -> None:
    """Let a simulated network live through the loop in lockstep: hours in a minute, repeatable."""
    from flyball_local import specfile
    from flyball_local.playing.replay import LOCKSTEP
    from flyball_local.session import open_session
    from flyball_local.simulator.rehearsal import RehearsalOptions
    from flyball_local.simulator.rehearsal import rehearse as play

    options = RehearsalOptions(hours=hours, sites=sites, seed=seed, change_hour=change_at)
    catalogue = specfile.load(spec)

    async def run() -> Any:
        async with open_session(home, shell.say, LOCKSTEP) as session:
            return await play(session, catalogue, options, shell.say)

    shell.show(shell.run(run()), as_json=as_json)


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
    from flyball_local.invalid import InvalidInputError
    from flyball_local.session import running
    from flyball_local.simulator.cells import SimulatorOptions
    from flyball_local.simulator.cells import simulate as live

    if seconds is None and speed > 1:
        raise InvalidInputError(
            f"--speed {speed:g} without --seconds: event time would run ahead of the clock and ingest "
            "refuses what is in the future; say how long, as in --seconds 60, so that it begins in the "
            "past"
        )
    options = SimulatorOptions(
        seconds=seconds, speed=speed, sites=sites, seed=seed, hour=16.0, change_share=0.5
    )
    stored = shell.run(live(running(home), options, Story(shell.out).tell))
    shell.out(f"{stored} reports stored")


@app.command()
def bench(
    quick: Annotated[bool, typer.Option("--quick", help="Shorter and fewer loads.")] = False,
    as_json: AsJson = False,
) -> None:
    """Measure latency and throughput on an embedded stack of its own.

    Example: flyball bench --quick
    """
    from rich.console import Console

    from flyball_local.bench import run_bench, show

    report = shell.run(run_bench(quick=quick, say=shell.say))
    if as_json:
        shell.put_json(report.as_json())
    else:
        show(report, Console())
