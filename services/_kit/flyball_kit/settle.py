"""Turn an exception into the right acknowledgement. The only room that catches `Exception`.

FastStream's default for NATS is REJECT_ON_ERROR: one unhandled exception, such as Redis being down
for a second, and the message is gone for good. Here instead:

* a permanent error (`PermanentError`, a body that does not validate or decode) is stored as a dead
  letter on `dead.<service>`, payload untouched, and then terminated;
* any other error brings the message back after an exponential delay, and after the last delivery
  makes it a dead letter too;
* while the dead letter cannot be stored, the message is not terminated either;
* a command (a core request) is never delivered again: the asker gets a `Reply` with the error;
* a long handler tells the broker that it still works, so that nobody else gets its message.

Bounds: `Retry`; one heartbeat task a message under way.
"""

import asyncio
import logging
import re
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from types import TracebackType
from typing import Any, Final

from fast_depends import ValidationError as ArgumentError
from faststream import BaseMiddleware
from faststream.exceptions import HandlerException, NackMessage, RejectMessage
from faststream.message import StreamMessage
from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from opentelemetry import metrics
from pydantic import ValidationError
from typing_extensions import override

from flyball_kit import clock
from flyball_kit.errors import PermanentError, TransientError
from flyball_proto import headers, subjects
from flyball_proto.commands import Failure, Reply

ACK_WAIT_S: Final = 6.0
"""The broker delivers a message again when it hears nothing for so long.

Also what a lost acknowledgement costs a consumer that works strictly in order.
"""

HEARTBEAT_S: Final = ACK_WAIT_S / 3
MAX_ERROR_CHARS: Final = 1024
"""A longer error message is cut in the dead letter's header and in a reply."""


@dataclass(frozen=True, slots=True)
class Retry:
    """How often a failing message is delivered and how long it waits: by default two minutes."""

    deliveries: int = 10
    first_s: float = 0.1
    factor: float = 3.0
    longest_s: float = 30.0

    def delay_s(self, delivery: int) -> float:
        """Seconds to wait after failed delivery number `delivery` (1, 2, ...)."""
        return min(self.first_s * self.factor ** (delivery - 1), self.longest_s)


class Settle:
    """FastStream middleware; one object serves all subscribers of a service."""

    def __init__(self, service: str, retry: Retry = Retry()) -> None:
        self.service, self.retry = service, retry
        self._client: Callable[[], Client] | None = None
        self._log = logging.getLogger(f"flyball.{service}.settle")
        self._outcomes = metrics.get_meter("flyball").create_counter(
            "flyball.settle.failures", description="Failed messages by what became of them."
        )

    def bind(self, client: Callable[[], Client]) -> None:
        """Say which connection stores dead letters and answers commands."""
        self._client = client

    def __call__(self, msg: Any, /, *, context: Any) -> "_Settling":
        """Make the middleware of one message."""
        return _Settling(msg, settle=self, context=context)

    async def settle(self, raw: Msg, error: Exception) -> None:
        """Answer, retry or bury one failed message; always raises what FastStream acts on."""
        if not is_stored(raw):
            await self._answer(raw, error)
            raise RejectMessage from error
        delivery = raw.metadata.num_delivered
        if is_permanent(error) or delivery >= self.retry.deliveries:
            await self._bury(raw, error, delivery)
            raise RejectMessage from error
        delay_s = error.delay_s if isinstance(error, TransientError) else None
        self._say(logging.WARNING, "retried", raw, error)
        raise NackMessage(delay=self.retry.delay_s(delivery) if delay_s is None else delay_s)

    async def _answer(self, raw: Msg, error: Exception) -> None:
        self._say(logging.WARNING, "answered", raw, error)
        if raw.reply and self._client:
            await self._client().publish(raw.reply, failure(error).model_dump_json().encode())

    async def _bury(self, raw: Msg, error: Exception, delivery: int) -> None:
        """Store the dead letter. The id makes it one letter, however often this is tried."""
        assert self._client is not None, "bind() comes first"  # noqa: S101 - wiring mistake
        place = raw.metadata
        kept = {k: v for k, v in (raw.headers or {}).items() if not k.startswith("Nats-")}
        letter = kept | {
            headers.ORIGINAL_SUBJECT: raw.subject,
            headers.ORIGINAL_SEQUENCE: str(place.sequence.stream),
            headers.ERROR: one_line(f"{type(error).__name__}: {error}"),
            headers.MESSAGE_ID: f"{place.stream}:{place.sequence.stream}:{place.consumer}",
        }
        try:
            js = self._client().jetstream()
            await js.publish(subjects.dead(self.service), raw.data, headers=letter)
        except (NatsError, OSError, TimeoutError) as trouble:
            self._say(logging.ERROR, "kept", raw, trouble)
            raise NackMessage(delay=self.retry.delay_s(delivery)) from error
        self._say(logging.ERROR, "dead", raw, error)

    def _say(self, level: int, outcome: str, raw: Msg, error: Exception) -> None:
        self._outcomes.add(1, {"outcome": outcome})
        wanted = is_permanent(error) or isinstance(error, TransientError)
        said = one_line(str(error)) or type(error).__name__
        # An error that nobody foresaw keeps its traceback.
        trace = None if wanted else error
        self._log.log(level, "%s: %s: %s", raw.subject, outcome, said, exc_info=trace)


