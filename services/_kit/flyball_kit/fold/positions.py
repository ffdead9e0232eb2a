"""Who has read how far: registered positions of readers, and purging behind them.

Streams of the data plane refuse new messages when full, so someone has to make room: the writer of
a subject purges it behind the slowest registered reader, never beyond. A reader that is registered
but gone holds the stream until `forget` is called; one that never registered is not waited for. A
reader that gives way is not waited for either where the stream is nearly full.
"""

import asyncio
import json
import logging
import re
from collections.abc import Callable
from dataclasses import dataclass
from itertools import zip_longest
from typing import Any

from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import APIError

from flyball_kit.clock import sleep, utc_now
from flyball_kit.fold.broker import UNANSWERED, last_message
from flyball_kit.fold.contract import Endpoint
from flyball_proto.streams import POSITIONS

log = logging.getLogger(__name__)

_READER = re.compile(r"[A-Za-z0-9_=/-]+(\.[A-Za-z0-9_=/-]+)*")
BUCKET_STREAM = f"KV_{POSITIONS.name}"

NEARLY_FULL = 0.9
"""Of the bytes of a stream: from there on readers that give way lose what they have not read."""
RELIEVED = 0.7
"""So full the stream stays then: they lose no more at a time."""


@dataclass(frozen=True, slots=True)
class Registered:
    """A reader no longer needs `sequence` and what is older.

    `subject` is what it reads, several separated by blanks; `epoch` names the stream's life. One that
    `gives_way` may be gone for long without stopping those who write.
    """

    sequence: int
    subject: str
    epoch: str
    gives_way: bool = False

    def to_json(self) -> bytes:
        """The value that the bucket keeps."""
        value: dict[str, Any] = {
            "sequence": self.sequence,
            "subject": self.subject,
            "epoch": self.epoch,
            "at": utc_now().isoformat(),
        }
        if self.gives_way:
            value["gives_way"] = True
        return json.dumps(value).encode()


def check_reader(name: str) -> str:
    """Return a reader's name if it may be part of a key.

    Raises:
        ValueError: when it may not.
    """
    if not _READER.fullmatch(name):
        raise ValueError(
            f"reader name {name!r}: use letters, digits and _=/- in words joined by dots"
        )
    return name


def subject_of(stream: str, reader: str) -> str:
    """Where the bucket keeps a reader's position (key `<STREAM>.<reader>`)."""
    return f"$KV.{POSITIONS.name}.{stream}.{reader}"


