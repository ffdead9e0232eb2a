"""What every command does alike: run, print, end."""

import asyncio
import json
from collections.abc import Coroutine
from typing import Any, TypeVar

import typer

from flyball_local.exits import EXIT_PROBLEM

_T = TypeVar("_T")


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a command's work to its end."""
    return asyncio.run(work)


def show(found: Any, *, as_json: bool) -> None:
    """How something that was played through the loop ended."""
    from flyball_local.words import account_lines, outcome_lines  # noqa: PLC0415 - heavy

    if as_json:
        put_json(found.as_json())
    else:
        out(*account_lines(found.account), *outcome_lines(found.as_json()))
    for problem in found.account.problems:
        say(problem)
    end(found.account.closes)


def end(well: bool) -> None:
    """Leave with an exit code of its own when a problem was found."""
    if not well:
        raise typer.Exit(EXIT_PROBLEM)


def say(text: str) -> None:
    """Progress: standard error."""
    typer.echo(text, err=True)


def out(*lines: str) -> None:
    """Results: standard output."""
    for line in lines:
        typer.echo(line)


def put_json(value: object) -> None:
    """A result as one JSON object on standard output."""
    typer.echo(json.dumps(value))
