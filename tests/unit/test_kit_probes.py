import asyncio
import contextlib
import json
from collections.abc import AsyncIterator

import pytest
from prometheus_client import Counter

from flyball_kit.health import Health
from flyball_kit.probes import Probes


@pytest.fixture
async def health() -> Health:
    return Health()


@pytest.fixture
async def probes(health: Health) -> AsyncIterator[Probes]:
    made = Probes(health, 0)
    await made.start()
    yield made
    await made.stop()


async def ask(probes: Probes, request: str) -> tuple[str, str]:
    reader, writer = await asyncio.open_connection("127.0.0.1", probes.port)
    writer.write(f"{request}\r\nHost: x\r\n\r\n".encode())
    answer = (await reader.read()).decode()
    writer.close()
    await writer.wait_closed()
    head, _, body = answer.partition("\r\n\r\n")
    return head.split("\r\n")[0], body


async def test_a_well_process_says_so(probes: Probes) -> None:
    assert await ask(probes, "GET /healthz HTTP/1.1") == (
        "HTTP/1.1 200 OK",
        '{"status": "ok", "reasons": {}}',
    )


async def test_a_process_that_is_not_ready_says_why(probes: Probes, health: Health) -> None:
    health.add("nats", lambda: "not connected")
    status, body = await ask(probes, "GET /readyz?verbose HTTP/1.1")
    assert status == "HTTP/1.1 503 Service Unavailable"
    assert json.loads(body)["reasons"] == {"nats": "not connected"}
    assert (await ask(probes, "GET /healthz HTTP/1.1"))[0] == "HTTP/1.1 200 OK"


async def test_metrics_are_what_prometheus_reads(probes: Probes) -> None:
    Counter("kit_probes_test", "Counts.").inc(3)
    status, body = await ask(probes, "GET /metrics HTTP/1.1")
    assert status == "HTTP/1.1 200 OK"
    assert "kit_probes_test_total 3.0" in body


@pytest.mark.parametrize("request_line", ["GET / HTTP/1.1", "POST /healthz HTTP/1.1"])
async def test_anything_else_is_not_found(probes: Probes, request_line: str) -> None:
    assert (await ask(probes, request_line))[0] == "HTTP/1.1 404 Not Found"


@pytest.mark.parametrize("rubbish", [b"\r\n\r\n", b"x" * 10_000, b"GET\r\n\r\n", b""])
async def test_rubbish_concerns_nobody_else(probes: Probes, rubbish: bytes) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", probes.port)
    writer.write(rubbish)
    writer.write_eof()
    with contextlib.suppress(ConnectionResetError):
        assert await reader.read() == b""
    writer.close()
    assert (await ask(probes, "GET /healthz HTTP/1.1"))[0] == "HTTP/1.1 200 OK"
