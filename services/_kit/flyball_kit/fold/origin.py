"""Where a reader begins that has no position yet."""

from typing import Literal

from nats.js import JetStreamContext
from nats.js.errors import NotFoundError

from flyball_kit.fold.broker import NO_MESSAGE
from flyball_kit.fold.contract import Endpoint


async def origin(js: JetStreamContext, source: Endpoint, start: Literal["first", "next"]) -> int:
    """The sequence behind which to read: before the first message stored, or at the end.

    It is the sequence just before the first message of *these subjects*: in a shared stream older
    ones of theirs may be purged while other subjects' are still there, and that is no loss.
    """
    state = (await js.stream_info(source.stream)).state
    if start == "next":
        return state.last_seq
    firsts = [await _first(js, source.stream, s, state.first_seq) for s in source.subjects]
    return min((first - 1 for first in firsts if first), default=state.last_seq)


async def _first(js: JetStreamContext, stream: str, subject: str, at_least: int) -> int:
    try:
        return (await js.get_msg(stream, seq=max(1, at_least), subject=subject, next=True)).seq or 0
    except NotFoundError as error:
        if error.err_code == NO_MESSAGE:
            return 0
        raise
