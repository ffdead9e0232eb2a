"""Dispatches what was refused, and holds its messages in METRICS until they are dispatched."""

import asyncio
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from nats.aio.client import Client
from nats.js.errors import APIError

from flyball_ingest.quarantine import Dispatches, Unfinished, fetch
from flyball_kit import clock
from flyball_kit.connect import Connect
from flyball_kit.fold import Dispatcher, DispatchOptions, Endpoint, Input
from flyball_kit.fold.broker import UNANSWERED, epoch_of
from flyball_kit.fold.positions import Registered, register
from flyball_kit.telemetry import FoldTelemetry
from flyball_proto import streams

REGISTER_S: Final = 2.0


class HoldingDispatcher:
    """Reads `source`, dispatches by `route` to QUARANTINE, and holds `held` meanwhile."""

    def __init__(
        self,
        name: str,
        *,
        connect_to: Connect,
        client: Callable[[], Client],
        source: Endpoint,
        held: Endpoint,
        route: Callable[[Input], Dispatches],
        retain_mib: int,
    ) -> None:
        self.name = name
        self._client, self._held = client, held
        self._unfinished = Unfinished()
        self._dispatcher = Dispatcher(
            name,
            connect=connect_to,
            source=source,
            target=streams.QUARANTINE.name,
            route=self._unfinished.routing(route),
            complete=fetch,
            options=DispatchOptions(retain_source_bytes=retain_mib * streams.MIB),
            observer=FoldTelemetry(name),
        )

    async def run(self) -> None:
        """Run until stopped."""
        keeping = asyncio.create_task(self._keep())
        try:
            await self._dispatcher.run()
        finally:
            keeping.cancel()
            await asyncio.gather(keeping, return_exceptions=True)

    async def stop(self) -> None:
        """Finish what is under way and end."""
        await self._dispatcher.stop()

    async def _keep(self) -> None:
        told = 0
        while True:
            await clock.sleep(REGISTER_S)
            unneeded = self._unfinished.unneeded(self._dispatcher.stats.position)
            if unneeded <= told:
                continue
            with suppress(APIError, *UNANSWERED):
                js = self._client().jetstream()
                epoch = await epoch_of(js, self._held.stream)
                now = Registered(unneeded, " ".join(self._held.needed), epoch)
                await register(js, self._held.stream, self.name, now)
                told = unneeded
