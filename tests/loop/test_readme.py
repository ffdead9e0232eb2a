"""The README is true: its commands work as they stand there, and what it names exists."""

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
README = (ROOT / "README.md").read_text()
STANDS_FOR = {"FILE.csv": "history.csv", "COLUMN": "load"}
"""What a reader fills in."""
TIMEOUT_S = 300

pytestmark = [pytest.mark.loop, pytest.mark.xdist_group("readme")]


def sections(text: str) -> dict[str, list[str]]:
    """The commands of each section, by heading, as they stand in its `sh` blocks."""
    found = {}
    for section in re.split(r"^## ", text, flags=re.MULTILINE)[1:]:
        blocks = re.findall(r"^```sh\n(.*?)^```", section, re.DOTALL | re.MULTILINE)
        lines = [line for block in blocks for line in block.splitlines() if line.strip()]
        if lines:
            found[section.split("\n", 1)[0]] = lines
    return found


SECTIONS = sections(README)
LINKS = sorted(set(re.findall(r"\]\(([^)#:]+)\)", README)))
NAMED_TESTS = sorted(set(re.findall(r"\(tests/(\S+?\.py)\)[^|\n]*?`(test_\w+)`", README)))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    """What a clone looks like to a reader, without what commands leave behind in it."""
    for name in (".venv", "pipelines"):
        (tmp_path / name).symlink_to(ROOT / name)
    write_history(tmp_path / "history.csv", elements=5, seconds=60)
    return tmp_path


def typed(line: str) -> str:
    """What a reader types for a line."""
    for stands, real in STANDS_FOR.items():
        line = line.replace(stands, real)
    return line


def run(line: str, folder: Path) -> None:
    """Do as a line says; `make` only says what it would do."""
    is_make = line.startswith("make ")
    words = re.sub("^make ", "make -n ", line)
    # `make test` tells the tests about itself; a reader's shell does not.
    environment = {k: v for k, v in os.environ.items() if not k.startswith(("MAKE", "MFLAGS"))}
    done = subprocess.run(
        ["bash", "-ec", words],
        cwd=ROOT if is_make else folder,
        env=environment,
        capture_output=True,
        text=True,
        timeout=TIMEOUT_S,
        check=False,
    )
    assert done.returncode == 0, f"{line}\n{done.stdout}{done.stderr}"
    assert done.stdout, f"{line} says nothing"


@contextmanager
def up(line: str, folder: Path) -> Iterator[None]:
    """A command that stays, until the section ends."""
    words = shlex.split(line, comments=True)
    process = subprocess.Popen(words, cwd=folder, stderr=subprocess.PIPE, text=True)
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


@pytest.mark.parametrize("section", SECTIONS)
def test_the_commands_of_a_section_work_one_after_the_other(section: str, folder: Path) -> None:
    with ExitStack() as staying:
        for line in map(typed, SECTIONS[section]):
            if re.search(r"flyball up\b", line):
                staying.enter_context(up(line, folder))
            elif ">" in line:
                run(f"{line} && tail -n 1 {line.split('>')[1]}", folder)
            else:
                run(line, folder)


def test_the_readme_begins_with_the_demo_and_the_tests() -> None:
    first = next(iter(SECTIONS.values()))
    assert [line.split("#")[0].split() for line in first] == [["make", "demo"], ["make", "test"]]
    assert len(SECTIONS) >= 3


@pytest.mark.parametrize("link", LINKS)
def test_what_the_readme_links_to_exists(link: str) -> None:
    assert (ROOT / link).exists()


@pytest.mark.parametrize(("file", "name"), NAMED_TESTS)
def test_a_test_that_holds_a_promise_exists(file: str, name: str) -> None:
    assert f"def {name}(" in (ROOT / "tests" / file).read_text()


def test_every_promise_names_the_test_that_holds_it() -> None:
    table = README.split("the test that holds it\n", 1)[1].split("\n## ", 1)[0]
    promises = [row for row in table.splitlines() if row.startswith("| ")][1:]
    assert len(promises) >= 8
    for promise in promises:
        assert re.search(r"\(tests/\S+\.py\)[^|\n]*`test_\w+`", promise), promise
