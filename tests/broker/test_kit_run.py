import asyncio
import json
import os
import signal
import sys
import urllib.error
import urllib.request
from asyncio.subprocess import PIPE, Process
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from threading import Thread

import pytest
from nats.aio.client import Client

from flyball_kit.fold import EXIT_FENCED, EXIT_INPUT
from flyball_kit.run import EXIT_SETTINGS
from flyball_proto.events import FoldFenced, InputLost

pytestmark = pytest.mark.broker

SERVICE = Path(__file__).with_name("kit_service.py")


@asynccontextmanager
async def service(what: str, nats_url: str, **variables: str) -> AsyncIterator[Process]:
    bare = {k: v for k, v in os.environ.items() if not k.startswith(("FLYBALL_", "OTEL_"))}
    env = bare | {"FLYBALL_NATS_URL": nats_url} | variables
    process = await asyncio.create_subprocess_exec(
        sys.executable, str(SERVICE), what, stdout=PIPE, stderr=PIPE, env=env
    )
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.communicate()


async def line(process: Process) -> bytes:
    assert process.stdout is not None
    async with asyncio.timeout(20):
        return await process.stdout.readline()


async def end(process: Process) -> tuple[int, str]:
    async with asyncio.timeout(20):
        _, said = await process.communicate()
    assert process.returncode is not None
    return process.returncode, said.decode()


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
async def test_a_signal_drains_and_ends_cleanly(nats_url: str, number: signal.Signals) -> None:
    async with service("wait", nats_url) as process:
        assert await line(process) == b"ready\n"
        process.send_signal(number)
        assert await line(process) == b"drained\n"
        assert await end(process) == (0, "")


@pytest.mark.parametrize(
    ("what", "code", "event"),
    [("fenced", EXIT_FENCED, FoldFenced), ("input", EXIT_INPUT, InputLost)],
)
async def test_a_fold_that_ends_is_announced_and_gives_the_exit_code(
    provisioned: Client,
    nats_url: str,
    what: str,
    code: int,
    event: type[FoldFenced] | type[InputLost],
) -> None:
    async with service(what, nats_url) as process:
        found, said = await end(process)
    assert found == code
    assert json.loads(said.splitlines()[0])["level"] == "ERROR"
    sub = await provisioned.jetstream().subscribe(event.pattern())
    told = event.model_validate_json((await sub.next_msg(5)).data)
    assert (told.pipeline, told.service) == ("congestion", "risk")
    assert told.fold == "verdicts.congestion.0"


async def test_an_error_that_nobody_foresaw_ends_with_one_and_a_traceback(nats_url: str) -> None:
    async with service("crash", nats_url) as process:
        code, said = await end(process)
    assert code == 1
    last = json.loads(said.splitlines()[-1])
    assert last["level"] == "CRITICAL"
    assert "ZeroDivisionError: nobody foresaw it" in last["exception"]


@pytest.mark.parametrize(
    ("variables", "said"),
    [
        ({"FLYBALL_PARTITIONS": "many"}, "flyball-risk: FLYBALL_PARTITIONS: "),
        ({"FLYBALL_RISK_PARTITION": "2"}, "did you mean FLYBALL_RISK_PARTITIONS?"),
    ],
)
async def test_bad_settings_end_with_one_clear_line(
    nats_url: str, variables: dict[str, str], said: str
) -> None:
    async with service("wait", nats_url, **variables) as process:
        code, output = await end(process)
    assert code == EXIT_SETTINGS
    assert said in output
    assert len(output.splitlines()) == 1


async def test_a_running_service_shows_health_and_metrics(
    nats_url: str, free_port: Callable[[], int]
) -> None:
    port = free_port()
    async with service("wait", nats_url, FLYBALL_METRICS_PORT=str(port)) as process:
        assert await line(process) == b"ready\n"
        status, body = await asyncio.to_thread(get, port, "/readyz")
        assert (status, json.loads(body)["reasons"]) == (
            200,
            {"redis": "degraded: FLYBALL_REDIS_URL is not set"},
        )
        status, body = await asyncio.to_thread(get, port, "/metrics")
        assert status == 200
        assert 'service_name="flyball-risk"' in body
        assert 'flyball_fold_rows_total{fold="verdicts"} 7.0' in body
        assert 'flyball_fold_commit_duration_seconds_bucket{fold="verdicts",le="0.002"} 1.0' in body


async def test_a_service_waits_for_its_broker_and_is_not_ready_meanwhile(
    free_port: Callable[[], int],
) -> None:
    port = free_port()
    nowhere = f"nats://127.0.0.1:{free_port()}"
    async with service("wait", nowhere, FLYBALL_METRICS_PORT=str(port)) as process:
        assert process.stderr is not None
        async with asyncio.timeout(20):
            warning = json.loads(await process.stderr.readline())
        assert "connection trouble" in warning["message"]
        status, body = await asyncio.to_thread(get, port, "/readyz")
        assert status == 503
        assert json.loads(body)["reasons"]["nats"].startswith("not connected")
        process.send_signal(signal.SIGTERM)
        assert (await end(process))[0] == 0


async def test_traces_and_metrics_are_sent_where_the_standard_variables_say(nats_url: str) -> None:
    sent: list[tuple[str, bytes]] = []

    class Collector(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            sent.append((self.path, self.rfile.read(int(self.headers["Content-Length"]))))
            self.send_response(200)
            self.end_headers()

        def log_message(self, *args: object) -> None: ...

    with ThreadingHTTPServer(("127.0.0.1", 0), Collector) as collector:
        Thread(target=collector.serve_forever).start()
        try:
            endpoint = f"http://127.0.0.1:{collector.server_port}"
            variables = {
                "OTEL_EXPORTER_OTLP_ENDPOINT": endpoint,
                "OTEL_EXPORTER_OTLP_COMPRESSION": "none",
                "OTEL_TRACES_SAMPLER": "always_on",
            }
            async with service("wait", nats_url, **variables) as process:
                assert await line(process) == b"ready\n"
                process.send_signal(signal.SIGTERM)
                assert (await end(process))[0] == 0
        finally:
            collector.shutdown()
    (spans,) = [body for path, body in sent if path == "/v1/traces"]
    assert b"batch" in spans
    assert b"flyball-risk" in spans
    assert any(b"flyball.fold.rows" in body for path, body in sent if path == "/v1/metrics")


def get(port: int, path: str) -> tuple[int, str]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5) as answer:
            return answer.status, answer.read().decode()
    except urllib.error.HTTPError as error:
        with error:
            return error.code, error.read().decode()
