"""`/v1/events`: Server-Sent Events, resumed at the id that a client saw last."""

import asyncio
from collections.abc import AsyncGenerator, Awaitable, Callable, MutableMapping, Sequence
from contextlib import aclosing
from typing import Annotated, Any, Final

from fastapi import APIRouter, Header, Query, Request
from fastapi.responses import Response
from nats.errors import Error as NatsError
from typing_extensions import override

from flyball_gateway.api.entrance import Entrance, roles_of
from flyball_gateway.api.errors import ApiError
from flyball_gateway.api.parts import Parts
from flyball_gateway.identity.access import Person
from flyball_gateway.records import sse
from flyball_gateway.records.following import MAX_FOLLOWERS, Following
from flyball_gateway.records.reading import Stored
from flyball_proto import streams

HEARTBEAT_S: Final = 15.0
STALLED_S: Final = 30.0
"""A client that takes nothing for so long is ended; it resumes at the id that it saw last."""

PAGE: Final = 200
Message = MutableMapping[str, Any]
Send = Callable[[Message], Awaitable[None]]
Receive = Callable[[], Awaitable[Message]]


class EventStream(Response):
    """A response that lasts: one chunk an item, until the items or the client end."""

    media_type = "text/event-stream"

    def __init__(self, chunks: AsyncGenerator[bytes, None], following: Following) -> None:
        super().__init__(headers={"Cache-Control": "no-store", "X-Accel-Buffering": "no"})
        del self.headers["content-length"]
        self._chunks, self._following = chunks, following

    @override
    async def __call__(self, scope: Any, receive: Receive, send: Send) -> None:
        self._following.followers += 1
        sending = asyncio.ensure_future(self._send(send))
        leaving = asyncio.ensure_future(_left(receive))
        try:
            await asyncio.wait({sending, leaving}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            self._following.followers -= 1
            for task in (sending, leaving):
                task.cancel()
            await asyncio.gather(sending, leaving, return_exceptions=True)

    async def _send(self, send: Send) -> None:
        start = {"type": "http.response.start", "status": 200, "headers": self.raw_headers}
        await send(start)
        async with aclosing(self._chunks):
            async for chunk in self._chunks:
                async with asyncio.timeout(STALLED_S):
                    await send({"type": "http.response.body", "body": chunk, "more_body": True})
        await send({"type": "http.response.body", "body": b""})


def routes(parts: Parts, entrance: Entrance) -> APIRouter:
    """The one route."""
    router = APIRouter(prefix="/v1", tags=["events"])
    following = parts.following

    @router.get(
        "/events",
        response_class=EventStream,
        status_code=200,
        responses={200: {"content": {"text/event-stream": {}}}},
        openapi_extra=roles_of("read"),
    )
    async def events(
        request: Request,
        _: Annotated[Person, entrance.needs("read")],
        subject: Annotated[
            list[str] | None, Query(description="Patterns like `deployment.congestion.>`.")
        ] = None,
        last: Annotated[
            str | None, Header(alias="Last-Event-ID", description="Resume behind this id.")
        ] = None,
        after: Annotated[
            int | None, Query(ge=0, description="The same, for clients without that header.")
        ] = None,
    ) -> Response:
        """Every event as it is stored; ids are sequences of the stream EVENTS.

        Without an id it begins with the next event. `lost` says that events behind the id are no
        longer stored; `behind`, the last event, that this client reads too slowly, and from which
        id to go on.
        """
        patterns = _patterns(subject or [])
        if following.followers >= MAX_FOLLOWERS:
            raise ApiError(
                503,
                "too-many",
                f"{MAX_FOLLOWERS} clients follow events, which is the most; try again later",
                {"Retry-After": "15"},
            )
        bounds = await parts.reading.bounds(streams.EVENTS)
        position = _position(last, after, bounds.last)
        lost = bounds.first - 1 - position if bounds.first - 1 > position else 0
        chunks = _chunks(parts, lambda: entrance.who(request) is not None, patterns, position, lost)
        return EventStream(chunks, following)

    return router


async def _chunks(
    parts: Parts, may_stay: Callable[[], bool], patterns: Sequence[str], position: int, lost: int
) -> AsyncGenerator[bytes, None]:
    """What a client is sent: first what is stored, then what comes."""
    following, is_live = parts.following, False
    if lost:
        yield sse.notice("lost", {"after": position, "at_most": lost})
    yield sse.HEARTBEAT
    while may_stay() and not following.is_ended:
        changed = {following.changed.next(), parts.people.changed.next()}
        found = following.after(position)
        if found is None and is_live:
            yield sse.notice("behind", {"last_event_id": position})
            return
        is_live = found is not None
        if found is None:
            found = await _page(parts, position)
        for event in found:
            if sse.is_wanted(patterns, event.subject):
                yield sse.event(event.sequence, event.subject, event.data)
            position = event.sequence
        if not found:
            done, _ = await asyncio.wait(
                changed, timeout=HEARTBEAT_S, return_when=asyncio.FIRST_COMPLETED
            )
            if not done:
                yield sse.HEARTBEAT


async def _page(parts: Parts, position: int) -> list[Stored]:
    """Stored events behind a position; none while the broker is away."""
    reader = parts.reading.forward(streams.EVENTS, ">", position + 1, limit=PAGE)
    try:
        async with aclosing(reader):
            return [event async for event in reader]
    except (NatsError, OSError):
        return []


async def _left(receive: Receive) -> None:
    """Return once the client has gone."""
    while (await receive())["type"] != "http.disconnect":
        pass


def _patterns(found: list[str]) -> list[str]:
    if len(found) > sse.MAX_PATTERNS:
        raise ApiError(
            422,
            "invalid-request",
            f"subject: found {len(found)} patterns; valid: at most {sse.MAX_PATTERNS}",
        )
    try:
        return [sse.check(pattern) for pattern in found]
    except sse.PatternError as error:
        raise ApiError(422, "invalid-request", str(error)) from error


def _position(last: str | None, after: int | None, newest: int) -> int:
    """Behind which sequence to begin."""
    if last is not None:
        if not last.isdecimal() or len(last) > 18:
            raise ApiError(
                422, "invalid-request", f"Last-Event-ID {last[:32]!r}: valid: a number, as sent"
            )
        after = int(last)
    if after is None:
        return newest
    if after > newest:
        raise ApiError(
            409, "unknown-id", f"id {after}: the newest event is {newest}; is it of another stack?"
        )
    return after
