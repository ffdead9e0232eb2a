"""Files of the record: entries of one subject as JSON lines, for S3, for export, for verification.

    <stream>/<subject>/<first>-<last>.jsonl      head line, then one line an entry, as it was stored
    <stream>/<subject>/<first>-<last>.parquet    the same as rows, for questions; nothing is proven by it

Acts are kept as text, outputs as base64 of zlib. Everything is there that a verifier needs, so one
can be written in any language from this page. Pure.
"""

import base64
import binascii
import json
import re
import zlib
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from flyball_kit.errors import PermanentError
from flyball_proto.headers import CHAIN, COVERS

VERSION: Final = 1
KEPT: Final = (CHAIN, COVERS)
"""Headers that are part of the record."""

MAX_ENTRY_BYTES: Final = 16 << 20
"""Of one payload when it is read back; the server stores at most 8 MiB."""

_NAME: Final = re.compile(r"([A-Z]+)/([^/]+)/(\d{12})-(\d{12})\.(jsonl|parquet)")


class UnreadableSegmentError(PermanentError):
    """A file is not what its name says; names file, line, what was found and what was expected."""

    kind = "unreadable-segment"


@dataclass(frozen=True, slots=True)
class Entry:
    """One stored message."""

    sequence: int
    at: datetime
    headers: Mapping[str, str]
    data: bytes


@dataclass(frozen=True, slots=True)
class Name:
    """Which entries a file holds: the sequences of its stream from `first` to `last`."""

    stream: str
    subject: str
    first: int
    last: int

    def path(self, kind: str = "jsonl") -> str:
        """Where it lies; names sort as the sequences do."""
        return f"{self.stream}/{self.subject}/{self.first:012d}-{self.last:012d}.{kind}"

    @staticmethod
    def parse(path: str) -> "Name | None":
        """Read what `path` wrote; None when it is no name of a segment."""
        found = _NAME.fullmatch(path)
        return Name(found[1], found[2], int(found[3]), int(found[4])) if found else None


def name_of(stream: str, subject: str, entries: Sequence[Entry]) -> Name:
    """The name of the file that holds these entries, at least one."""
    return Name(stream, subject, entries[0].sequence, entries[-1].sequence)


def write(stream: str, subject: str, entries: Sequence[Entry]) -> bytes:
    """The file; equal entries give equal bytes."""
    name = name_of(stream, subject, entries)
    head = {
        "version": VERSION,
        "stream": stream,
        "subject": subject,
        "first": name.first,
        "last": name.last,
        "entries": len(entries),
    }
    lines = [head, *map(_line, entries)]
    return b"".join(json.dumps(line).encode() + b"\n" for line in lines)


def read(data: bytes, where: str) -> Iterator[Entry]:
    """The entries of a file, in its order; `where` names it in errors.

    Raises:
        UnreadableSegmentError: when it cannot be read, once that place is reached.
    """
    lines = data.split(b"\n")
    head = _json(lines[0], where, 1)
    if head.get("version") != VERSION:
        raise UnreadableSegmentError(
            f"{where}: found version {head.get('version')!r}; expected {VERSION}: use the Flyball "
            "that wrote it"
        )
    expected, found = head.get("entries"), 0
    for number, line in enumerate(lines[1:], 2):
        if line:
            found += 1
            yield _entry(_json(line, where, number), where, number)
    if found != expected or not data.endswith(b"\n"):
        raise UnreadableSegmentError(
            f"{where}: found {found} whole entries; expected {expected}, as its first line says: it "
            "was cut"
        )


def _line(entry: Entry) -> dict[str, Any]:
    line: dict[str, Any] = {"sequence": entry.sequence, "at": entry.at.astimezone(UTC).isoformat()}
    if kept := {name: entry.headers[name] for name in KEPT if name in entry.headers}:
        line["headers"] = kept
    try:
        text = json.loads(entry.data) and entry.data.decode()
    except ValueError:
        text = None
    if text:
        line["text"] = text
    else:
        line["data"] = base64.b64encode(zlib.compress(entry.data, 1)).decode()
    return line


def _json(line: bytes, where: str, number: int) -> dict[str, Any]:
    try:
        found = json.loads(line)
    except ValueError as error:
        raise UnreadableSegmentError(
            f"{where} line {number}: found no JSON ({error}); expected what was archived: take the "
            "file from another copy"
        ) from error
    if not isinstance(found, dict):
        raise UnreadableSegmentError(f"{where} line {number}: found {line[:40]!r}; expected {{…}}")
    return found


def _entry(line: dict[str, Any], where: str, number: int) -> Entry:
    try:
        if "text" in line:
            data = line["text"].encode()
        else:
            unpacker = zlib.decompressobj()
            data = unpacker.decompress(base64.b64decode(line["data"]), MAX_ENTRY_BYTES)
        at = datetime.fromisoformat(line["at"])
        return Entry(int(line["sequence"]), at, dict(line.get("headers", {})), data)
    except (KeyError, ValueError, TypeError, AttributeError, zlib.error, binascii.Error) as error:
        raise UnreadableSegmentError(
            f"{where} line {number}, sequence {line.get('sequence')}: found {error!r}; expected an "
            "entry as it was archived: take the file from another copy"
        ) from error
