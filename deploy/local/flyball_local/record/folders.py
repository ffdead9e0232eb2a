"""Verifies a folder of segments, as exported or copied from the archive: no broker, no S3."""

import json
from collections import defaultdict
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Final

from pydantic import BeforeValidator, Field, TypeAdapter, ValidationError

from flyball_kit.segments import Entry, Name, UnreadableSegmentError, read
from flyball_local.invalid import InvalidInputError
from flyball_local.record.findings import Findings
from flyball_local.record.verifying import Keys, Located, Verifier
from flyball_proto import streams
from flyball_proto.events import Wire

ABOUT: Final = "export.json"
ARCHIVE: Final = "archive"
"""The folder of the archive in its bucket."""


class Exported(Wire):
    """A chain that an export holds: without any of its segments the others would still verify."""

    stream: str
    subject: str
    last: int = Field(ge=1, description="Sequence of its last entry.")


class Export(Wire):
    """What an export says of itself, in `export.json`; the archive has none."""

    version: int = 1
    at: str
    keys: dict[str, tuple[str, ...]] = Field(
        default_factory=dict, description="Public NKeys by service: trust your own copy instead."
    )
    chains: tuple[Exported, ...] = Field(
        default=(), description="Every chain in it; none = written before they were named."
    )


def segments(folder: Path) -> dict[tuple[str, str], list[tuple[Name, Path]]]:
    """The segments of a folder by stream and subject, in order.

    Raises:
        InvalidInputError: it holds none.
    """
    found = _segments(folder)
    if not found:
        raise InvalidInputError(
            f"{folder}: found no segment (<stream>/<subject>/<first>-<last>.jsonl); give a folder "
            "that flyball audit export wrote, or a copy of the archive in S3"
        )
    return found


def chains(folder: Path) -> tuple[Exported, ...]:
    """Every chain that a folder holds, and how far; for an export to name."""
    return tuple(
        Exported(stream=stream, subject=subject, last=max(name.last for name, _ in files))
        for (stream, subject), files in sorted(_segments(folder).items())
    )


def about(folder: Path) -> Export | None:
    """What an export says of itself; None for a copy of the archive."""
    path = folder / ABOUT
    try:
        return Export.model_validate_json(path.read_bytes()) if path.exists() else None
    except (ValidationError, OSError) as error:
        raise InvalidInputError(f"{path} cannot be read: {error}") from error


def entries(folder: Path, stream: str, subject: str) -> Iterator[Entry]:
    """The entries of one subject, oldest first.

    Raises:
        UnreadableSegmentError: a file is damaged.
    """
    for _, path in segments(folder).get((stream, subject), ()):
        yield from read(path.read_bytes(), str(path))


def verify_folder(folder: Path, trusted: Keys, *, rows: bool = True) -> Findings:
    """Follow every chain of a folder; with `rows` its Parquet files are made again and compared."""
    found, export = segments(folder), about(folder)
    verifier = Verifier(trusted or (export.keys if export else {}), is_whole=export is not None)
    # Acts first: they hold the checkpoints and the gaps that outputs are checked against.
    for (stream, subject), files in sorted(found.items()):
        feed = verifier.acts if stream == streams.AUDIT.name else verifier.outputs
        feed(subject, _entries(verifier, files, rows=rows))
    if export is not None:
        _check_named(verifier, folder, export)
    findings = verifier.findings()
    if export is not None and export.keys and not trusted:
        findings.notes.append(
            "the keys are those that the export names: give --keys to use your own copy"
        )
    return findings


def keys_of(path: Path) -> dict[str, tuple[str, ...]]:
    """Public keys by service, from a JSON file; also from an `export.json`.

    Raises:
        InvalidInputError: it is none.
    """
    try:
        found = json.loads(path.read_bytes())
        found = found.get("keys", found) if isinstance(found, dict) else found
        return _KEYS.validate_python(found)
    except (OSError, ValueError) as error:
        raise InvalidInputError(
            f'--keys {path}: found no keys ({type(error).__name__}); valid: JSON as {{"risk": "U…", '
            '"gateway": ["U…", "U…"]}, several where a key was changed'
        ) from error


_KEYS: Final[TypeAdapter[dict[str, tuple[str, ...]]]] = TypeAdapter(
    dict[
        str,
        Annotated[tuple[str, ...], BeforeValidator(lambda v: (v,) if isinstance(v, str) else v)],
    ]
)


def _segments(folder: Path) -> dict[tuple[str, str], list[tuple[Name, Path]]]:
    root = folder / ARCHIVE if (folder / ARCHIVE).is_dir() else folder
    found: dict[tuple[str, str], list[tuple[Name, Path]]] = defaultdict(list)
    for path in sorted(root.glob("*/*/*.jsonl")):
        if (name := Name.parse(path.relative_to(root).as_posix())) is not None:
            found[name.stream, name.subject].append((name, path))
    return dict(found)


def _check_named(verifier: Verifier, folder: Path, export: Export) -> None:
    """A chain that no other vouches for leaves no trace but its name."""
    there = {(chain.stream, chain.subject): chain.last for chain in chains(folder)}
    for named in export.chains:
        last = there.get((named.stream, named.subject))
        if last is None or last < named.last:
            found = "no segment" if last is None else f"its end at sequence {last}"
            verifier.unreadable(
                f"{folder / ABOUT}: found {found} of {named.stream} {named.subject}; expected it "
                f"up to sequence {named.last}, as the export says itself: it was removed"
            )


def _entries(
    verifier: Verifier, files: list[tuple[Name, Path]], *, rows: bool
) -> Iterator[Located]:
    for name, path in files:
        kept: list[Entry] = []
        try:
            for entry in read(path.read_bytes(), str(path)):
                _check_place(verifier, path, entry, kept)
                kept.append(entry)
                yield str(path), entry
        except UnreadableSegmentError as error:
            verifier.unreadable(str(error))
            continue
        if not kept or (kept[0].sequence, kept[-1].sequence) != (name.first, name.last):
            verifier.unreadable(
                f"{path}: found sequences {kept[0].sequence} to {kept[-1].sequence}; expected "
                f"{name.first} to {name.last}, as its name says"
                if kept
                else f"{path}: found no entry; expected {name.first} to {name.last}"
            )
        table = path.with_suffix(".parquet")
        if rows and table.exists():
            _compare_rows(verifier, name, kept, table)


def _check_place(verifier: Verifier, path: Path, entry: Entry, kept: list[Entry]) -> None:
    """No link covers the place in the stream; it can only rise."""
    if kept and entry.sequence <= kept[-1].sequence:
        verifier.unreadable(
            f"{path}: found sequence {entry.sequence} behind {kept[-1].sequence}; expected a later one"
        )


def _compare_rows(verifier: Verifier, name: Name, kept: list[Entry], path: Path) -> None:
    """The rows prove nothing by themselves; they must say what the entries say."""
    from flyball_gateway.archiving.tables import difference  # noqa: PLC0415 - Arrow loads slowly

    if found := difference(name.stream, kept, path.read_bytes()):
        verifier.unreadable(
            f"{path}, sequences {name.first} to {name.last}: found {found}; expected those of "
            f"{name.path()}"
        )
