"""The record in a running stack: verified where it is, and exported."""

import asyncio
from collections.abc import AsyncIterator, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Final

from nats.aio.client import Client

from flyball_gateway.archiving.archive import ARCHIVED, PREFIX
from flyball_kit import clock
from flyball_kit.direct import read_behind
from flyball_kit.errors import TransientError
from flyball_kit.objects import Objects
from flyball_kit.segments import Entry, Name, name_of, write
from flyball_local.invalid import InvalidInputError
from flyball_local.record.findings import Findings
from flyball_local.record.folders import ABOUT, Export, chains
from flyball_local.record.verifying import Keys, Located, Verifier
from flyball_proto import streams
from flyball_proto.streams import Stream

SEGMENT_BYTES: Final = 8 << 20
MAX_FILES: Final = 200_000
"""Of the archive, in one export."""

MAX_FILE_BYTES: Final = 64 << 20


async def verify_live(client: Client, trusted: Keys) -> Findings:
    """Follow every chain that the streams hold now, subject by subject."""
    verifier = Verifier(trusted)
    for stream in ARCHIVED:
        info = await client.jetstream().stream_info(stream.name, subjects_filter=stream.subjects[0])
        feed = verifier.acts if stream is streams.AUDIT else verifier.outputs
        for subject in sorted(info.state.subjects or {}):
            found = _located(client, stream, subject, asyncio.get_running_loop())
            await asyncio.to_thread(feed, subject, found)
    return verifier.findings()


async def export(client: Client, objects: Objects, folder: Path, keys: Keys) -> dict[str, int]:
    """Write the whole record into a folder: what is archived, and what the streams hold behind it.

    Returns how many entries of the streams, how many files of the archive, and of how many streams
    the archive did not answer: what it keeps is not there then.

    Raises:
        InvalidInputError: the folder holds something.
    """
    _make(folder)
    files = copied = away = 0
    for stream in ARCHIVED:
        archived = await _archived(objects, stream)
        away += archived is None
        through = await _copy(objects, archived or [], folder)
        files += len(archived or [])
        copied += await _rest(client, stream, folder, through)
    made = Export(
        at=clock.utc_now().isoformat(),
        keys={s: tuple(k) for s, k in keys.items()},
        chains=chains(folder),
    )
    _put(folder / ABOUT, made.model_dump_json(indent=2).encode() + b"\n")
    return {"entries": copied, "archived_files": files, "archives_away": away}


async def _archived(objects: Objects, stream: Stream) -> list[str] | None:
    """What is archived of a stream; None where S3 does not answer, or there is none."""
    try:
        return await objects.keys(f"{PREFIX}{stream.name}/", MAX_FILES)
    except TransientError:
        return None


async def _copy(objects: Objects, keys: Iterable[str], folder: Path) -> dict[str, int]:
    """Copy files of the archive; the last sequence of each subject."""
    through: dict[str, int] = {}
    for key in keys:
        name = Name.parse(key.removeprefix(PREFIX))
        if name is None:
            continue
        _put(folder / key.removeprefix(PREFIX), await objects.get(key, MAX_FILE_BYTES))
        through[name.subject] = max(through.get(name.subject, 0), name.last)
    return through


async def _rest(client: Client, stream: Stream, folder: Path, through: Mapping[str, int]) -> int:
    """Write what the stream holds behind the archive."""
    info = await client.jetstream().stream_info(stream.name, subjects_filter=stream.subjects[0])
    count = 0
    for subject in sorted(info.state.subjects or {}):
        kept: list[Entry] = []
        size = 0
        async for _, entry in _stored(client, stream, subject, through.get(subject, 0)):
            kept.append(entry)
            size += len(entry.data)
            count += 1
            if size >= SEGMENT_BYTES:
                await asyncio.to_thread(_write, folder, stream.name, subject, kept)
                kept, size = [], 0
        if kept:
            await asyncio.to_thread(_write, folder, stream.name, subject, kept)
    return count


def _write(folder: Path, stream: str, subject: str, kept: list[Entry]) -> None:
    from flyball_gateway.archiving.tables import parquet  # noqa: PLC0415 - Arrow loads slowly

    name = name_of(stream, subject, kept)
    _put(folder / name.path(), write(stream, subject, kept))
    _put(folder / name.path("parquet"), parquet(stream, kept))


def _make(folder: Path) -> None:
    if folder.exists() and any(folder.iterdir()):
        raise InvalidInputError(
            f"{folder} is not empty; give a folder that is empty or not there yet"
        )
    folder.mkdir(parents=True, exist_ok=True)


def _put(path: Path, data: bytes) -> None:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_bytes(data)


def _located(
    client: Client, stream: Stream, subject: str, loop: asyncio.AbstractEventLoop
) -> Iterator[Located]:
    """Entries of a subject, for a thread beside the loop: one batch at a time in memory."""
    where, after = f"{stream.name} {subject}", 0
    while True:
        reading = read_behind(client, stream.name, subject, after)
        batch = asyncio.run_coroutine_threadsafe(reading, loop).result()
        if not batch:
            return
        yield from ((where, entry) for _, entry in batch if entry.data)
        after = batch[-1][1].sequence


async def _stored(
    client: Client, stream: Stream, subject: str, after: int = 0
) -> AsyncIterator[tuple[str, Entry]]:
    """Entries of a subject; claims and keepalives hold nothing."""
    while batch := await read_behind(client, stream.name, subject, after):
        for found in batch:
            if found[1].data:
                yield found
        after = batch[-1][1].sequence
