"""docs/reference/cli.md: every command of `flyball` with its options, from the typer app."""

import re
from collections.abc import Iterator
from enum import Enum
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple, get_args, get_origin

import typer

from flyball_local.reference.markdown import anchor, code, page, table

_ROOT: Final = Path(__file__).parents[4]
_EXIT: Final = "Exit codes: "
_HIDDEN: Final = ("--help",)
_WORDS: Final = {int: "NUMBER", float: "NUMBER", Path: "PATH"}
_INTRO: Final = (
    "`flyball` is `.venv/bin/flyball` after `make setup`; `flyball COMMAND --help` says the same as this",
    "page. Results go to standard output, progress and errors to standard error.",
)


class Command(NamedTuple):
    """One command as it is typed, e.g. `flyball new spec`, and typer's own object."""

    words: str
    is_group: bool
    found: Any


def cli_commands(app: typer.Typer) -> dict[str, Command]:
    """Every command by the words that call it, groups included."""
    root = typer.main.get_command(app)
    return {c.words: c for c in _walk("flyball", root)}


def options_of(command: Command) -> set[str]:
    """Every way to write an option of a command, `--help` included."""
    given = (p for p in command.found.params if p.param_type_name == "option")
    return {"--help", *(word for p in given for word in (*p.opts, *p.secondary_opts))}


def arguments_of(command: Command) -> list[str]:
    """The names of a command's arguments, in order."""
    return [p.name for p in command.found.params if p.param_type_name == "argument"]


def cli_reference(app: typer.Typer, says: str) -> str:
    """The page. `says` is the docstring that lists the exit codes."""
    known = [c for c in cli_commands(app).values() if c.words != "flyball"]
    lines = page("Command line", _INTRO)
    header = ("command", "what it does")
    rows = [(f"[`{c.words}`]({anchor(c.words)})", _short(c)) for c in known if not c.is_group]
    lines += ["", *table(header, rows), "", "## Exit codes", ""]
    lines += table(("code", "meaning"), exit_codes(says))
    for command in known:
        if not command.is_group:
            lines += _section(command)
    return "\n".join([*lines, ""])


def exit_codes(says: str) -> list[tuple[str, str]]:
    """Code and meaning, from a sentence `Exit codes: 0 done, 1 a problem was found, …`."""
    _, _, rest = says.partition(_EXIT)
    parts = " ".join(rest.partition(".\n")[0].split()).rstrip(".").split(", ")
    found: list[tuple[str, str]] = []
    for part in parts:
        number, _, meaning = part.partition(" ")
        if number.isdecimal():
            found.append((number, meaning))
        else:
            found[-1] = (found[-1][0], f"{found[-1][1]}, {part}")
    return [(code(number), meaning) for number, meaning in found]


def _walk(words: str, found: Any) -> Iterator[Command]:
    inside = getattr(found, "commands", None)
    yield Command(words, inside is not None, found)
    for name, below in sorted((inside or {}).items()):
        if not below.hidden:
            yield from _walk(f"{words} {name}", below)


def _short(command: Command) -> str:
    return _help(command).split("\n\n")[0].replace("\n", " ")


def _help(command: Command) -> str:
    """What `--help` says, its example as it is typed."""
    text = (command.found.help or "").strip().replace("\f", "").replace("\b", "")
    return re.sub(r"^Example: (.+)$", r"Example: `\1`", text, flags=re.MULTILINE)


def _section(command: Command) -> list[str]:
    arguments = " ".join(_usage(p) for p in _params(command, "argument"))
    usage = " ".join(filter(None, (command.words, arguments, "[OPTIONS]")))
    lines = ["", f"## {command.words}", "", _help(command), "", code(usage)]
    rows = [*_rows(command, "argument"), *_rows(command, "option")]
    return [*lines, "", *table(("option", "default", "meaning"), rows)] if rows else lines


def _rows(command: Command, kind: str) -> Iterator[tuple[str, str, str]]:
    for param in _params(command, kind):
        shown = _usage(param) if kind == "argument" else _option(param)
        limits = [f"{word} {found}." for word, found in _limits(param) if found is not None]
        yield code(shown), _default(param), " ".join([(param.help or "").strip(), *limits]).strip()


def _limits(param: Any) -> tuple[tuple[str, Any], ...]:
    return (("At least", param.min), ("At most", param.max))


def _params(command: Command, kind: str) -> list[Any]:
    return [
        p
        for p in command.found.params
        if p.param_type_name == kind and not set(_HIDDEN) & set(p.opts) and not p.hidden
    ]


def _usage(param: Any) -> str:
    name = param.name.upper()
    many = "..." if param.nargs == -1 else ""
    return f"{name}{many}" if param.required else f"[{name}{many}]"


def _option(param: Any) -> str:
    words = ", ".join((*param.opts, *param.secondary_opts))
    if param.is_flag:
        return words
    return f"{words} {param.metavar or _type(param)}"


def _type(param: Any) -> str:
    """What is written for an option's value: its choices, or a word for its type."""
    annotation = param.type_descriptor.annotation
    while get_origin(annotation) is not None and get_origin(annotation) is not Literal:
        annotation = next(a for a in get_args(annotation) if a is not type(None))
    if get_origin(annotation) is Literal:
        return "|".join(map(str, get_args(annotation)))
    if isinstance(annotation, type) and issubclass(annotation, Enum):
        return "|".join(str(member.value) for member in annotation)
    return _WORDS.get(annotation, "TEXT")


def _default(param: Any) -> str:
    if param.required:
        return "**required**"
    value = param.default
    if value is None or value is False or value in {"", ()} or callable(value):
        return ""
    if isinstance(value, Path) and value.is_relative_to(_ROOT):
        value = value.relative_to(_ROOT)
    return code(str(getattr(value, "value", value)))
