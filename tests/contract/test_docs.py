"""What the documents name exists: links, commands with their options, settings, subjects, fields."""

import re
import shlex
from collections.abc import Iterator
from pathlib import Path
from typing import Any, NamedTuple

import pytest
from typer import Typer

from flyball_kit.settings import COMMON, KitSettings, variables
from flyball_local import cli
from flyball_local.generate import ROOT, services, settings_of
from flyball_local.reference.cli import Command, cli_commands, options_of
from flyball_local.reference.events import event_classes
from flyball_local.reference.markdown import anchor
from flyball_local.reference.subjects import templates
from flyball_proto.streams import STREAMS
from flyball_proto.subjects import EVENT_DOMAINS

GENERATED = ("settings.md", "specification.md", "events.md", "subjects.md", "cli.md", "http.md")
DOCUMENTS = sorted(
    path
    for pattern in ("*.md", "docs/**/*.md", "services/*/README.md")
    for path in ROOT.glob(pattern)
    if path.name != "CHANGELOG.md"
)
WRITTEN = [path for path in DOCUMENTS if path.name not in GENERATED]
FOR_PEOPLE = [path for path in WRITTEN if path.parent in {ROOT, ROOT / "docs"}]
ALSO_VARIABLES = {"FLYBALL_DEBUG"}
"""Read by the command line, which has no settings class."""
COMMANDS = cli_commands(cli.app)
STAND_INS = {"NAME": "ann", "ROLE": "viewer", "N": "4", "SEQUENCE": "1", "COLUMN": "load"}
"""What a reader fills in, where the command checks it."""


class Line(NamedTuple):
    """A command as it stands in a document."""

    document: str
    text: str


def name_of(path: Path) -> str:
    return str(path.relative_to(ROOT))


def str_of(line: Line) -> str:
    return f"{line.document}: {line.text}"


def without_code(text: str) -> str:
    return re.sub(r"^```.*?^```", "", text, flags=re.DOTALL | re.MULTILINE)


def blocks(text: str, kind: str) -> Iterator[str]:
    for block in re.findall(rf"^```{kind}\n(.*?)^```", text, re.DOTALL | re.MULTILINE):
        yield from block.replace("\\\n", " ").splitlines()


def calls(path: Path, line: str) -> Iterator[Line]:
    """What a line calls of ours."""
    for part in re.split(r"\s(?:&&|\||>>?|2>)\s", line.partition(" # ")[0]):
        if re.match(r"(\.venv/bin/)?flyball\s", part):
            yield Line(name_of(path), part.strip())


def typed_lines() -> Iterator[Line]:
    """Whole commands: lines of `sh` blocks, and of transcripts behind `$ `."""
    for path in WRITTEN:
        text = path.read_text()
        shell = [*blocks(text, "sh"), *(b for b in blocks(text, "") if "flyball" in b)]
        shown = [b[2:] for b in blocks(text, "console") if b.startswith("$ ")]
        for line in (*shell, *shown):
            yield from calls(path, line)


def mentioned() -> Iterator[Line]:
    """Commands in running text, often without what a reader has to add."""
    for path in WRITTEN:
        for found in re.findall(
            r"`((?:\.venv/bin/)?flyball [^`]+)`", without_code(path.read_text())
        ):
            yield Line(name_of(path), " ".join(found.split()))


def examples() -> Iterator[Line]:
    for path in (ROOT / "docs/reference/cli.md",):
        for found in re.findall(r"^Example: `(flyball .+)`$", path.read_text(), re.MULTILINE):
            yield from calls(path, found)


def called(words: list[str]) -> tuple[Command, list[str]]:
    """The command that words call, and what is left for it."""
    path = "flyball"
    while len(words) > 1 and f"{path} {words[1]}" in COMMANDS:
        path = f"{path} {words[1]}"
        words = words[1:]
    unsaid = getattr(COMMANDS[path].found, "unsaid", None)
    if unsaid is not None and words[1:] and not words[1].startswith("-"):
        path = f"{path} {unsaid}"
    return COMMANDS[path], words[1:]


def alternatives(text: str) -> Iterator[list[str]]:
    """`models promote|rollback` is two commands."""
    words = shlex.split(re.sub(r"[\[\]]", "", text.removeprefix(".venv/bin/")))
    choices = next((w for w in words if re.fullmatch(r"[a-z-]+(\|[a-z-]+)+", w)), None)
    for choice in choices.split("|") if choices else [None]:
        yield [choice if choice and word == choices else word for word in words]


