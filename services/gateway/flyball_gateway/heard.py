"""The last pulse of each service, as it was heard."""

import logging
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from typing import Final

from nats.aio.client import Client
from nats.aio.msg import Msg
from nats.errors import Error as NatsError
from pydantic import ValidationError

from flyball_kit import clock
from flyball_proto import subjects
from flyball_proto.progress import Pulse

log = logging.getLogger("flyball.gateway.heard")

SILENT_S: Final = 5.0
"""A service that was not heard for longer is missing."""
RETRY_S: Final = 0.5
REST_S: Final = 3600.0
MAX_PROCESSES: Final = 256
"""Processes that are remembered; at the bound the one longest silent is forgotten."""


@dataclass(frozen=True, slots=True)
class Heard:
    """One process's last pulse, and how long ago it came."""

    pulse: Pulse
    ago_s: float


class Pulses:
    """Listens to `pulse.*`; a service may run as several processes."""

    def __init__(self, client: Callable[[], Client]) -> None:
        self._client = client
        self._last: dict[tuple[str, int], tuple[Pulse, float]] = {}

    async def listen(self) -> None:
        """Listen, for ever; the client keeps the subscription when the broker comes back."""
        while True:
            try:
                await self._client().subscribe(subjects.pulse("*"), cb=self._on_pulse)
            except (NatsError, OSError):
                await clock.sleep(RETRY_S)
            else:
                break
        while True:
            await clock.sleep(REST_S)

    def now(self) -> list[Heard]:
        """The processes that were heard lately, by service; those long gone are left out."""
        at_s = clock.monotonic_s()
        heard = [Heard(pulse, at_s - seen_s) for pulse, seen_s in self._last.values()]
        present = {h.pulse.service for h in heard if h.ago_s <= SILENT_S}
        return sorted(
            (h for h in heard if h.ago_s <= SILENT_S or h.pulse.service not in present),
            key=lambda h: (h.pulse.service, h.ago_s),
        )

    def missing(self, expected: Iterable[str]) -> list[str]:
        """Services of these that were not heard for too long."""
        present = {h.pulse.service for h in self.now() if h.ago_s <= SILENT_S}
        return [service for service in expected if service not in present]

    async def _on_pulse(self, message: Msg) -> None:
        try:
            pulse = Pulse.model_validate_json(message.data)
        except ValidationError as error:
            log.warning("%s is unreadable: %s", message.subject, error.errors()[0]["msg"])
            return
        self._last[(pulse.service, pulse.pid)] = (pulse, clock.monotonic_s())
        if len(self._last) > MAX_PROCESSES:
            del self._last[min(self._last, key=lambda key: self._last[key][1])]
