"""What a dispatcher sends, and how it tells what was sent before. Pure."""

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field

Key = tuple[int, int]
NO_KEY: Key = (-1, -1)
"""Older than any row."""


@dataclass(frozen=True, slots=True)
class Dispatch:
    """One message to send. `key` = (METRICS sequence, sample) of the row that it comes from.

    Keys of one subject must grow strictly, over all its dispatches. `revision` is the control
    revision under which it was decided, see `Gate`; `stream` is where it is stored, if that is
    not the dispatcher's target.
    """

    subject: str
    key: Key
    data: bytes
    headers: Mapping[str, str] = field(default_factory=dict)
    revision: int = 0
    stream: str = ""


@dataclass(frozen=True, slots=True)
class Stored:
    """The last message of a subject: its sequence in the stream (0 = none) and its key."""

    sequence: int
    key: Key


def parse_key(text: str | None) -> Key:
    """Read a KEY header; `NO_KEY` when it is absent or malformed."""
    words = (text or "").split()
    if len(words) != 2 or not all(word.isdecimal() for word in words):
        return NO_KEY
    return (int(words[0]), int(words[1]))


def by_subject(dispatches: Iterable[Dispatch]) -> dict[str, list[Dispatch]]:
    """Group dispatches, keeping their order inside a subject."""
    groups: dict[str, list[Dispatch]] = {}
    for dispatch in dispatches:
        groups.setdefault(dispatch.subject, []).append(dispatch)
    return groups
