"""The commands of docs/reference/subjects.md: requests on `cmd.<service>.<verb>` and replies."""

import importlib
import inspect
import pkgutil
import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, NamedTuple

import flyball_proto
from flyball_local.reference.events import event_links
from flyball_local.reference.markdown import anchor, fields, first_paragraph, listed, table
from flyball_local.reference.permissions import may_publish
from flyball_proto.commands import Reply
from flyball_proto.events import Wire

_SUBJECT: Final = re.compile(r"^`(cmd\.[a-z-]+\.[a-z-]+)`: (.+)$", re.DOTALL)
_EVERY_REPLY: Final = ("ok", "error")


class Command(NamedTuple):
    """One command: where it is asked, what for, and both messages."""

    subject: str
    does: str
    request: type[Wire]
    reply: type[Reply]


def all_commands() -> list[Command]:
    """Every command, as the modules of `flyball_proto` list them.

    A request names its subject at the beginning of its docstring; its reply is the next class
    of its module that is one.
    """
    modules = (info.name for info in pkgutil.iter_modules(flyball_proto.__path__))
    return sorted(c for module in modules for c in _commands_of(f"flyball_proto.{module}"))


def _commands_of(module: str) -> Iterator[Command]:
    classes = _in_order(module)
    replies = [(place, cls) for place, cls in enumerate(classes) if issubclass(cls, Reply)]
    for place, cls in enumerate(classes):
        if named := _SUBJECT.match(first_paragraph(cls.__doc__)):
            reply = next(reply for at, reply in replies if at > place)
            yield Command(named[1], _sentence(named[2]), cls, reply)


def command_lines() -> list[str]:
    """The section of the page."""
    known = all_commands()
    overview = [
        (
            f"[`{c.subject}`]({anchor(c.subject)})",
            c.does,
            listed(may_publish(c.subject)),
        )
        for c in known
    ]
    lines = [
        "NATS requests with a reply, JSON both ways; an unknown field is refused. Every reply has `ok`;",
        "where it is false, `error.kind` is a stable word and `error.message` says what was found and what",
        "would be valid. A service records who asked and why on `audit.<service>`.",
        "",
        *table(("command", "what it does", "may ask"), overview),
    ]
    parts = _parts(known)
    links = {name: f"events.md{href}" for name, href in event_links().items()}
    links |= {name: anchor(name) for name in parts}
    for command in known:
        lines += _section(command, links)
    lines += ["", "### Parts of replies"]
    for name, schema in sorted(parts.items()):
        lines += ["", f"#### {name}", "", first_paragraph(schema.get("description"))]
        lines += _fields(schema, links)
    return lines


def _parts(known: Iterable[Command]) -> dict[str, Any]:
    """What requests and replies refer to and the page of events does not describe."""
    elsewhere, found = event_links(), {}
    for command in known:
        for message in (command.request, command.reply):
            found.update(message.model_json_schema().get("$defs", {}))
    described = {"Failure", *elsewhere}
    return {name: schema for name, schema in found.items() if name not in described}


def _section(command: Command, links: Mapping[str, str]) -> list[str]:
    asked, answered = command.request.model_json_schema(), command.reply.model_json_schema()
    rest = first_paragraph("\n\n".join((command.request.__doc__ or "").split("\n\n")[1:]))
    lines = ["", f"### `{command.subject}`", "", " ".join(filter(None, (command.does, rest)))]
    lines += ["", f"Request `{command.request.__name__}`:{_nothing(asked)}"]
    lines += _fields(asked, links)
    lines += ["", f"Reply `{command.reply.__name__}`: {first_paragraph(command.reply.__doc__)}"]
    return lines + _fields(answered, links, without=_EVERY_REPLY)


def _fields(
    schema: Mapping[str, Any], links: Mapping[str, str], without: tuple[str, ...] = ()
) -> list[str]:
    rows = list(fields(schema, links, without=without))
    return ["", *table(("field", "type", "meaning"), rows)] if rows else []


def _nothing(schema: Mapping[str, Any]) -> str:
    return "" if schema.get("properties") else " an empty object."


def _sentence(text: str) -> str:
    return f"{text[0].upper()}{text[1:]}"


def _in_order(module: str) -> list[type[Wire]]:
    def line(cls: type[Wire]) -> int:
        return inspect.getsourcelines(cls)[1]

    return sorted(_declared(module), key=line)


def _declared(module: str) -> Iterator[type[Wire]]:
    for _, cls in inspect.getmembers(importlib.import_module(module), inspect.isclass):
        if cls.__module__ == module and issubclass(cls, Wire):
            yield cls
