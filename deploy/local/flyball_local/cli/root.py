"""The command itself, and options that several of its commands share."""

from pathlib import Path
from typing import Annotated, Final

import typer

DEFAULT_HOME: Final = Path(".flyball")
PIPELINES: Final = Path(__file__).parents[4] / "pipelines"
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