def retention_end(first: int, last: int, held_bytes: int, keep_bytes: int) -> int:
    """The sequence before which a stream may be purged to hold about `keep_bytes`.

    Takes messages to be of like size, which repeated purging corrects. Pure.
    """
    if held_bytes <= keep_bytes:
        return first
    kept = -(-(last - first + 1) * keep_bytes // held_bytes)
    return last + 1 - kept


def overlap(left: str, right: str) -> bool:
    """Whether one subject may match both patterns; `>` here stands for nothing, too."""
    for a, b in zip_longest(left.split("."), right.split(".")):
        if ">" in (a, b):
            return True
        if a is None or b is None or (a != b and "*" not in (a, b)):
            return False
    return True


async def register(js: JetStreamContext, stream: str, reader: str, registered: Registered) -> None:
    """Say how far a reader has read. Its only writer is the reader, so the last one counts."""
    await js.publish(subject_of(stream, reader), registered.to_json())


async def forget(js: JetStreamContext, stream: str, reader: str) -> None:
    """Wait for a reader no longer: its pipeline is gone. Absent is as good as forgotten."""
    await js.publish(subject_of(stream, reader), b"", headers={"KV-Operation": "DEL"})


async def release(js: JetStreamContext, stream: str, reader: str) -> None:
    """`forget` a reader that runs no more; if the broker does not take it, that is said in the log."""
    try:
        await forget(js, stream, reader)
    except (NatsError, OSError) as error:
        log.warning("%s still holds %s: %s; forget it by hand", reader, stream, error)


async def find(js: JetStreamContext, stream: str, reader: str) -> Registered | None:
    """A reader's registered position; None when it is unknown."""
    return await _read(js, subject_of(stream, reader))


async def registered(js: JetStreamContext, stream: str) -> dict[str, Registered]:
    """All registered readers of a stream, by name."""
    prefix = subject_of(stream, "")
    info = await js.stream_info(BUCKET_STREAM, subjects_filter=f"{prefix}>")
    subjects = list(info.state.subjects or {})
    found = await asyncio.gather(*(_read(js, subject) for subject in subjects))
    return {s.removeprefix(prefix): r for s, r in zip(subjects, found, strict=True) if r}


async def _read(js: JetStreamContext, subject: str) -> Registered | None:
    message = await last_message(js, BUCKET_STREAM, subject)
    if message is None or not message.data:
        return None
    value: dict[str, Any] = json.loads(message.data)
    sequence, subject, epoch = value["sequence"], value["subject"], value["epoch"]
    return Registered(int(sequence), str(subject), str(epoch), bool(value.get("gives_way")))


def _reads(reader: Registered, subject: str) -> bool:
    return any(overlap(read, subject) for read in reader.subject.split())


async def purge_behind(js: JetStreamContext, stream: str, subject: str, *, keep_bytes: int) -> int:
    """Make room in a stream that holds more than `keep_bytes`.

    Removes from `subject` what every reader registered for it has read, but not the last message of
    the subject (it may be a commit record), nor the message at the slowest position (by it a
    restarted reader recognises the stream). Readers of other subjects are not waited for, nor in a
    stream that is `NEARLY_FULL` those that give way, until it is `RELIEVED`.

    Returns:
        The sequence before which the subject was purged; 0 = nothing was done.
    """
    info = await js.stream_info(stream)
    state = info.state
    newest = await last_message(js, stream, subject) if state.bytes > keep_bytes else None
    if newest is None:
        return 0
    oldest = await js.get_msg(stream, seq=max(1, state.first_seq), subject=subject, next=True)
    first = oldest.seq or state.first_seq  # of the stream may be another subject's, and far older
    end = retention_end(first, state.last_seq, state.bytes, keep_bytes)
    epoch = info.created.isoformat() if info.created else ""
    readers = [r for r in (await registered(js, stream)).values() if r.epoch == epoch]
    mine = [r for r in readers if _reads(r, subject)]
    end = min(end, newest.seq or 0, *(r.sequence for r in mine if not r.gives_way))
    bound = info.config.max_bytes or 0
    if 0 < bound * NEARLY_FULL <= state.bytes:
        must = retention_end(first, state.last_seq, state.bytes, int(bound * RELIEVED))
    else:
        must = first
    end = min(end, *(max(r.sequence, must) for r in mine if r.gives_way), end)
    if end <= first:
        return 0
    await js.purge_stream(stream, seq=end, subject=subject)
    return end


class Housekeeping:
    """Registers a reader's position and makes room, at a bounded rate, beside the hot path.

    Best effort: while the broker does not answer, room is made later. `position` is None for a
    reader that registers by itself.
    """

    def __init__(
        self,
        js: JetStreamContext,
        source: Endpoint,
        reader: str,
        *,
        every_s: float,
        position: Callable[[], Registered] | None,
        retain: dict[Endpoint, int],
    ) -> None:
        self._js, self._source, self._reader = js, source, reader
        self._every_s, self._position, self._retain = every_s, position, retain
        self._told: Registered | None = None

    async def forever(self) -> None:
        """Run until cancelled."""
        while True:
            await self.once()
            await sleep(self._every_s)

    async def once(self) -> None:
        """Register the position if it moved, then make room."""
        try:
            await self._register()
            for endpoint, keep_bytes in self._retain.items():
                for subject in endpoint.needed:
                    await purge_behind(self._js, endpoint.stream, subject, keep_bytes=keep_bytes)
        except (APIError, *UNANSWERED) as error:
            log.info("position of %s not registered: %s", self._reader, error)

    async def _register(self) -> None:
        now = self._position() if self._position else None
        if now is not None and now != self._told:
            await register(self._js, self._source.stream, self._reader, now)
            self._told = now
