"""Lockstep: waiting until another service has settled a mark. Live operation knows no marks.

A mark travels in band behind the rows of a stretch. Trainer, registry and deployer answer in turn
with an event each, also when nothing was due; whoever needs the answer waits here.
"""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final, Generic, TypeVar

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from nats.js.errors import NotFoundError
from pydantic import ValidationError

from flyball_proto import streams
from flyball_proto.deployments import DeployerSettled
from flyball_proto.events import TrainerSettled
from flyball_proto.judgements import RegistrySettled

S = TypeVar("S", TrainerSettled, RegistrySettled, DeployerSettled)

LOOK_AGAIN_S: Final = 1.0
"""An announcement may fall between two connections; the stored one is looked up this often."""


class Settlements(Generic[S]):
    """The newest settled mark of each pipeline, by one service; one entry a pipeline."""

    def __init__(self, client: Callable[[], Client], kind: type[S]) -> None:
        self._client = client
        self._kind: type[S] = kind
        self._newest: dict[str, S] = {}
        self._listening = False
        self._moved = asyncio.Event()

    async def wait(self, pipeline: str, mark: str) -> S:
        """Wait until the service has settled `mark`, however long that takes."""
        while True:
            self._moved.clear()
            if (newest := self._newest.get(pipeline)) is not None and newest.mark == mark:
                return newest
            if not self._listening:
                self._listening = True
                await self._client().subscribe(self._kind.pattern(), cb=self._on_message)
            await self._look_up(pipeline)
            if (newest := self._newest.get(pipeline)) is not None and newest.mark == mark:
                return newest
            with suppress(TimeoutError):
                async with asyncio.timeout(LOOK_AGAIN_S):
                    await self._moved.wait()

    async def _look_up(self, pipeline: str) -> None:
        js = self._client().jetstream()
        subject = self._kind.pattern().replace("*", pipeline)
        with suppress(NotFoundError, NatsError, OSError):
            found = await js.get_last_msg(streams.EVENTS.name, subject)
            self._note(found.data or b"")

    async def _on_message(self, message: Msg) -> None:
        self._note(message.data)

    def _note(self, data: bytes) -> None:
        with suppress(ValidationError):
            settled = self._kind.model_validate_json(data)
            if self._newest.get(settled.pipeline) != settled:
                self._newest[settled.pipeline] = settled
                self._moved.set()
