"""Ways into a stack that another process may be running."""

import asyncio
import base64
import json
import os
import signal
import time
from contextlib import suppress
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

import nats
import nkeys
from nats.aio.client import Client

from flyball_kit.errors import PermanentError, TransientError
from flyball_local.embedded.credentials import Credentials
from flyball_local.embedded.home import Home
from flyball_proto.roles import element_role, inbox_prefix

RELOAD_SIGNAL: Final = signal.SIGUSR1
"""Tells the process that runs a stack that elements were added."""
RELOAD_TIMEOUT_S: Final = 10.0
POLL_S: Final = 0.05


class NotRunningError(PermanentError):
    """No stack runs on this home."""


async def connect(url: str, user: str, seed: Path, name: str | None = None) -> Client:
    """A NATS connection under a user's own key and inbox; it reconnects for ever.

    Raises:
        nats.errors.Error: the server does not know the key or is away.
    """
    return await nats.connect(
        url,
        name=name or user,
        nkeys_seed=str(seed),
        inbox_prefix=inbox_prefix(user).encode(),
        max_reconnect_attempts=-1,
        reconnect_time_wait=0.2,
        ping_interval=5,
    )


async def connect_home(home: Home, role: str, name: str | None = None) -> Client:
    """A NATS connection to the stack that runs on a home, under one of the roles.

    Raises:
        NotRunningError: nothing runs there.
    """
    running = home.running()
    if running is None or not running.nats_url:
        raise NotRunningError(
            f"no stack runs on {home.folder}; start one with: flyball up --home {home.folder}"
        )
    return await connect(
        running.nats_url, role, Credentials(home.credentials).seed_file(role), name
    )


async def add_element(home: Home, source: str, element: str) -> Path:
    """Give an element a seed of its own and return the file, known to the server on return.

    Without a running stack the server learns of it at its next start. Repeating changes nothing.

    Raises:
        ElementNameError: the source or the element cannot be named so.
        TransientError: the running stack did not take it over in time.
    """
    home.prepare()
    seed = Credentials(home.credentials).add_element(source, element)
    running = home.running()
    if running is not None and running.nats_url:
        os.kill(running.pid, RELOAD_SIGNAL)
        await _until_admitted(running.nats_url, element_role(source, element).name, seed)
    return seed


async def _until_admitted(url: str, user: str, seed: Path) -> None:
    deadline_s = time.monotonic() + RELOAD_TIMEOUT_S
    while not await _admits(url, seed):
        if time.monotonic() > deadline_s:
            raise TransientError(
                f"the running stack has not admitted {user} in {RELOAD_TIMEOUT_S:.0f} s; "
                "it will at its next start"
            )
        await asyncio.sleep(POLL_S)


async def _admits(url: str, seed: Path) -> bool:
    """Whether the server knows a key: the first words of the NATS protocol, nothing more.

    A client of the library is not used to find out, because one that is refused leaks its socket.
    """
    server = urlsplit(url)
    try:
        reader, writer = await asyncio.open_connection(server.hostname, server.port)
    except OSError:
        return False
    try:
        info = json.loads((await reader.readline()).removeprefix(b"INFO "))
        writer.write(b"CONNECT " + _introduction(seed, info["nonce"]) + b"\r\nPING\r\n")
        return (await reader.readline()).startswith(b"PONG")
    except (OSError, ValueError):
        return False
    finally:
        writer.close()
        with suppress(OSError):
            await writer.wait_closed()


def _introduction(seed: Path, nonce: str) -> bytes:
    pair = nkeys.from_seed(bytearray(seed.read_bytes()))
    signature = base64.urlsafe_b64encode(pair.sign(nonce.encode())).decode().rstrip("=")
    return json.dumps(
        {"verbose": False, "nkey": pair.public_key.decode(), "sig": signature}
    ).encode()
