"""Events over HTTP: resumed without loss or doubles, whatever happens to the gateway or a client."""

import asyncio
import json
import socket
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager

import httpx
import pytest
import pytest_asyncio
from nats.aio.client import Client
from tests.broker import gateway_world
from tests.broker.gateway_world import World, gateway, revoke, token

from flyball_gateway.records.following import KEPT
from flyball_local.embedded import ports

pytestmark = [
    pytest.mark.broker,
    pytest.mark.xdist_group("gateway-events"),
    pytest.mark.asyncio(loop_scope="module"),
]

WAIT_S = 60.0
PARITY = ("even", "odd")
STOP_S = 5.0


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def world(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[World]:
    found = await gateway_world.made(tmp_path_factory.mktemp("world"), ports.free_port())
    yield found
    await asyncio.to_thread(found.engine.stop)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def client(world: World) -> AsyncIterator[Client]:
    found = await world.connect()
    yield found
    await found.close()


class Stream:
    """What one client was sent."""

    def __init__(self, lines: AsyncIterator[str]) -> None:
        self._lines = lines
        self.ids: list[int] = []
        self.notices: list[tuple[str, dict[str, int]]] = []
        self.bodies: list[dict[str, int]] = []

    async def until(self, last: int | None) -> None:
        """Read up to this id; None = to the end."""
        fields: dict[str, str] = {}
        async with asyncio.timeout(WAIT_S):
            async for line in self._lines:
                name, _, value = line.partition(": ")
                if line:
                    fields[name] = value
                    continue
                self._take(fields)
                fields = {}
                if self.ids and self.ids[-1] == last:
                    return
        assert last is None, f"the stream ended at {self.ids[-1:]} and not at {last}"

    def _take(self, fields: dict[str, str]) -> None:
        if "id" in fields:
            self.ids.append(int(fields["id"]))
            self.bodies.append(json.loads(fields["data"]))
        elif "event" in fields:
            self.notices.append((fields["event"], json.loads(fields["data"])))


@asynccontextmanager
async def following(world: World, header: dict[str, str], query: str = "", **more: str):
    small = [(socket.SOL_SOCKET, socket.SO_RCVBUF, 1 << 16)]
    async with (
        httpx.AsyncClient(
            base_url=world.url,
            timeout=WAIT_S,
            transport=httpx.AsyncHTTPTransport(socket_options=small),
        ) as http,
        http.stream("GET", f"/v1/events{query}", headers=header | more) as answer,
    ):
        assert answer.status_code == 200, await answer.aread()
        yield Stream(answer.aiter_lines())


async def publish(client: Client, count: int, *, padding: int = 0) -> int:
    """So many events; returns the sequence of the last one."""
    js, last = client.jetstream(), 0
    for begin in range(0, count, 100):
        acks = await asyncio.gather(
            *(
                js.publish(f"risk.{PARITY[number % 2]}.tripped", body(number, padding))
                for number in range(begin, min(count, begin + 100))
            )
        )
        last = max(ack.seq for ack in acks)
    return last


def body(number: int, padding: int) -> bytes:
    return json.dumps({"number": number, "padding": "x" * padding}).encode()


async def test_events_resume_without_loss_or_doubles_over_a_restart(world, client):
    async with gateway(world) as process:
        header = await token(client, "viewer")
        async with following(world, header) as stream:
            last = await publish(client, 30)
            await stream.until(last)
            before = stream.ids
            process.terminate()
            assert await asyncio.wait_for(process.wait(), STOP_S * 6) == 0
            await stream.until(None)
    assert before == list(range(last - 29, last + 1))
    missed = await publish(client, 20)
    async with gateway(world):
        resumed = {"Last-Event-ID": str(before[-1])}
        async with following(world, header, **resumed) as stream:
            await stream.until(missed)
            last = await publish(client, 5)
            await stream.until(last)
        assert stream.ids == list(range(before[-1] + 1, last + 1))


async def test_what_was_forgotten_in_memory_is_read_from_the_stream(world, client):
    last = await publish(client, KEPT + 300)
    async with gateway(world):
        header = await token(client, "viewer")
        async with following(world, header, "?after=0&subject=risk.odd.*") as stream:
            await stream.until(last)
        assert stream.ids == sorted(set(stream.ids))
        assert len(stream.ids) >= (KEPT + 300) // 2
        assert {body["number"] % 2 for body in stream.bodies} == {1}


async def test_a_client_that_reads_too_slowly_is_told_where_to_go_on(world, client):
    async with gateway(world):
        header = await token(client, "viewer")
        async with following(world, header) as slow:
            # More than sockets hold (some MB) and the gateway keeps in memory (16 MiB) together.
            last = await publish(client, 1000, padding=30_000)
            await slow.until(None)
        ((name, facts),) = slow.notices
        assert (name, facts["last_event_id"]) == ("behind", slow.ids[-1])
        async with following(world, header, **{"Last-Event-ID": str(slow.ids[-1])}) as stream:
            await stream.until(last)
        assert slow.ids + stream.ids == list(range(slow.ids[0], last + 1))


async def test_an_event_stream_ends_with_the_access_behind_it(world, client):
    async with gateway(world):
        header = await token(client, "viewer", "eve")
        async with following(world, header) as stream:
            await stream.until(await publish(client, 1))
            assert await revoke(client, "eve") == 1
            await stream.until(None)


async def test_it_stops_in_time_with_streams_open(world, client):
    async with gateway(world) as process:
        header = await token(client, "viewer")
        async with following(world, header) as one, following(world, header) as other:
            last = await publish(client, 1)
            await asyncio.gather(one.until(last), other.until(last))
            process.terminate()
            assert await asyncio.wait_for(process.wait(), STOP_S) == 0


async def test_a_port_that_is_taken_is_said_to_be_taken(world, capfd):
    server = await asyncio.start_server(lambda *_: None, "127.0.0.1", world.port)
    try:
        process = await gateway_world.started(world, log_level="ERROR")
        assert await asyncio.wait_for(process.wait(), WAIT_S) != 0
    finally:
        server.close()
        await server.wait_closed()
    assert f"port {world.port} on 127.0.0.1 is taken by another program" in capfd.readouterr().err


async def test_without_a_port_it_serves_no_http_and_commands_still_work(world, client):
    process = await gateway_world.started(world, gateway_http_port="0")
    try:
        async with asyncio.timeout(WAIT_S):
            while True:
                try:
                    header = await token(client, "viewer")
                    break
                except Exception:  # noqa: BLE001 - nobody answers yet
                    await asyncio.sleep(0.1)
        assert header["Authorization"].startswith("Bearer fbt_")
        with pytest.raises(AssertionError, match="serves no HTTP"):
            await gateway_world.invitation(client, "viewer")
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", world.port)
    finally:
        process.terminate()
        assert await asyncio.wait_for(process.wait(), STOP_S * 6) == 0
