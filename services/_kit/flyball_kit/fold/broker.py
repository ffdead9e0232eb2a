"""JetStream calls that outlive a broker's restart, and what its error codes mean here."""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any, Final, TypeVar

from nats.aio.client import Client
from nats.errors import Error as NatsError
from nats.errors import NoRespondersError, NoServersError, OutboundBufferLimitError
from nats.js import JetStreamContext
from nats.js.api import RawStreamMsg
from nats.js.errors import APIError, NoStreamResponseError, NotFoundError

from flyball_kit.fold.errors import InputChanged

log = logging.getLogger(__name__)
T = TypeVar("T")

WRONG_SEQUENCE: Final = frozenset({10071, 10164})
"""A compare-and-set failed; 10164 is the same inside atomic batches."""
NO_MESSAGE: Final = 10037
NO_STREAM: Final = 10059
UNAVAILABLE: Final = 503
"""JetStream is not up yet, or (err_code 10077) a `discard: new` stream is full."""

UNANSWERED: Final = (
    TimeoutError,
    NoStreamResponseError,
    NoRespondersError,
    OutboundBufferLimitError,
)
"""Nobody answered; whether the call took effect is unknown."""

API_TIMEOUT_S: Final = 2.0
"""How long the broker may take to answer; a question asked while it restarts is lost."""
HANG_UP_S: Final = 0.2
RETRY_S: Final = 0.1
RESEND_S: Final = 0.05
RECONNECT_POLL_S: Final = 0.02
CLOCK_RESOLUTION_S: Final = 2e-6
"""The client reads message times as floating-point microseconds, the broker keeps nanoseconds."""

Connect = Callable[[str], Awaitable[Client]]


async def end(task: asyncio.Future[Any] | None) -> None:
    """Cancel a task until it has ended.

    Once is not enough: before Python 3.12 `wait_for`, on which the client library stands, may
    swallow a cancellation that arrives together with the answer.
    """
    while task is not None and not task.done():
        task.cancel()
        await asyncio.wait({task}, timeout=RETRY_S)


class Stopped(Exception):  # noqa: N818 - a way out, not an error
    """`stop` was asked for while something was waited for."""


class Stop:
    """A wish to end, and ways to wait that respect it."""

    def __init__(self) -> None:
        self._wish = asyncio.Event()

    @property
    def asked(self) -> bool:
        """Whether to end."""
        return self._wish.is_set()

    def ask(self) -> None:
        """Ask to end."""
        self._wish.set()

    async def pause(self, seconds: float) -> None:
        """Wait, or raise Stopped as soon as that is asked for."""
        with suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._wish.wait()
        if self.asked:
            raise Stopped

    async def unless(self, work: Awaitable[T]) -> T:
        """Await `work`, or cancel it and raise Stopped as soon as that is asked for."""
        working = asyncio.ensure_future(work)
        wish = asyncio.ensure_future(self._wish.wait())
        try:
            await asyncio.wait({working, wish}, return_when=asyncio.FIRST_COMPLETED)
            if not working.done():
                raise Stopped
            return working.result()
        finally:
            await end(working)
            await end(wish)


def jetstream(connection: Client) -> JetStreamContext:
    """JetStream over a connection, with our patience."""
    return connection.jetstream(timeout=API_TIMEOUT_S)


async def connected(connect: Connect, name: str, stop: Stop) -> Client:
    """Open a connection, however long the broker takes to come up."""
    while True:
        dialling = asyncio.ensure_future(connect(name))
        try:
            return await stop.unless(asyncio.shield(dialling))
        except (Stopped, asyncio.CancelledError):
            await _hang_up(dialling)
            raise
        except (NoServersError, OSError) as error:
            log.warning("%s: no broker yet (%s), trying again", name, error)
        await stop.pause(RETRY_S)


async def closed(connection: Client) -> None:
    """Close a connection, also one whose broker died in this moment: then there is nobody to tell."""
    with suppress(NatsError, OSError):
        await connection.close()


async def _hang_up(dialling: asyncio.Future[Client]) -> None:
    """Close a connection that nobody waits for any more; cut off half-way it would leak."""
    await asyncio.wait({dialling}, timeout=HANG_UP_S)
    await end(dialling)
    if not dialling.cancelled() and dialling.exception() is None:
        await closed(dialling.result())


async def patient(call: Callable[[], Awaitable[T]], stop: Stop, what: str) -> T:
    """A call without effect, repeated until it is answered.

    A stream that does not exist yet is waited for; `what` names it in the log, once.
    """
    told = False
    while True:
        try:
            return await call()
        except APIError as error:
            if error.code != UNAVAILABLE and error.err_code != NO_STREAM:
                raise
            reason: Exception = error
        except UNANSWERED as error:
            reason = error
        if not told:
            log.warning("waiting for %s: %s", what, reason)
            told = True
        await stop.pause(RETRY_S)


async def pause_until_connected(connection: Client, stop: Stop) -> None:
    """Wait before sending again, so that copies do not pile up in the reconnect buffer."""
    await stop.pause(RESEND_S)
    while not connection.is_connected:
        await stop.pause(RECONNECT_POLL_S)


async def last_message(js: JetStreamContext, stream: str, subject: str) -> RawStreamMsg | None:
    """The newest message of a subject; None when there is none.

    Asked of the stream's leader: a direct get may reach a lagging replica.
    """
    try:
        return await js.get_last_msg(stream, subject)
    except NotFoundError as error:
        if error.err_code == NO_MESSAGE:
            return None
        raise


async def epoch_of(js: JetStreamContext, stream: str) -> str:
    """The time at which a stream was created: tells it from a later one of the same name."""
    info = await js.stream_info(stream)
    return info.created.isoformat() if info.created else "unknown"


async def check_identity(
    js: JetStreamContext, stream: str, *, epoch: str, sequence: int, time_ns: int
) -> None:
    """Whether `stream` is still the one in which `sequence` was read at `time_ns`.

    Deleted and made anew, restored, or rolled back by a power loss, a stream uses its sequence
    numbers again; going on by number alone would skip or mix. A message already removed, or a
    `time_ns` of 0, leaves only epoch and end to compare.

    Raises:
        InputChanged: when it is not.
    """
    info = await js.stream_info(stream)
    created = info.created.isoformat() if info.created else "unknown"
    if created != epoch:
        raise InputChanged(
            f"{stream}: created {created}, but the position belongs to the one created {epoch}. "
            "Restore that stream, or delete the output subject to start over"
        )
    if sequence > info.state.last_seq:
        raise InputChanged(
            f"{stream}: ends at {info.state.last_seq}, but {sequence} was read before: it was "
            "rolled back. Restore it, or delete the output subject to start over"
        )
    if not time_ns or sequence < info.state.first_seq:
        return
    try:
        stored = (await js.get_msg(stream, seq=sequence)).time
    except NotFoundError:
        return
    if stored is None or abs(stored.timestamp() - time_ns / 1e9) > CLOCK_RESOLUTION_S:
        raise InputChanged(
            f"{stream}: message {sequence} was stored at {stored}, but the one read before at "
            f"{time_ns} ns: it was rolled back and refilled. Restore it, or delete the output "
            "subject to start over"
        )
