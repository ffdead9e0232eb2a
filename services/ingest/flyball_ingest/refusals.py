"""Shows what quarantine keeps of a source: `cmd.ingest.quarantine`, newest first, bounded."""

import base64
from collections.abc import Callable, Mapping
from typing import Final

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError

from flyball_kit.errors import PermanentError, TransientError
from flyball_kit.newest import Stored, kept, newest
from flyball_proto import subjects
from flyball_proto.commands import ListQuarantined, Quarantined, QuarantinedReply
from flyball_proto.headers import CONTENT_TYPE, ORIGINAL_SEQUENCE, ORIGINAL_SUBJECT, REASONS
from flyball_proto.streams import MAX_REPORT_BYTES, QUARANTINE

LABELS: Final = ("_labels.", "_unread.")
"""What a pipeline's refused labels are asked for by, in the place of a source's name."""


class NothingKeptError(PermanentError):
    """Quarantine has no such report."""

    kind = "not-found"


class InvalidSourceError(PermanentError):
    """No source can be named so."""

    kind = "invalid"


class Refusals:
    """Answers from QUARANTINE; `client` gives the connection at each call."""

    def __init__(self, client: Callable[[], Client]) -> None:
        self._client = client

    async def answer(self, command: ListQuarantined) -> QuarantinedReply:
        """Refused reports of a source; one alone, with its payload, when its sequence is given.

        Raises:
            InvalidSourceError: No source can be named so.
            NothingKeptError: The report that was asked for is not kept.
            TransientError: The broker does not answer.
        """
        patterns = patterns_of(command.source)
        counts = await kept(self._client(), QUARANTINE, patterns)
        total = sum(counts.values())
        if command.sequence is None:
            found = await newest(
                self._client(), QUARANTINE, patterns, command.limit, payloads=False
            )
            reports = tuple(shown(message) for message in found)
            return QuarantinedReply(ok=True, reports=reports, total=total)
        for subject in counts:
            if message := await self._find(subject, command.sequence):
                return QuarantinedReply(ok=True, reports=(with_payload(message),), total=total)
        raise NothingKeptError(
            f"no refused report {command.sequence} of {command.source} is kept; {total} are, see "
            f"flyball quarantine list {command.source}"
        )

    async def _find(self, subject: str, sequence: int) -> Stored | None:
        """The report with this METRICS sequence; on each subject they only grow."""
        try:
            state = (await self._client().jetstream().stream_info(QUARANTINE.name)).state
            low, high = state.first_seq, state.last_seq + 1
            while low < high:
                middle = (low + high) // 2
                place, found = await self._next(subject, middle)
                if found == sequence:
                    one = await newest(self._client(), QUARANTINE, [subject], 1, before=place + 1)
                    return one[0] if one and one[0].sequence == place else None
                if found is None or found > sequence:
                    high = middle
                else:
                    low = place + 1
        except (NatsError, OSError) as error:
            raise TransientError(f"QUARANTINE: no answer from the broker ({error!r})") from error
        return None

    async def _next(self, subject: str, start: int) -> tuple[int, int | None]:
        """The first message at or behind `start`: its place and its METRICS sequence."""
        try:
            found = await (
                self._client()
                .jetstream()
                .get_msg(QUARANTINE.name, seq=start, subject=subject, next=True)
            )
        except NotFoundError:
            return 0, None
        return found.seq or 0, _sequence(found.headers or {})


def patterns_of(source: str) -> tuple[str, str]:
    """Subjects of a source in QUARANTINE, with one partition and with several.

    Raises:
        InvalidSourceError: No source can be named so.
    """
    prefix = next((p for p in LABELS if source.startswith(p)), "")
    if not subjects.is_name(source.removeprefix(prefix)):
        raise InvalidSourceError(
            f"{source!r} names no source: valid are lower-case letters, digits and dashes, e.g. "
            "ran; a pipeline's labels are under _labels.PIPELINE and _unread.PIPELINE"
        )
    return subjects.quarantine(source), subjects.quarantine(source) + ".*"


def shown(message: Stored) -> Quarantined:
    """A refused report without its payload."""
    reasons = message.headers.get(REASONS, "")
    words = [word for word in reasons.split(",") if word]
    # What is behind kind and source names the element, also when it has dots.
    tokens = message.headers.get(ORIGINAL_SUBJECT, "").split(".", 2)
    return Quarantined(
        sequence=_sequence(message.headers) or 0,
        element=tokens[2] if len(tokens) > 2 else "",
        at=message.at,
        codes=tuple(dict.fromkeys(word.split(":", 1)[0] for word in words)),
        detail=", ".join(words),
        size_bytes=message.size_bytes,
        content_type=message.headers.get(CONTENT_TYPE, ""),
    )


def with_payload(message: Stored) -> Quarantined:
    """A refused report with its payload, unless it is larger than any report may be."""
    found = shown(message)
    if len(message.data) > MAX_REPORT_BYTES:
        return found
    return found.model_copy(update={"payload": as_text(message.data)})


def as_text(payload: bytes) -> str:
    """Text as it is; else base64, which is always longer than `size_bytes` says."""
    try:
        return payload.decode()
    except UnicodeDecodeError:
        return base64.b64encode(payload).decode()


def _sequence(headers: Mapping[str, str]) -> int | None:
    found = headers.get(ORIGINAL_SEQUENCE, "")
    return int(found) if found.isdecimal() else None