TYPED, MENTIONED, EXAMPLES = (
    list(dict.fromkeys(lines)) for lines in (typed_lines(), mentioned(), examples())
)


@pytest.mark.parametrize("line", [*TYPED, *EXAMPLES], ids=str_of)
def test_a_command_that_is_shown_would_be_accepted(line: Line) -> None:
    for words in alternatives(line.text):
        command, rest = called(words)
        assert not command.is_group, f"{line.text}: {command.words} needs a command"
        given = [STAND_INS.get(word, word) for word in rest]
        context: Any = command.found.make_context(command.words, given)
        context.close()


@pytest.mark.parametrize("line", MENTIONED, ids=str_of)
def test_a_command_that_is_mentioned_exists_with_its_options(line: Line) -> None:
    for words in alternatives(line.text):
        command, rest = called(words)
        wrong = {w.split("=")[0] for w in rest if w.startswith("-")} - options_of(command)
        assert not wrong, f"{command.words} has {sorted(options_of(command))}"
        if command.is_group:
            assert not rest or rest[0].startswith(("-", "COMMAND")), f"no command {words}"


def test_documents_show_commands_at_all() -> None:
    assert len(TYPED) >= 8
    assert len(MENTIONED) >= 20
    assert isinstance(cli.app, Typer)


def anchors_of(path: Path) -> set[str]:
    headings = re.findall(r"^#+ (.+)$", without_code(path.read_text()), re.MULTILINE)
    return {anchor(re.sub(r"[`*]|\]\(.*?\)|\[", "", heading)) for heading in headings}


LINKS = sorted(
    {
        Line(name_of(path), target)
        for path in DOCUMENTS
        for target in re.findall(r"\]\(([^)\s]+)\)", without_code(path.read_text()))
        if "://" not in target and not target.startswith("mailto:")
    }
)


@pytest.mark.parametrize("link", LINKS, ids=str_of)
def test_a_link_leads_somewhere(link: Line) -> None:
    path = ROOT / link.document
    file, _, place = link.text.partition("#")
    there = (path.parent / file).resolve() if file else path
    assert there.exists(), f"{link.document} links to {link.text}"
    if place:
        assert f"#{place}" in anchors_of(there), f"{link.document} links to {link.text}"


def test_every_setting_that_is_named_exists() -> None:
    known = set(ALSO_VARIABLES)
    for service in services():
        cls = settings_of(service)
        for field in cls.model_fields:
            known |= set(variables(cls, field))
    for path in DOCUMENTS:
        for found in set(re.findall(r"\bFLYBALL_[A-Z0-9_]*[A-Z0-9]\b", path.read_text())):
            prefixes = [f"{COMMON}{s}_".upper() for s in services()]
            assert found in known or f"{found}_" in prefixes, f"{name_of(path)}: {found}"
    assert {f"{COMMON}{name}".upper() for name in KitSettings.model_fields} <= known


def could_be_same(one: str, other: str) -> bool:
    """Whether two patterns can name the same subject; `<...>`, `*` and `…` stand for anything."""
    a, b = one.split("."), other.split(".")
    for left, right in zip(a, b, strict=False):
        if ">" in {left, right}:
            return True
        free = any(re.fullmatch(r"\*|<.*>|…", token) for token in (left, right))
        if not free and left != right:
            return False
    return len(a) == len(b) or a[-1] == ">" or b[-1] == ">"


PREFIXES = {s.split(".")[0] for stream in STREAMS for s in stream.subjects} | {"cmd", "pulse"}


@pytest.mark.parametrize("path", FOR_PEOPLE, ids=name_of)
def test_every_subject_event_and_field_that_is_named_exists(path: Path) -> None:
    known = [*templates(), *(cls.pattern() for cls in event_classes())]
    plain = [t for t in known if not t.startswith("<")]
    fields = (ROOT / "docs/reference/specification.md").read_text()
    for found in re.findall(
        r"`([a-z_]+(?:\.[A-Za-z0-9_*<>…-]+)+)`", without_code(path.read_text())
    ):
        first = found.split(".")[0]
        if first in PREFIXES or first in EVENT_DOMAINS:
            is_subject = any(could_be_same(found, subject) for subject in plain)
            is_field = f"| `spec.{found}" in fields
            is_file = found.rsplit(".", 1)[-1] in {
                    "bin", "json", "md", "onnx", "parquet", "py", "sig", "yaml",
                }  # fmt: skip
            assert is_subject or is_field or is_file, f"{name_of(path)}: {found}"
