"""A gateway as a process that serves HTTP, against a server of its own with the real permissions."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import httpx
from nats.aio.client import Client
from pydantic import BaseModel

from flyball_local.embedded.access import connect
from flyball_local.embedded.credentials import Credentials
from flyball_local.embedded.engines import NatsEngine
from flyball_local.embedded.natsconf import NatsConf
from flyball_local.embedded.provision import provision_streams
from flyball_proto.commands import (
    Invite,
    InviteReply,
    IssueToken,
    Reply,
    RevokeAccess,
    RevokeReply,
    TokenReply,
)
from flyball_proto.events import Wire
from flyball_proto.subjects import command

READY_S = 90.0
"""It imports for some seconds, and the machine may be busy."""

R = TypeVar("R", bound=Reply)


@dataclass
class World:
    """A NATS server with users, and where a gateway serves."""

    engine: NatsEngine
    credentials: Credentials
    port: int

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    def variables(self, **more: str) -> dict[str, str]:
        found = {
            "NATS_URL": self.engine.url,
            "GATEWAY_NATS_SEED_FILE": str(self.credentials.seed_file("gateway")),
            "GATEWAY_HTTP_PORT": str(self.port),
            "LOG_LEVEL": "WARNING",
        }
        return {f"FLYBALL_{k.upper()}": v for k, v in (found | more).items()}

    async def connect(self, role: str = "stack") -> Client:
        return await connect(self.engine.url, role, self.credentials.seed_file(role))


async def made(folder: Path, port: int) -> World:
    """A running server with all streams and buckets."""
    credentials = Credentials(folder / "credentials")
    credentials.prepare()
    engine = NatsEngine(folder / "nats", conf=lambda: NatsConf(users=credentials.users()))
    await asyncio.to_thread(engine.start)
    world = World(engine, credentials, port)
    client = await world.connect()
    await provision_streams(client)
    await client.close()
    return world


@asynccontextmanager
async def gateway(world: World, **more: str) -> AsyncIterator[asyncio.subprocess.Process]:
    """A gateway that is ready; killed at the end if it still runs."""
    process = await started(world, **more)
    try:
        await ready(world, process)
        yield process
    finally:
        if process.returncode is None:
            process.terminate()
            await asyncio.wait_for(process.wait(), READY_S)


async def started(world: World, **more: str) -> asyncio.subprocess.Process:
    return await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        "flyball_gateway",
        env={**os.environ, **world.variables(**more)},
        stdout=asyncio.subprocess.DEVNULL,
    )


async def ready(world: World, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(READY_S), httpx.AsyncClient(timeout=READY_S) as http:
        while True:
            assert process.returncode is None, f"it ended with {process.returncode}"
            try:
                if (await http.get(f"{world.url}/v1/ready")).status_code == 200:
                    return
            except httpx.TransportError:
                await asyncio.sleep(0.05)  # it does not listen yet: nothing tells when it does


async def ask(client: Client, verb: str, body: Wire, kind: type[R]) -> R:
    """A command to the gateway."""
    reply = await client.request(
        command("gateway", verb), body.model_dump_json().encode(), timeout=20
    )
    return kind.model_validate_json(reply.data)


async def token(client: Client, role: Any, name: str | None = None) -> dict[str, str]:
    """The header of a new token."""
    body = IssueToken(name=name or f"some-{role}", role=role, by="tests")
    reply = await ask(client, "issue-token", body, TokenReply)
    assert reply.ok, reply.error
    return {"Authorization": f"Bearer {reply.token}"}


async def invitation(client: Client, role: Any, name: str = "ann") -> str:
    """A login link."""
    reply = await ask(client, "invite", Invite(name=name, role=role, by="tests"), InviteReply)
    assert reply.ok, reply.error
    return reply.url


async def revoke(client: Client, name: str) -> int:
    return (await ask(client, "revoke", RevokeAccess(name=name, by="tests"), RevokeReply)).ended


async def answering(client: Client, subject: str, reply: BaseModel) -> list[dict[str, Any]]:
    """Answer a command always alike; returns what was asked, as it comes."""
    asked: list[dict[str, Any]] = []

    async def answer(message: Any) -> None:
        asked.append(httpx.Response(200, content=message.data).json())
        await message.respond(reply.model_dump_json().encode())

    await client.subscribe(subject, cb=answer)
    await client.flush()
    return asked


async def acts(
    http: httpx.AsyncClient, headers: dict[str, str], **wanted: str
) -> list[dict[str, Any]]:
    """Acts on record that have these values, the newest first."""
    found: Sequence[dict[str, Any]] = (await http.get("/v1/audit", headers=headers)).json()
    bodies = [item["body"] for item in found]
    return [body for body in bodies if all(body[key] == value for key, value in wanted.items())]
