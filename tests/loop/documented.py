"""Runs the commands of a document as a reader would type them, section by section."""

import os
import re
import shlex
import signal
import subprocess
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

import pytest
from tests.loop.driving import write_history

ROOT = Path(__file__).parents[2]
STANDS_FOR = {"FILE.csv": "history.csv", "COLUMN": "load"}
"""What a reader fills in."""
TIMEOUT_S = 300


def sections(text: str) -> dict[str, list[str]]:
    """The commands of each section, by heading, as they stand in its `sh` blocks."""
    found = {}
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        blocks = re.findall(r"^```sh\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
        lines = [line for block in blocks for line in block.splitlines() if line.strip()]
        if lines:
            found[section.split("\n", 1)[0]] = lines
    return found


def prepare(folder: Path) -> Path:
    """What a clone looks like to a reader, without what commands leave behind in it."""
    for name in (".venv", "pipelines"):
        (folder / name).symlink_to(ROOT / name)
    write_history(folder / "history.csv", elements=5, seconds=60)
    return folder


def run_section(lines: list[str], folder: Path) -> None:
    """One line after the other; a stack that a line brings up stays until the end."""
    with ExitStack() as staying:
        for line in map(typed, lines):
            if re.search(r"flyball up\b", line):
                staying.enter_context(up(line, folder))
            elif ">" in line:
                run(f"{line} && tail -n 1 {line.split('>')[1]}", folder)
            else:
                run(line, folder)


def typed(line: str) -> str:
    """What a reader types for a line."""
    for stands, real in STANDS_FOR.items():
        line = line.replace(stands, real)
    return line


def run(line: str, folder: Path) -> None:
    """Do as a line says; `make` only says what it would do."""
    is_make = line.startswith("make ")
    done = subprocess.run(
        ["bash", "-ec", re.sub("^make ", "make -n ", line)],
        cwd=ROOT if is_make else folder,
        env=environment(folder),
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    is_ours = is_make or "flyball" in line.split(maxsplit=1)[0]
    assert done.stdout or not is_ours, f"{line} says nothing"


@contextmanager
def up(line: str, folder: Path) -> Iterator[None]:
    """A command that stays, until the section ends."""
    words = ["bash", "-c", f"exec {shlex.join(shlex.split(line, comments=True))}"]
    process = subprocess.Popen(
        words, cwd=folder, env=environment(folder), stderr=subprocess.PIPE, text=True
    )
    assert process.stderr
    said = []
    try:
        for said_line in process.stderr:
            said.append(said_line)
            if "flyball apply -f" in said_line:
                break
        else:
            pytest.fail(f"{line} ended by itself: {said}")
        yield
    finally:
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
    assert process.returncode == 0


def environment(folder: Path) -> dict[str, str]:
    """A reader's shell, with the command on its path."""
    # `make test` tells the tests about itself; a reader's shell does not.
    found = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    return found | {"PATH": f"{folder}/.venv/bin:{found['PATH']}"}
