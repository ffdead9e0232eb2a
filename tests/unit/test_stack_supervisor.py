"""What the supervisor does about a part that ended."""

import os
import select
import signal
import sys
from pathlib import Path

import pytest
from typing_extensions import override

from flyball_kit.fold import EXIT_FENCED, EXIT_INPUT
from flyball_kit.run import EXIT_SETTINGS
from flyball_local.embedded.parts import Part, PartError
from flyball_local.embedded.ports import free_port
from flyball_local.embedded.service import Service
from flyball_local.embedded.supervisor import (
    BAD_SETTINGS,
    CRASH_LOOP,
    FENCED,
    FENCED_DELAY_S,
    INPUT_LOST,
    MAX_DELAY_S,
    State,
    Supervisor,
    after_exit,
)

SIGKILL = -9


@pytest.mark.parametrize(
    ("code", "failures", "delay_s", "says"),
    [
        (1, 1, 0.2, "exit code 1"),
        (0, 1, 0.2, "exit code 0"),
        (SIGKILL, 1, 0.2, "SIGKILL"),
        (1, 2, 0.4, "exit code 1"),
        (1, CRASH_LOOP, 3.2, "crash loop"),
        (1, 50, MAX_DELAY_S, "the 50th time"),
        (FENCED, 1, FENCED_DELAY_S, "another instance"),
        (FENCED, 50, MAX_DELAY_S, "another instance"),
        (INPUT_LOST, 1, None, "lost input"),
        (BAD_SETTINGS, 1, None, "settings"),
    ],
)
def test_an_exit_is_answered_by_a_delay_and_a_reason(
    code: int, failures: int, delay_s: float | None, says: str
) -> None:
    verdict = after_exit(code, failures)
    assert verdict.delay_s == pytest.approx(delay_s) if delay_s else verdict.delay_s is None
    assert says in verdict.reason


def test_the_exit_codes_are_those_of_the_kit() -> None:
    assert (BAD_SETTINGS, FENCED, INPUT_LOST) == (EXIT_SETTINGS, EXIT_FENCED, EXIT_INPUT)


class Script(Part):
    """A part that runs Python; ready once it has made the file `up` in its folder."""

    def __init__(self, folder: Path, code: str, name: str = "script") -> None:
        super().__init__(name, folder / f"{name}.log")
        self.up = folder / f"{name}.up"
        self.code = f"import pathlib, sys\nup = pathlib.Path({str(self.up)!r})\n{code}"

    @override
    def command(self) -> list[str]:
        return [sys.executable, "-S", "-c", self.code]

    @override
    def answers(self) -> bool:
        return self.up.exists()


RUNS = "up.touch(); import signal; signal.pause()"


async def test_a_killed_part_comes_back_under_another_pid(tmp_path: Path) -> None:
    said: list[str] = []
    supervisor = Supervisor(said.append)
    await supervisor.start([Script(tmp_path, RUNS)])
    before = supervisor.pids["script"]
    supervisor.kill("script")
    await supervisor.wait_ready()
    assert supervisor.pids["script"] != before
    assert any("SIGKILL" in line for line in said)
    assert said[-1].startswith("script ready again")
    await supervisor.stop()
    assert supervisor.pids == {}


@pytest.mark.parametrize("code", [INPUT_LOST, BAD_SETTINGS])
async def test_a_part_that_cannot_help_itself_stays_down_and_is_named(
    tmp_path: Path, code: int
) -> None:
    said: list[str] = []
    supervisor = Supervisor(said.append)
    ends = f"import signal; signal.signal(signal.SIGTERM, lambda *_: sys.exit({code}))\n"
    part = Script(tmp_path, ends + RUNS)
    other = Script(tmp_path, RUNS, "other")
    await supervisor.start([part, other])
    part.signal(signal.SIGTERM)
    await supervisor.wait_for("script", State.FAILED)
    supervisor.kill("other")  # others go on as ever
    await supervisor.wait_ready()
    assert supervisor.states == {"script": State.FAILED, "other": State.READY}
    assert any("script" in line and "stays down" in line for line in said)
    await supervisor.stop()


async def test_a_first_start_that_fails_says_what_the_part_said(tmp_path: Path) -> None:
    supervisor = Supervisor(lambda _: None)
    with pytest.raises(PartError, match="no such luck"):
        await supervisor.start([Script(tmp_path, "sys.exit('no such luck')")])
    await supervisor.stop()


async def test_a_part_that_ignores_a_polite_request_is_killed_with_its_children(
    tmp_path: Path,
) -> None:
    children = tmp_path / "children"
    code = (
        "import signal, subprocess\n"
        "signal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
        "child = subprocess.Popen([sys.executable, '-S', '-c', 'import signal; signal.pause()'])\n"
        f"pathlib.Path({str(children)!r}).write_text(str(child.pid))\n" + RUNS
    )
    part = Script(tmp_path, code)
    supervisor = Supervisor(lambda _: None)
    await supervisor.start([part])
    child = os.pidfd_open(int(children.read_text()))
    part.stop(timeout_s=0.05)
    assert part.exit_code == SIGKILL
    assert select.select([child], [], [], 10)[0], "its child still runs"
    os.close(child)
    await supervisor.stop()


SERVES = """
import http.server, os
class Probe(http.server.BaseHTTPRequestHandler):
    asked = 0
    def do_GET(self):
        Probe.asked += 1
        self.send_response(200 if Probe.asked > 2 and self.path == "/readyz" else 503)
        self.end_headers()
print(os.environ["FLYBALL_GREETING"], flush=True)
http.server.HTTPServer(("127.0.0.1", {port}), Probe).serve_forever()
"""


class Probed(Service):
    """A service whose process answers 503 twice before it is ready."""

    @override
    def command(self) -> list[str]:
        return [sys.executable, "-c", SERVES.format(port=self.metrics_port)]


async def test_a_service_is_ready_when_its_probe_says_so(tmp_path: Path) -> None:
    log = tmp_path / "logs" / "ingest.log"
    service = Probed("ingest", log, free_port(), lambda: {"FLYBALL_GREETING": "good morning"})
    assert Service.command(service)[1:] == ["-m", "flyball_ingest"]
    supervisor = Supervisor(lambda _: None)
    await supervisor.start([service])
    assert "good morning" in log.read_text()
    assert log.read_text().count("503") == 2
    await supervisor.stop()
