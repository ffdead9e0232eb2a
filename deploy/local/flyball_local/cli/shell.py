"""What every command does alike: run, ask, print, end."""

import asyncio
import json
import os
import sys
from collections.abc import Callable, Coroutine, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import typer

from flyball_local.exits import EXIT_PROBLEM

if TYPE_CHECKING:
    from nats.aio.client import Client

    from flyball_proto.commands import Reply
    from flyball_proto.events import Wire

MAX_NAME_CHARS: Final = 64

_T = TypeVar("_T")
_Reply = TypeVar("_Reply", bound="Reply")


def run(work: Coroutine[Any, Any, _T]) -> _T:
    """Run a command's work to its end."""
    return asyncio.run(work)


def with_operator(home: Path, work: Callable[["Client"], Coroutine[Any, Any, _T]]) -> _T:
    """Run work on a connection of the role `operator` to the stack of a home."""
    from flyball_local.embedded.access import connect_home  # noqa: PLC0415 - heavy
    from flyball_local.embedded.home import Home  # noqa: PLC0415 - heavy

    async def connected() -> _T:
        client = await connect_home(Home(home), "operator")
        try:
            return await work(client)
        finally:
            await client.close()

    return run(connected())


def ask(
    home: Path,
    service: str,
    verb: str,
    command: "Wire",
    reply: type[_Reply],
    *,
    pipeline: str | None = None,
) -> _Reply:
    """Ask one service on a home to do one thing; an unknown `pipeline` names the known ones."""
    from flyball_local.control import RefusedError, request  # noqa: PLC0415 - heavy
    from flyball_local.showing.listing import one_pipeline  # noqa: PLC0415 - heavy
    from flyball_local.showing.records import known_pipelines  # noqa: PLC0415 - heavy

    async def work(client: "Client") -> _Reply:
        try:
            return await request(client, service, verb, command, reply)
        except RefusedError as error:
            if pipeline is not None and error.reason == "not-found":
                one_pipeline(await known_pipelines(client), pipeline)
            raise

    return with_operator(home, work)


def who(name: str | None) -> str:
    """Who does it: the name given, else the one that the machine knows."""
    from flyball_local.login import login_name  # noqa: PLC0415 - heavy

    return login_name() if name is None else name


def checked(name: str | None, why: str = "", *, required: bool = False) -> tuple[str, str]:
    """Who and why, if they can be put on record.

    Raises:
        InvalidInputError: The name is empty or too long, or the reason is, or it is missing.
    """
    from flyball_local.invalid import InvalidInputError  # noqa: PLC0415 - heavy
    from flyball_proto.holds import MAX_WHY_CHARS  # noqa: PLC0415 - heavy

    by, why = who(name).strip(), why.strip()
    if not 0 < len(by) <= MAX_NAME_CHARS:
        raise InvalidInputError(
            f"--as {by!r}: found {len(by)} characters; valid are 1 to {MAX_NAME_CHARS}"
        )
    if len(why) > MAX_WHY_CHARS:
        raise InvalidInputError(
            f"--why: found {len(why)} characters; at most {MAX_WHY_CHARS} are kept on record"
        )
    if required and not why:
        raise InvalidInputError("--why is missing: say in a few words why, it is kept on record")
    return by, why


def show(found: Any, *, as_json: bool) -> None:
    """How something that was played through the loop ended."""
    from flyball_local.showing.words import account_lines, outcome_lines  # noqa: PLC0415 - heavy

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


def out_table(header: Sequence[str], rows: Sequence[Sequence[str]], empty: str) -> None:
    """A table, one line a row however wide; on a terminal with a bold heading."""
    from flyball_local.showing.listing import table  # noqa: PLC0415 - heavy

    if not rows:
        out(empty)
        return
    heading, *lines = table(header, rows).split("\n")
    bold = sys.stdout.isatty() and not os.environ.get("NO_COLOR")
    out(typer.style(heading, bold=True) if bold else heading, *lines)


def clear() -> None:
    """Begin at the top of an empty screen, if there is one."""
    if sys.stdout.isatty():
        typer.echo("\x1b[2J\x1b[H", nl=False)


def put_json(value: object) -> None:
    """A result as one JSON object on standard output."""
    typer.echo(json.dumps(value))
