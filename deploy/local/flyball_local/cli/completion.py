"""What the shell offers behind a command: names from the running stack, silently nothing without.

The shell waits for it at a keystroke, so it takes a second at most and validates nothing.
"""

# ruff: noqa: PLC0415 - this is read for every command, what it imports only at a keystroke

from collections.abc import Callable, Coroutine, Iterable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import typer

if TYPE_CHECKING:
    from nats.aio.client import Client

TIMEOUT_S: Final = 1.0
MOST: Final = 200
"""More than these are not offered; the newest are."""

DIGEST_CHARS: Final = 12

Ask = Callable[["Client"], Coroutine[Any, Any, Iterable[str]]]


def pipelines(ctx: typer.Context, incomplete: str) -> list[str]:
    """Applied pipelines."""
    return _offer(ctx, incomplete, lambda client: _keys(client, "pipelines", "pipeline."))


def sources(ctx: typer.Context, incomplete: str) -> list[str]:
    """Applied sources."""
    return _offer(ctx, incomplete, lambda client: _keys(client, "pipelines", "source."))


def digests(ctx: typer.Context, incomplete: str) -> list[str]:
    """Models, by the beginning of their digest."""

    async def ask(client: "Client") -> list[str]:
        keys = await _keys(client, "models", "")
        return [key.rpartition(".")[2][: max(DIGEST_CHARS, len(incomplete))] for key in keys]

    return _offer(ctx, incomplete, ask)


def open_holds(ctx: typer.Context, incomplete: str) -> list[str]:
    """Holds that wait for a person."""
    return _offer(ctx, incomplete, _open_holds)


def subjects(incomplete: str) -> list[str]:
    """Streams that people may read, by their names."""
    names = ("actions", "audit", "dead", "decisions", "events", "features", "samples", "verdicts")
    return [name for name in names if name.startswith(incomplete)]


def specifications(incomplete: str) -> list[str]:
    """YAML files where the shell looks for files, and the ready ones."""
    folder, _, beginning = incomplete.rpartition("/")
    where = Path(folder) if folder else Path()
    if not where.is_dir():
        return []
    found = [f"{folder}/{p.name}" if folder else p.name for p in sorted(where.iterdir())]
    wanted = [p for p in found if p.endswith((".yaml", ".yml"))]
    folders = [f"{p}/" for p in found if Path(p).is_dir() and not Path(p).name.startswith(".")]
    names = [*wanted, *folders]
    return [
        name
        for name in names
        if name.rpartition("/")[2].startswith(beginning)
        or (name.endswith("/") and Path(name).name.startswith(beginning))
    ][:MOST]


def _offer(ctx: typer.Context, incomplete: str, ask: Ask) -> list[str]:
    """Ask the stack on the command's home; no stack or no answer in time is no offer."""
    from asyncio import run, timeout

    from flyball_local.embedded.home import DEFAULT_HOME, Home

    home = Home(Path(ctx.params.get("home") or DEFAULT_HOME))
    if home.running() is None:
        return []

    from nats.errors import Error as NatsError

    from flyball_kit.errors import PermanentError, TransientError
    from flyball_local.embedded.access import connect_home

    async def work() -> Iterable[str]:
        async with timeout(TIMEOUT_S):
            client = await connect_home(home, "operator")
            try:
                return await ask(client)
            finally:
                await client.close()

    try:
        found = run(work())
    except (PermanentError, TransientError, NatsError, OSError, TimeoutError):
        return []
    return [name for name in dict.fromkeys(found) if name.startswith(incomplete)][:MOST]


async def _keys(client: "Client", bucket: str, prefix: str) -> list[str]:
    """Keys under a prefix, without it. Deleted ones are among them: nothing here is deleted."""
    subject = f"$KV.{bucket}.{prefix}"
    info = await client.jetstream().stream_info(f"KV_{bucket}", subjects_filter=f"{subject}>")
    return sorted(key.removeprefix(subject) for key in info.state.subjects or {})


async def _open_holds(client: "Client") -> list[str]:
    import json

    from flyball_kit.newest import newest
    from flyball_proto.streams import HOLDS, Stream

    bucket = Stream(f"KV_{HOLDS.name}", (), HOLDS.max_bytes, "new")
    found = await newest(client, bucket, [f"$KV.{HOLDS.name}.>"], MOST)
    holds = [json.loads(record.data) for record in found if record.data]
    return [hold["id"] for hold in holds if hold["state"] == "open"]