class _Settling(BaseMiddleware[Any, Any]):
    """One message on its way through a handler."""

    def __init__(self, msg: Any, *, settle: Settle, context: Any) -> None:
        super().__init__(msg, context=context)
        self._settle, self._decoded = settle, False

    @override
    async def consume_scope(
        self, call_next: Callable[[StreamMessage[Msg]], Awaitable[Any]], msg: StreamMessage[Msg]
    ) -> Any:
        self._decoded = True
        async with _heartbeat(msg.raw_message):
            try:
                return await call_next(msg)
            except HandlerException:
                raise
            except Exception as error:  # noqa: BLE001 - the one place, see above
                await self._settle.settle(msg.raw_message, error)

    @override
    async def after_processed(
        self,
        exc_type: type[BaseException] | None = None,
        exc_val: BaseException | None = None,
        exc_tb: TracebackType | None = None,
    ) -> bool | None:
        """Settle what failed outside the handler: decoding before it, publishing the result after."""
        if not isinstance(exc_val, Exception) or isinstance(exc_val, HandlerException):
            return False
        if not self._decoded:
            exc_val = PermanentError(f"the body cannot be decoded: {exc_val}")
        await self._settle.settle(self.msg, exc_val)
        return False


def is_stored(raw: Msg) -> bool:
    """Whether the message came from a stream and waits for an acknowledgement."""
    return raw.reply.startswith("$JS.ACK.")


def is_permanent(error: Exception) -> bool:
    """Whether trying again cannot help."""
    return isinstance(error, (PermanentError, ValidationError, ArgumentError))


def failure(error: Exception) -> Reply:
    """What the asker of a command that failed is told."""
    kind = getattr(error, "kind", "invalid" if is_permanent(error) else "internal")
    message = one_line(str(error)) or type(error).__name__
    return Reply(ok=False, error=Failure(kind=str(kind), message=message))


def one_line(text: str) -> str:
    """Header values and replies may hold no line breaks and stay short."""
    return re.sub(r"\s+", " ", text).strip()[:MAX_ERROR_CHARS]


@asynccontextmanager
async def _heartbeat(raw: Msg) -> AsyncIterator[None]:
    """Tell the broker every 2 s that the message is still being worked on."""
    if not is_stored(raw):
        yield
        return

    async def beat() -> None:
        while True:
            await clock.sleep(HEARTBEAT_S)
            # A beat missed while the broker is away is no reason to stop the handler.
            with suppress(NatsError, OSError):
                await raw.in_progress()

    task = asyncio.create_task(beat())
    try:
        yield
    finally:
        task.cancel()
