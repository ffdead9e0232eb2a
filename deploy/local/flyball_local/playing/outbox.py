"""Publishes to a stream as fast as it acknowledges, and again until it has.

Replay, the simulator and the tests send through it. A message that was acknowledged is stored;
one that was not is sent again under the same id, so that the stream keeps one of it.
"""

import asyncio
import json
from collections import deque
from dataclasses import dataclass
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg

from flyball_kit.errors import PermanentError
from flyball_proto.headers import MESSAGE_ID

IN_FLIGHT: Final = 1_000
ACK_TIMEOUT_S: Final = 2.0
GIVE_UP_S: Final = 120.0
RETRIED: Final = frozenset({10008, 10070, 10071, 10077})
"""Server away, an id or a sequence other than expected, stream full: sent again in order."""
EXPECTED_ID: Final = "Nats-Expected-Last-Msg-Id"


class PublishRefusedError(PermanentError):
    """The stream will not take a message, or nobody acknowledged for two minutes."""


@dataclass(slots=True)
class _Sent:
    number: int
    subject: str
    data: bytes
    acknowledged: bool = False


class Outbox:
    """At most `in_flight` messages on their way. Open it with `async with`.

    `ordered` stores them exactly in the order of `put`, also over a broker's death: each names the
    one before it. Only for a driver that is alone on the stream. `run` makes the ids unique.
    """

    def __init__(
        self, client: Client, run: str, *, in_flight: int = IN_FLIGHT, ordered: bool = False
    ) -> None:
        self._client, self._run, self._in_flight, self._ordered = client, run, in_flight, ordered
        self._inbox = client.new_inbox()
        self._waiting: deque[_Sent] = deque()
        self._by_number: dict[int, _Sent] = {}
        self._settled = asyncio.Event()
        self._moved_s = 0.0
        self._failure: PublishRefusedError | None = None
        self._refusal = "is the stack up, and may this user publish there?"
        self.stored = 0
        """Messages acknowledged."""
        self.last_sequence = 0
        """Highest stream sequence acknowledged."""

    async def __aenter__(self) -> "Outbox":
        self._subscription = await self._client.subscribe(f"{self._inbox}.*", cb=self._acknowledged)
        self._watcher = asyncio.create_task(self._watch())
        return self

    async def __aexit__(self, *_: object) -> None:
        self._watcher.cancel()
        await asyncio.gather(self._watcher, return_exceptions=True)
        if not self._client.is_closed:
            await self._subscription.unsubscribe()

    async def put(self, subject: str, data: bytes) -> None:
        """Send a message; waits while too many are on their way.

        Raises:
            PublishRefusedError: an earlier one was refused for good.
        """
        await self._until(self._in_flight - 1)
        sent = _Sent(self.stored + len(self._waiting) + 1, subject, data)
        if not self._waiting:
            self._moved_s = asyncio.get_running_loop().time()
        self._waiting.append(sent)
        self._by_number[sent.number] = sent
        await self._send(sent)

    async def drain(self) -> None:
        """Wait until everything is stored.

        Raises:
            PublishRefusedError: something was refused for good.
        """
        await self._until(0)

    async def _until(self, most: int) -> None:
        while len(self._waiting) > most and self._failure is None:
            self._settled.clear()
            await self._settled.wait()
        if self._failure is not None:
            raise self._failure

    async def _send(self, sent: _Sent) -> None:
        headers = {MESSAGE_ID: f"{self._run}-{sent.number}"}
        if self._ordered and sent.number > 1:
            headers[EXPECTED_ID] = f"{self._run}-{sent.number - 1}"
        await self._client.publish(
            sent.subject, sent.data, reply=f"{self._inbox}.{sent.number}", headers=headers
        )

    async def _acknowledged(self, message: Msg) -> None:
        sent = self._by_number.get(int(message.subject.rsplit(".", 1)[1]))
        if sent is None or not message.data:  # settled before, or no responders
            return
        answer = json.loads(message.data)
        if error := answer.get("error"):
            if error.get("err_code") not in RETRIED:
                self._fail(f"{sent.subject}: the stream refused a message: {error['description']}")
            self._refusal = f"the stream said: {error['description']}"
            return
        sent.acknowledged = True
        self.last_sequence = max(self.last_sequence, int(answer["seq"]))
        while self._waiting and self._waiting[0].acknowledged:
            del self._by_number[self._waiting.popleft().number]
            self.stored += 1
            self._moved_s = asyncio.get_running_loop().time()
        self._settled.set()

    async def _watch(self) -> None:
        """Send what is not acknowledged again, oldest first."""
        loop, stuck_s, seen = asyncio.get_running_loop(), 0.0, 0
        while True:
            await asyncio.sleep(ACK_TIMEOUT_S / 4)
            if self.stored != seen or not self._waiting:
                seen, stuck_s = self.stored, loop.time()
            if not self._waiting or loop.time() - self._moved_s < ACK_TIMEOUT_S:
                continue
            if loop.time() - stuck_s > GIVE_UP_S:
                self._fail(
                    f"{self._waiting[0].subject}: not acknowledged for {GIVE_UP_S:.0f} s; "
                    f"{self._refusal}"
                )
                return
            if self._client.is_connected:
                self._moved_s = loop.time()
                for sent in [s for s in self._waiting if not s.acknowledged]:
                    await self._send(sent)

    def _fail(self, why: str) -> None:
        self._failure = PublishRefusedError(why)
        self._settled.set()
