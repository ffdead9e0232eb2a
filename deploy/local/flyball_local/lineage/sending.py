"""Sends OpenLineage events to a catalogue over HTTP."""

from collections.abc import Iterable

from openlineage.client.event_v2 import RunEvent
from openlineage.client.transport.http import HttpConfig, HttpTransport

from flyball_local.invalid import InvalidInputError


def send(events: Iterable[RunEvent], url: str) -> int:
    """Send each to `<url>/api/v1/lineage`; how many were taken.

    Raises:
        InvalidInputError: nobody takes them there.
    """
    sent = 0
    try:
        transport = HttpTransport(HttpConfig(url=url, retry={"total": 0}))
        for event in events:
            transport.emit(event)
            sent += 1
    except (OSError, ValueError) as error:
        raise InvalidInputError(
            f"{url}: {sent} events were taken, then: {error}; valid: the address of a service that "
            "takes OpenLineage events on /api/v1/lineage"
        ) from error
    return sent
