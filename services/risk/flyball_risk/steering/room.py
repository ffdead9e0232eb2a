"""Makes room where nobody else does: holds that ended long ago, answers that were read."""

import logging
from collections.abc import Callable, Iterable
from typing import Final

from nats.aio.client import Client
from nats.errors import Error as NatsError

from flyball_kit import clock
from flyball_kit.errors import TransientError
from flyball_kit.fold.positions import purge_behind
from flyball_kit.kv import Kv
from flyball_proto import streams, subjects
from flyball_proto.holds import Hold
from flyball_risk.answering.recorded import CONTEXTS, RECORDS, context_subject_of, subject_of

log = logging.getLogger("flyball.risk.room")

EVERY_S: Final = 60.0
KEPT_ENDED: Final = 1000
"""Ended holds of a pipeline that stay recorded; older ones are in VERDICTS, EVENTS and AUDIT."""

KEEP_BYTES: Final = int(streams.DECISIONS.max_bytes * streams.RETAIN_RATIO)
"""As inference does with the decisions: what was read is purged above this size of DECISIONS."""


def removable(holds: Iterable[Hold], keep: int = KEPT_ENDED) -> list[str]:
    """Ids of ended holds beyond the newest `keep`. Pure."""
    ended = [hold for hold in holds if hold.state != "open"]
    ended.sort(key=lambda hold: (hold.answered_at or hold.opened_at, hold.id), reverse=True)
    return [hold.id for hold in ended[keep:]]


class Room:
    """Best effort, once a minute: while the broker does not answer, room is made later."""

    def __init__(
        self,
        holds: Kv[Hold],
        client: Callable[[], Client],
        pipelines: Callable[[], Iterable[str]],
        partitions: int,
    ) -> None:
        self._holds, self._client = holds, client
        self._pipelines, self._partitions = pipelines, partitions

    async def forever(self) -> None:
        """Run until cancelled."""
        while True:
            for pipeline in tuple(self._pipelines()):
                try:
                    await self.make(pipeline)
                except (TransientError, NatsError, OSError) as error:
                    log.info("%s: room is made later: %s", pipeline, error)
            await clock.sleep(EVERY_S)

    async def make(self, pipeline: str) -> None:
        """Remove what nobody needs of one pipeline."""
        js = self._client().jetstream()
        found = await self._holds.items(f"{pipeline}.")
        for hold in removable(hold for hold, _ in found.values()):
            await js.purge_stream(CONTEXTS, subject=context_subject_of(hold))
            await js.purge_stream(RECORDS, subject=subject_of(hold))
        for partition in range(self._partitions):
            subject = subjects.answers(pipeline, partition)
            await purge_behind(js, streams.DECISIONS.name, subject, keep_bytes=KEEP_BYTES)
