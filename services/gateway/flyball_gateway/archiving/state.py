"""How far the archive of a stream is, kept in KV `positions` and changed by compare-and-set. Pure.

What is to be written is planned first. So after a crash, or by a second gateway, exactly the same
files are written again, and no two files hold the same entry.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from typing import Final

from pydantic import Field

from flyball_kit.segments import Entry
from flyball_proto import streams
from flyball_proto.chains import LINK, Gap
from flyball_proto.events import Wire
from flyball_proto.headers import CHAIN
from flyball_proto.streams import Stream

SEGMENT_BYTES: Final = 8 << 20
"""Of payloads that are read at a time, and about what the archive holds in memory."""

SEGMENT_ENTRIES: Final = 10_000
MAX_SUBJECTS: Final = 10_000
"""Whose last number is remembered; of more a gap is seen by verification alone."""

FULL: Final = 0.8
"""Of the bytes of VERDICTS: from there on the archive goes without, so that judging goes on."""

AIR: Final = 0.2
"""So much of the stream it goes without at a time."""


class Archived(Wire):
    """Everything up to `through` is archived; up to `planned` is being written, 0 = nothing is."""

    version: int = 1
    epoch: str = Field(description="When the stream was created: another one begins anew.")
    through: int = 0
    planned: int = 0
    numbers: dict[str, int] = Field(
        default_factory=dict, description="Last number in its chain, by subject."
    )

    def settled(self, through: int, numbers: Mapping[str, int]) -> "Archived":
        """Everything up to `through` is done with."""
        known = dict(list({**self.numbers, **numbers}.items())[:MAX_SUBJECTS])
        return self.model_copy(update={"through": through, "planned": 0, "numbers": known})


def is_due(
    *, messages: int, held: int, held_bytes: int, bound_bytes: int, waited_s: float, every_s: float
) -> bool:
    """Whether to write what waits: it is enough for a file, or it waited long enough.

    A small stream is not left to fill: an eighth of its bound is enough there.
    """
    likely = held_bytes * messages // max(1, held)
    enough_bytes = min(SEGMENT_BYTES, bound_bytes // 8) if bound_bytes > 0 else SEGMENT_BYTES
    enough = messages >= SEGMENT_ENTRIES or likely >= enough_bytes
    return messages > 0 and (enough or waited_s >= every_s)


def number_of(stream: str, entry: Entry) -> int:
    """An entry's number in its chain; 0 = it is from before there was one."""
    try:
        if stream == streams.AUDIT.name:
            return int(json.loads(entry.data)[LINK]["number"])
        return int(entry.headers[CHAIN].split()[0])
    except (ValueError, KeyError, TypeError, IndexError):
        return 0


def by_subject(found: Iterable[tuple[str, Entry]]) -> dict[str, list[Entry]]:
    """What is archived of a batch: claims and keepalives hold nothing."""
    grouped: dict[str, list[Entry]] = {}
    for subject, entry in found:
        if entry.data:
            grouped.setdefault(subject, []).append(entry)
    return grouped


def last_numbers(stream: str, grouped: Mapping[str, Sequence[Entry]]) -> dict[str, int]:
    """The number of each subject's last entry, of those that have one."""
    found = {subject: number_of(stream, entries[-1]) for subject, entries in grouped.items()}
    return {subject: number for subject, number in found.items() if number}


def gaps(
    stream: Stream, known: Mapping[str, int], grouped: Mapping[str, Sequence[Entry]]
) -> list[Gap]:
    """What was removed from the stream before it could be archived."""
    found: list[Gap] = []
    for subject, entries in grouped.items():
        number, before = number_of(stream.name, entries[0]), known.get(subject, 0)
        if before and number > before + 1:
            found.append(gap(stream, subject, before, number - 1))
    return found


def gap(stream: Stream, subject: str, known: int, last: int) -> Gap:
    """Everything behind number `known` up to `last`."""
    return Gap(stream=stream.name, subject=subject, first=known + 1, last=last)
