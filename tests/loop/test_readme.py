"""The README is true: its commands work as they stand there, and what it names exists."""

import re
from pathlib import Path

import pytest
from tests.loop.documented import ROOT, prepare, run_section, sections

README = (ROOT / "README.md").read_text()
MAX_LINES = 170
SECTIONS = sections(README)
RISK = (ROOT / "docs/risk.md").read_text()
NAMED_TESTS = sorted(
    set(re.findall(r"\((?:\.\./)?tests/(\S+?\.py)\)[^|\n]*?`(test_\w+)`", README + RISK))
)

pytestmark = [pytest.mark.loop, pytest.mark.xdist_group("readme")]


@pytest.mark.parametrize("section", SECTIONS)
def test_the_commands_of_a_section_work_one_after_the_other(section: str, tmp_path: Path) -> None:
    run_section(SECTIONS[section], prepare(tmp_path))


def test_the_readme_begins_with_the_demo_and_the_tests() -> None:
    first = next(iter(SECTIONS.values()))
    assert [line.split("#")[0].split() for line in first] == [["make", "demo"], ["make", "test"]]
    assert len(SECTIONS) >= 3


def test_the_readme_can_be_read_at_one_sitting() -> None:
    assert len(README.splitlines()) <= MAX_LINES


@pytest.mark.parametrize(("file", "name"), NAMED_TESTS)
def test_a_test_that_holds_a_promise_exists(file: str, name: str) -> None:
    assert re.search(rf"def {name}\b", (ROOT / "tests" / file).read_text())


def test_every_promise_names_the_test_that_holds_it() -> None:
    table = README.split("the test that holds it", 1)[1].split("\n## ", 1)[0]
    promises = [row for row in table.splitlines() if row.startswith("| ")][1:]
    assert len(promises) >= 8
    for promise in promises:
        assert re.search(r"\(tests/\S+\.py\)[^|\n]*`test_\w+`", promise), promise
