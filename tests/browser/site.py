"""A whole stack with its page, a history to play through it, and a real browser to look at it."""

import asyncio
import json
import subprocess
import sys
import time
from collections.abc import Callable, Coroutine, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from playwright.sync_api import Browser, ConsoleMessage, Page, Playwright, Request, sync_playwright
from playwright.sync_api import Error as BrowserError
from tests.loop.driving import LEARNING, write_learnable

from flyball_local.control import request
from flyball_local.session import with_role
from flyball_proto import streams
from flyball_proto.commands import Invite, InviteReply

T = TypeVar("T")
CHROMIUM = Path("/usr/bin/chromium")
INSTALL = "apt-get install -y --no-install-recommends chromium fonts-dejavu-core"
ARGUMENTS = ["--no-sandbox", "--disable-gpu", "--disable-background-networking"]
ROOT = Path(__file__).parents[2]
FLYBALL = str(Path(sys.executable).with_name("flyball"))
PIPELINE = "plant"

ACTING = """\
  decisions:
    - {action: offload, score_at_least: 0.5, cooldown: 5s}
  risk:
    baseline_acts: true
    budgets: {actions_per_minute: 1000}
    hold: {expires: 12h}
    boundaries:
      - {name: ask-first, when: 'element.name == "machine-0"', verdict: hold}
"""
"""What may be done with the predictions of `LEARNING`; one machine's waits for a person, for long
enough that it still waits when the history is over."""

_UP = """
import asyncio, sys
from pathlib import Path
from flyball_local.playing.replay import LOCKSTEP
from flyball_local.embedded.stack import Options, Stack, run_until_signalled

async def ready(stack):
    await stack.wait_ready()
    print("ready", flush=True)

options = Options(say=lambda line: None, variables=LOCKSTEP)
asyncio.run(run_until_signalled(Stack(Path(sys.argv[1]), options), ready))
"""


@dataclass
class Site:
    """A running stack, in a home of its own."""

    home: Path
    _playing: list[subprocess.Popen[str]] = field(default_factory=list)
    _history: subprocess.Popen[str] | None = None

    def link(self, name: str, role: str) -> str:
        """A link that logs one browser in."""

        async def invited() -> str:
            async with with_role(self.home, "operator") as client:
                command = Invite(name=name, role=role, by="tests")  # type: ignore[arg-type]
                reply = await request(client, "gateway", "invite", command, InviteReply)
                return reply.url

        return apart(invited)

    def actions(self, element: str) -> list[dict[str, Any]]:
        """Actions that were stored for an element, as they are; the newest one at most."""

        async def read() -> list[dict[str, Any]]:
            async with with_role(self.home, "operator") as client:
                subject = f"actions.{PIPELINE}.{element}"
                js = client.jetstream()
                info = await js.stream_info(streams.ACTIONS.name, subjects_filter=subject)
                if not (info.state.subjects or {}).get(subject):
                    return []
                found = await js.get_last_msg(streams.ACTIONS.name, subject)
                return [json.loads(found.data or b"")]

        return apart(read)

    def play(self, *, seconds: int) -> subprocess.Popen[str]:
        """Play a history that can be learnt, in lockstep, once; returns at once."""
        if self._history is not None:
            return self._history
        spec, csv = self.home / "plant.yaml", self.home / "plant.csv"
        spec.write_text(LEARNING + ACTING)
        write_learnable(csv, seconds=seconds)
        words = ["replay", "--spec", str(spec), "--csv", str(csv), "--home", str(self.home)]
        self._history = self.run(*words, "--json")
        return self._history

    def run(self, *words: str) -> subprocess.Popen[str]:
        """A `flyball` command beside the test; ended with the site."""
        with (self.home / "command.log").open("a") as log:
            process = subprocess.Popen(
                [FLYBALL, *words], stdout=log, stderr=log, text=True, cwd=ROOT
            )
        self._playing.append(process)
        return process

    def end(self) -> None:
        """End what still plays."""
        for process in self._playing:
            if process.poll() is None:
                process.terminate()
            process.wait(60)


def apart(work: Callable[[], Coroutine[Any, Any, T]]) -> T:
    """Run a coroutine in a thread: Playwright keeps a loop running in this one."""
    with ThreadPoolExecutor(1) as thread:
        return thread.submit(lambda: asyncio.run(work())).result()


@contextmanager
def running(home: Path) -> Iterator[Site]:
    """A stack in `home` until the block ends."""
    home.mkdir(parents=True, exist_ok=True)
    with (home / "up.log").open("w") as log:
        command = [sys.executable, "-c", _UP, str(home)]
        process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=log, text=True, cwd=ROOT)
        site = Site(home)
        try:
            assert process.stdout
            if process.stdout.readline().strip() != "ready":
                raise AssertionError((home / "up.log").read_text())
            yield site
        finally:
            site.end()
            process.terminate()
            process.communicate(timeout=90)


@contextmanager
def chromium() -> Iterator[Browser]:
    """Debian's Chromium without a window."""
    with sync_playwright() as playwright:
        browser = launch(playwright)
        try:
            yield browser
        finally:
            browser.close()


def launch(playwright: Playwright) -> Browser:
    return playwright.chromium.launch(executable_path=CHROMIUM, args=ARGUMENTS)


@dataclass
class Visit:
    """A browser of one person on the page, and everything it asked for or complained about."""

    page: Page
    asked: list[str] = field(default_factory=list)
    complaints: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.page.on("request", self._on_request)
        self.page.on("console", self._on_console)
        self.page.on("pageerror", self._on_error)
        self.page.on("websocket", lambda socket: self.asked.append(socket.url))

    def _on_request(self, asked: Request) -> None:
        self.asked.append(asked.url)

    def _on_console(self, message: ConsoleMessage) -> None:
        if message.type in ("error", "warning"):
            self.complaints.append(f"{message.type}: {message.text}")

    def _on_error(self, error: BrowserError) -> None:
        self.complaints.append(f"error: {error}")


def visit(browser: Browser, link: str, **context: Any) -> Visit:
    """Log in by a link, in a browser that has no other session."""
    options = {"viewport": {"width": 1280, "height": 900}, "color_scheme": "light"} | context
    found = Visit(browser.new_context(**options).new_page())
    found.page.goto(link)
    found.page.wait_for_selector(".board .headline p")
    return found


def wait_for(process: "subprocess.Popen[str]", timeout_s: float) -> None:
    """Until a command has ended well."""
    began = time.monotonic()
    assert process.wait(timeout_s) == 0, f"failed after {time.monotonic() - began:.0f} s"
