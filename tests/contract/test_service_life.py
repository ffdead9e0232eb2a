"""Every service as a process: it waits for what is away, buries poison, and drains."""

import asyncio
import json
import os
import sys
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import nats
import pytest
from nats.aio.client import Client
from nats.js.errors import NotFoundError

from flyball_local.embedded.engines import NatsEngine
from flyball_local.embedded.provision import provision_streams
from flyball_local.generate import ROOT, services
from flyball_proto import headers, subjects

pytestmark = pytest.mark.broker

PATIENCE_S = 40.0
DRAIN_S = 15.0
POISON = b'\x00\xff{"not": json'


@asynccontextmanager
async def process_of(service: str, **variables: str) -> AsyncIterator[asyncio.subprocess.Process]:
    process = await asyncio.create_subprocess_exec(
        sys.executable,
        "-m",
        f"flyball_{service}",
        env={**os.environ, **{f"FLYBALL_{k.upper()}": v for k, v in variables.items()}},
        stdout=asyncio.subprocess.DEVNULL,
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
            await process.wait()


async def status(port: int, path: str) -> int:
    """What the probe answers; 0 when nobody listens."""
    try:
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(f"GET {path} HTTP/1.1\r\n\r\n".encode())
        answer = await reader.read()
    except OSError:
        return 0
    writer.close()
    return int(answer.split()[1]) if answer else 0


async def until(
    process: asyncio.subprocess.Process, ready: Callable[[], Awaitable[bool]], what: str
) -> None:
    """Ask again until it is so; a process that ends meanwhile has failed."""
    try:
        async with asyncio.timeout(PATIENCE_S):
            while not await ready():
                assert process.returncode is None, f"it ended with {process.returncode}: {what}"
                await asyncio.sleep(0.05)
    except TimeoutError:
        pytest.fail(what)


async def install(engine: NatsEngine) -> None:
    """Make all streams and buckets and leave the server stopped."""
    engine.start()
    client = await nats.connect(engine.url)
    await provision_streams(client)
    await client.close()
    engine.stop()


def heard(service: str) -> list[str]:
    """Subjects that the service's handlers listen to, as its AsyncAPI document says."""
    document = json.loads((ROOT / "services" / service / "asyncapi.json").read_text())
    received = [o for o in document.get("operations", {}).values() if o["action"] == "receive"]
    channels = [o["channel"]["$ref"].removeprefix("#/channels/") for o in received]
    found = {k.replace("/", "~1"): v["address"] for k, v in document["channels"].items()}
    return sorted(found[c.replace("%2A", "*")] for c in channels)


async def dead_letters(client: Client, service: str) -> dict[str, bytes]:
    """Dead letters by the subject that they were published on."""
    found: dict[str, bytes] = {}
    after = 1
    while True:
        try:
            letter = await client.jetstream().get_msg(
                "DEAD", seq=after, subject=subjects.dead(service), next=True
            )
        except NotFoundError:
            return found
        found[(letter.headers or {})[headers.ORIGINAL_SUBJECT]] = letter.data or b""
        after = (letter.seq or 0) + 1


async def poison(client: Client, service: str) -> dict[str, bytes]:
    """Poison everything that the service listens to; returns the dead letters to expect."""
    expected: dict[str, bytes] = {}
    for bucket, key in (("pipelines", "pipeline.poison"), ("deployments", "poison")):
        await client.jetstream().publish(f"$KV.{bucket}.{key}", POISON)
    for pattern in heard(service):
        subject = pattern.replace("*", "poison")
        if subject.startswith("cmd."):
            reply: dict[str, Any] = json.loads((await client.request(subject, POISON, 5)).data)
            assert reply["ok"] is False
            assert reply["error"]["message"]
        else:
            await client.jetstream().publish(subject, POISON)
            expected[subject] = POISON
    return expected


def test_the_documents_name_handlers() -> None:
    assert heard("gateway") == [
        f"cmd.gateway.{verb}"
        for verb in [
            "accept-autonomy",
            "access",
            "apply",
            "dora",
            "invite",
            "issue-token",
            "revoke",
            "status",
            "url",
        ]
    ]
    assert heard("trainer") == ["cmd.trainer.reproduce", "drift.*.drifted", "pipeline.*.applied"]


@pytest.mark.parametrize("service", services())
async def test_a_service_waits_for_its_servers_buries_poison_and_drains(
    service: str, tmp_path: Path, free_port: Callable[[], int]
) -> None:
    port, probe, nowhere = free_port(), free_port(), free_port()
    engine = NatsEngine(tmp_path, port)
    await install(engine)
    async with process_of(
        service,
        nats_url=f"nats://127.0.0.1:{port}",
        redis_url=f"redis://127.0.0.1:{nowhere}/0",
        s3_endpoint=f"127.0.0.1:{nowhere}",
        metrics_port=str(probe),
    ) as process:

        async def lives() -> bool:
            return await status(probe, "/healthz") == 200

        async def is_ready() -> bool:
            return await status(probe, "/readyz") == 200

        await until(process, lives, "it answers although every server is away")
        assert not await is_ready()
        engine.start()
        try:
            client = await nats.connect(engine.url)
            await until(process, is_ready, "it is ready once NATS is there, without Redis and S3")
            expected = await poison(client, service)

            async def is_buried() -> bool:
                return await dead_letters(client, service) == expected

            await until(process, is_buried, f"dead letters {expected}")
            assert await lives()
            assert await is_ready()
            process.terminate()
            assert await asyncio.wait_for(process.wait(), DRAIN_S) == 0
            await client.close()
        finally:
            engine.stop()
