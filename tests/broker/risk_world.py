"""Risk as a process, and what it has stored; for tests of the whole service."""

import asyncio
import os
import signal
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any

from nats.aio.client import Client
from nats.js.errors import NotFoundError

from flyball_proto.events import Action
from flyball_risk.app import build
from flyball_risk.settings import Settings

PATIENCE_S = 120.0
"""A process takes half a minute to start where the machine is shared by many."""


@asynccontextmanager
async def risk_process(nats_url: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "flyball_risk",
        env={**os.environ, "FLYBALL_NATS_URL": nats_url, "FLYBALL_LOG_FORMAT": "text"},
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.send_signal(signal.SIGCONT)
            process.kill()
            await process.wait()


@asynccontextmanager
async def risk_service(nats_url: str) -> AsyncIterator[None]:
    """In this process: starts at once. Only what is killed needs a process of its own."""
    app = build(Settings(nats_url=nats_url))
    await app.start()
    try:
        yield
    finally:
        await app.stop()


async def stored(client: Client, stream: str) -> list[Any]:
    js, found, after = client.jetstream(), [], 1
    while True:
        try:
            message = await js.get_msg(stream, seq=after, subject=">", next=True)
        except NotFoundError:
            return found
        found.append(message)
        after = (message.seq or 0) + 1


async def actions(client: Client) -> list[Action]:
    return [Action.model_validate_json(m.data) for m in await stored(client, "ACTIONS")]


async def until(ready: Callable[[], Any]) -> None:
    async with asyncio.timeout(PATIENCE_S):
        while not await ready():
            await asyncio.sleep(0.02)
