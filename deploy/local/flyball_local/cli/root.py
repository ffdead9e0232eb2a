"""The command itself, and options that several of its commands share."""

import sys
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from typer.core import TyperGroup
from typing_extensions import override

from flyball_local.cli import completion

DEFAULT_HOME: Final = Path(".flyball")
PIPELINES: Final = Path(__file__).parents[4] / "pipelines"
FIRST_METRIC: Final = (
    "{flyball} apply -f {spec}{home} && "
    "{flyball} publish ran cell-1 RRU.PrbTotDl=96 RRC.ConnMean=310 "
    "--label zone=residential --rows 8{home}"
)
EPILOGUE: Final = (
    "Exit codes: 0 done, 1 a problem was found, 2 the input cannot be used, "
    "3 no stack is running, 4 a policy would be looser (policy test), 130 interrupted. "
    "Results go to standard output, progress and errors to standard error."
)
ORDER: Final = [
    "up",
    "demo",
    "apply",
    "validate",
    "new",
    "publish",
    "replay",
    "status",
    "tail",
    "models",
    "reproduce",
    "policy",
    "holds",
    "reviews",
    "stop",
    "resume",
    "breaker",
    "autonomy",
    "outcomes",
    "quarantine",
    "users",
    "audit",
    "explain",
    "lineage",
    "dora",
    "bench",
    "simulate",
    "rehearse",
    "watch-host",
]
"""As somebody needs them who is new; others come behind them."""

MARKUP: Final = "rich" if sys.stdout.isatty() and sys.stderr.isatty() else None
"""Boxes and colours are for terminals alone."""


class _Ordered(TyperGroup):
    """Lists commands in `ORDER`."""

    @override
    def list_commands(self, ctx: Any) -> list[str]:
        """Every command's name."""
        known = {name: place for place, name in enumerate(ORDER)}
        return sorted(super().list_commands(ctx), key=lambda name: known.get(name, len(ORDER)))


def group(about: str) -> typer.Typer:
    """A command that has commands of its own."""
    return typer.Typer(no_args_is_help=True, rich_markup_mode=MARKUP, help=about)


app = typer.Typer(
    cls=_Ordered,
    no_args_is_help=True,
    pretty_exceptions_enable=False,
    rich_markup_mode=MARKUP,
    help="Closes the loop between a network and the models that steer it.",
    epilog=EPILOGUE,
)
new = group("Write something to start from.")
app.add_typer(new, name="new")

HomeFolder = Annotated[Path, typer.Option("--home", help="Folder of the stack.")]
AsJson = Annotated[bool, typer.Option("--json", help="One JSON object on standard output.")]
SpecFile = Annotated[
    Path,
    typer.Option(
        "-f", "--file", help="Specification, YAML.", autocompletion=completion.specifications
    ),
]
By = Annotated[str | None, typer.Option("--as", help="Who does it; default: the login name.")]
Why = Annotated[str, typer.Option("--why", help="Kept on record with the name.")]
PipelineName = Annotated[str, typer.Argument(autocompletion=completion.pipelines)]
SourceName = Annotated[str, typer.Argument(autocompletion=completion.sources)]


def _version(*, wanted: bool) -> None:
    if wanted:
        from importlib.metadata import version  # noqa: PLC0415 - only when asked for

        typer.echo(f"flyball {version('flyball-local')}")
        raise typer.Exit


@app.callback()
def root(
    *,
    version: Annotated[
        bool,
        typer.Option("--version", is_eager=True, callback=_version, help="Print it and end."),
    ] = False,
) -> None:
    """Closes the loop between a network and the models that steer it."""
    _ = version
