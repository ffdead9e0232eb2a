"""Server-Sent Events: how they are written, and which subjects a client asked for. Pure.

https://html.spec.whatwg.org/multipage/server-sent-events.html
"""

import json
from collections.abc import Mapping, Sequence
from typing import Final

from flyball_proto.subjects import EVENT_DOMAINS

HEARTBEAT: Final = b": still here\n\n"
MAX_PATTERNS: Final = 8
MAX_PATTERN_CHARS: Final = 200


class PatternError(ValueError):
    """A subject that no event can have; says what would be valid."""


def event(sequence: int, subject: str, data: bytes) -> bytes:
    """One stored event. `data` is JSON on one line, as events are written; others are quoted."""
    text = data.decode(errors="replace")
    if "\n" in text or "\r" in text:
        text = json.dumps(text)
    return f"id: {sequence}\nevent: {subject}\ndata: {text}\n\n".encode()


def notice(name: str, facts: Mapping[str, object]) -> bytes:
    """A word about the stream itself; it has no id, so that resuming does not depend on it."""
    return f"event: {name}\ndata: {json.dumps(facts)}\n\n".encode()


def check(pattern: str) -> str:
    """The pattern, if an event can match it.

    Raises:
        PatternError: none can.
    """
    tokens = pattern.split(".")
    whole = len(pattern) <= MAX_PATTERN_CHARS and all(tokens) and ">" not in tokens[:-1]
    if not whole or not (tokens[0] in EVENT_DOMAINS or tokens[0] in "*>"):
        raise PatternError(
            f"subject {pattern[:64]!r}: found no pattern of an event; valid: "
            f"<domain>.<pipeline>.<what> with * for one token and > for the rest, where the domain "
            f"is one of {', '.join(EVENT_DOMAINS)}"
        )
    return pattern


def matches(pattern: str, subject: str) -> bool:
    """Whether a subject matches a NATS pattern."""
    wanted, found = pattern.split("."), subject.split(".")
    if wanted[-1] == ">":
        wanted = wanted[:-1]
        if len(found) <= len(wanted):
            return False
        found = found[: len(wanted)]
    return len(wanted) == len(found) and all(
        w in ("*", f) for w, f in zip(wanted, found, strict=True)
    )


def is_wanted(patterns: Sequence[str], subject: str) -> bool:
    """Whether any pattern matches; without patterns everything is wanted."""
    return not patterns or any(matches(pattern, subject) for pattern in patterns)
