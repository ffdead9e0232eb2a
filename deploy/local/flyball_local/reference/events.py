"""docs/reference/events.md: every event, who publishes it, who acts on it, and its fields."""

import importlib
import pkgutil
import re
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

import flyball_proto
from flyball_local.reference.markdown import anchor, fields, first_paragraph, listed, page, table
from flyball_local.reference.permissions import covers, may_publish, may_subscribe
from flyball_proto.events import Event
from flyball_proto.subjects import EVENT_DOMAINS

_BASE: Final = ("version", "pipeline", "at")
_INTRO: Final = (
    "What happened, one fact a message: JSON on `<domain>.<pipeline>.<what>`, stored in the stream",
    "EVENTS ([bounds](subjects.md#streams)). Events are frozen: an unknown field is an error, a field",
    "is never renamed, and a changed meaning raises `version`. Each carries a `Nats-Msg-Id`, so that a",
    "service that is killed between acting and telling tells once. Operator and gateway may read all of",
    "them: `flyball tail 'deployment.>'` shows a part, one line an event.",
    "",
    "Every event has `version` (of its kind, given below), `pipeline` (its name) and `at` (when it",
    "happened, by the publisher's clock); `event_ms` is the network's own time. Fields that are not",
    "marked may not be missing.",
)


def event_classes() -> list[type[Event]]:
    """Every kind of event that the contracts know, in the order of the domains."""
    for module in pkgutil.iter_modules(flyball_proto.__path__):
        importlib.import_module(f"flyball_proto.{module.name}")
    found = [cls for cls in _below(Event) if "what" in cls.__dict__]
    return sorted(found, key=lambda cls: (EVENT_DOMAINS.index(cls.domain), cls.what))


def events_reference(services: Path, documents: Mapping[str, Mapping[str, Any]]) -> str:
    """The page. `services` is their folder, `documents` are their AsyncAPI documents."""
    classes = event_classes()
    parts = _parts(classes)
    links = {name: anchor(name) for name in parts}
    lines = page("Events", _INTRO)
    header = ("subject", "what happened", "published by", "acted on by")
    rows = [
        (
            f"[`{_subject(cls)}`]({anchor(_subject(cls))})",
            first_paragraph(cls.__doc__),
            listed(publishers(cls, services)),
            listed(readers(cls, documents)),
        )
        for cls in classes
    ]
    lines += ["", *table(header, rows)]
    for domain in EVENT_DOMAINS:
        lines += ["", f"## {domain}"]
        for cls in (c for c in classes if c.domain == domain):
            lines += _section(cls, links)
    lines += ["", "## Parts", "", "What several events carry."]
    for name, schema in sorted(parts.items()):
        lines += ["", f"### {name}", "", first_paragraph(schema.get("description")), ""]
        lines += table(("field", "type", "meaning"), fields(schema, links))
    return "\n".join([*lines, ""])


def event_links() -> dict[str, str]:
    """Where this page describes what other pages refer to, by the name of the class."""
    classes = event_classes()
    described = {cls.__name__: anchor(_subject(cls)) for cls in classes}
    return described | {name: anchor(name) for name in _parts(classes)}


def publishers(cls: type[Event], services: Path) -> list[str]:
    """Services that may publish it and have code that makes one; else all that may.

    Of a fold that stopped every service tells that has folds.
    """
    allowed = [name for name in may_publish(_subject(cls)) if (services / name).is_dir()]
    made = re.compile(rf"\b{cls.__name__}\(")
    making = [name for name in allowed if any(made.search(text) for text in _code(services, name))]
    if making:
        return making
    return ["any service with folds"] if "fold" in cls.model_fields else allowed


def readers(cls: type[Event], documents: Mapping[str, Mapping[str, Any]]) -> list[str]:
    """Services whose handlers take it, or that wait for it in lockstep."""
    subject = _subject(cls)
    heard = [
        name
        for name, document in documents.items()
        if any(covers(pattern, subject) for pattern in _received(document))
    ]
    return sorted({*heard, *(set(may_subscribe(subject)) & set(documents))})


def _received(document: Mapping[str, Any]) -> Iterator[str]:
    for operation in document["operations"].values():
        if operation["action"] == "receive":
            channel = operation["channel"]["$ref"].rsplit("/", 1)[1]
            yield channel.rsplit(":", 1)[0].replace("%2A", "*").replace("%3E", ">")


def _section(cls: type[Event], links: Mapping[str, str]) -> list[str]:
    schema = cls.model_json_schema()
    rows = list(fields(schema, links, without=_BASE))
    text = " ".join((cls.__doc__ or "").split())
    version = schema["properties"]["version"]
    lines = [
        "",
        f"### `{_subject(cls)}`",
        "",
        f"{text} `{cls.__name__}`, version {version['const']}.",
    ]
    if not rows:
        return [*lines, "", "No fields but those that every event has."]
    return [*lines, "", *table(("field", "type", "meaning"), rows)]


def _parts(classes: list[type[Event]]) -> dict[str, Any]:
    """Schemas that events refer to, by name."""
    found: dict[str, Any] = {}
    for cls in classes:
        found.update(cls.model_json_schema().get("$defs", {}))
    return found


def _subject(cls: type[Event]) -> str:
    return cls.pattern().replace("*", "<pipeline>")


def _below(base: type[Event]) -> Iterator[type[Event]]:
    for cls in base.__subclasses__():
        yield cls
        yield from _below(cls)


def _code(services: Path, name: str) -> Iterator[str]:
    return (
        path.read_text() for path in sorted((services / name / f"flyball_{name}").rglob("*.py"))
    )
