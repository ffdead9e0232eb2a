"""Records what a service did in AUDIT: who asked for what, why, and what came of it.

Acts are chained (`flyball_proto.chains`): each is stored by compare-and-set behind the last one of
its service, so that two instances cannot fork the chain and no number is missing.
"""

import asyncio
import json
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final, Literal, TypeVar

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.js import JetStreamContext
from nats.js.errors import APIError, NotFoundError
from pydantic import ValidationError

from flyball_kit import clock
from flyball_kit.errors import TransientError
from flyball_kit.fold.broker import UNANSWERED, UNAVAILABLE, WRONG_SEQUENCE, last_message
from flyball_proto import streams, subjects
from flyball_proto.acts import CHECKPOINT, Act
from flyball_proto.chains import LINK, Checkpoint, Gap, Head, Link, Place, beginning
from flyball_proto.headers import EXPECT

T = TypeVar("T")

TIMEOUT_S: Final = 5.0
"""Until then an act is stored, however often that must be tried, or the caller is told."""

TRY_S: Final = 1.5
AGAIN_S: Final = 0.05
SAME_S: Final = 300.0
"""An act that was told as not stored and is asked for again in that time is looked for first."""

MAX_RIVALS: Final = 50
"""Instances of the service that came first, one after the other, until the caller is told."""


@dataclass(frozen=True, slots=True)
class _End:
    """The last act of the service, and where AUDIT keeps it."""

    sequence: int
    place: Place


class Acts:
    """The acts of one service. `client` gives the connection at each call."""

    def __init__(self, client: Callable[[], Client], service: str) -> None:
        self._client, self._service = client, service
        self._subject = subjects.audit(service)
        self._turn = asyncio.Lock()
        self._end: _End | None = None
        self._unsettled: tuple[Act, int] | None = None  # and the sequence that it was put behind

    @property
    def service(self) -> str:
        """Whose acts these are."""
        return self._service

    async def record(
        self,
        verb: str,
        of: str,
        *,
        by: str,
        why: str = "",
        outcome: Literal["done", "refused", "failed"] = "done",
        detail: str = "",
        gap: Gap | None = None,
    ) -> None:
        """Store one act, once: one whose reply was lost is found again when it is asked for again.

        Raises:
            TransientError: The broker did not say that it is stored.
        """
        act = Act(
            service=self._service,
            at=clock.utc_now(),
            verb=verb,
            object=of,
            by=by,
            why=why,
            outcome=outcome,
            detail=detail,
            gap=gap,
        )
        await self._record(act)

    async def vouch(self, checkpoint: Checkpoint) -> None:
        """Store a checkpoint, as an act of the service itself.

        Raises:
            TransientError: The broker did not say that it is stored.
        """
        named = checkpoint.heads[0].subject
        more = len(checkpoint.heads) - 1
        act = Act(
            service=self._service,
            at=checkpoint.at,
            verb=CHECKPOINT,
            object=f"{named} and {more} more" if more else named,
            by=self._service,
            outcome="done",
            checkpoint=checkpoint,
        )
        await self._record(act)

    async def head(self) -> Head:
        """How far the service's chain reached; number 0 = there is no act yet.

        Raises:
            TransientError: The broker does not answer.
        """
        async with _answered(self._subject), self._turn:
            end = await self._last()
        return Head(
            stream=streams.AUDIT.name,
            subject=self._subject,
            number=end.place.number,
            sequence=end.sequence,
            hash=end.place.hash,
        )

    async def _record(self, act: Act) -> None:
        async with _answered(self._subject), self._turn:
            earlier = self._unsettled
            if earlier is not None:
                self._end = None
            for _ in range(MAX_RIVALS):
                if (earlier is not None and await self._is_stored(*earlier, act)) or (
                    await self._append(act)
                ):
                    self._unsettled = None
                    return
        raise TransientError(f"{self._subject}: {MAX_RIVALS} others came first; try again")

    async def _append(self, act: Act) -> bool:
        """Put an act behind the last one; False = somebody else came first."""
        end = await self._last()
        chained = act.behind(end.place)
        self._unsettled = chained, end.sequence
        return await self._put(chained, end.sequence) or await self._is_stored(
            chained, end.sequence, act
        )

    async def _put(self, act: Act, behind: int) -> bool:
        """Send the same bytes until they are stored; False = something else stands there now."""
        data, headers = act.model_dump_json().encode(), {EXPECT: str(behind)}
        while True:
            try:
                stored = await self._js.publish(self._subject, data, headers=headers, timeout=TRY_S)
            except APIError as error:
                if error.err_code in WRONG_SEQUENCE:
                    self._end = None
                    return False
                if error.code != UNAVAILABLE:
                    raise
            except UNANSWERED:
                pass
            else:
                self._end = _End(stored.seq, _place(act.link, self._subject))
                return True
            await clock.sleep(AGAIN_S)

    async def _is_stored(self, tried: Act, behind: int, act: Act) -> bool:
        """Whether an earlier try of an act is stored: it can only stand right behind `behind`."""
        if not tried.says_same(act) or (act.at - tried.at).total_seconds() > SAME_S:
            return False
        return await self._next(behind) == tried.model_dump_json().encode()

    async def _next(self, sequence: int) -> bytes | None:
        stream, subject = streams.AUDIT.name, self._subject
        try:
            found = await _until_answered(
                lambda: self._js.get_msg(stream, seq=sequence + 1, subject=subject, next=True)
            )
        except NotFoundError:
            return None
        return found.data

    async def _last(self) -> _End:
        if self._end is None:
            found = await _until_answered(
                lambda: last_message(self._js, streams.AUDIT.name, self._subject)
            )
            link = None if found is None else _link(found.data or b"")
            self._end = _End(found.seq or 0 if found else 0, _place(link, self._subject))
        return self._end

    @property
    def _js(self) -> JetStreamContext:
        return self._client().jetstream(timeout=TRY_S)


@asynccontextmanager
async def _answered(subject: str) -> AsyncIterator[None]:
    """At most `TIMEOUT_S`; what the broker does not answer is a `TransientError`."""
    try:
        async with asyncio.timeout(TIMEOUT_S):
            yield
    except (NatsError, OSError) as error:
        raise TransientError(f"{subject} is not stored: {error!r}") from error


async def _until_answered(call: Callable[[], Awaitable[T]]) -> T:
    """A question without effect, asked again; whoever asks bounds it."""
    while True:
        try:
            return await call()
        except APIError as error:
            if error.code != UNAVAILABLE:
                raise
        except UNANSWERED:
            pass
        await clock.sleep(AGAIN_S)


def _place(link: Link | None, subject: str) -> Place:
    """Where a chain stands; it begins behind acts from before there was one."""
    return link.place if link is not None else beginning(subject)


def _link(data: bytes) -> Link | None:
    try:
        return Link.model_validate(json.loads(data)[LINK])
    except (ValueError, KeyError, TypeError, ValidationError):
        return None
