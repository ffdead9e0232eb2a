"""What other services show of pipelines, read for `status`. What cannot be read is left out."""

import asyncio
import logging
from collections import Counter
from collections.abc import Callable, Collection, Iterable, Mapping
from contextlib import aclosing
from typing import Final, TypeVar

from nats.aio.client import Client
from nats.errors import Error as NatsError
from pydantic import BaseModel, ValidationError

from flyball_gateway.status import Around
from flyball_kit import clock
from flyball_kit.errors import TransientError
from flyball_kit.kv import Kv
from flyball_proto import streams, subjects
from flyball_proto.breakers import BreakerRecord, by_pipeline
from flyball_proto.holds import Hold, Stop
from flyball_proto.progress import Standings, TrainerProgress
from flyball_proto.runtimes import RuntimeState
from flyball_proto.streams import Bucket, Stream

T = TypeVar("T", bound=BaseModel)

MAX_OPEN: Final = 10_000
"""Open holds that are told apart, of all pipelines; further ones are not counted."""

log = logging.getLogger("flyball.gateway.views")


class Views:
    """Progress, standings, stops and holds. `client` gives the connection at each call."""

    def __init__(self, client: Callable[[], Client]) -> None:
        self._client = client
        self._open: dict[str, str] = {}
        self._arrived: set[str] = set()

    async def follow_holds(self) -> None:
        """Count the decisions that wait for a person, for ever."""
        holds: Kv[Hold] = Kv(self._client, streams.HOLDS, Hold)
        async with aclosing(holds.watch()) as changes:
            async for change in changes:
                if change.value is None or change.value.state != "open":
                    self._open.pop(change.key, None)
                elif len(self._open) < MAX_OPEN:
                    self._open[change.key] = change.value.pipeline

    async def around(self, sources: Collection[str]) -> Around:
        """Everything as it is now; `sources` are asked for whether they ever sent anything."""
        progress, standings, stops, runtimes, arrived, refused = await asyncio.gather(
            self._all(streams.PROGRESS, TrainerProgress),
            self._all(streams.STANDINGS, Standings),
            self._all(streams.STOPS, Stop),
            self._all(streams.RUNTIMES, RuntimeState),
            asyncio.gather(*map(self._has_arrived, sources)),
            self._refused(),
        )
        return Around(
            clock.utc_now(),
            _by_pipeline(progress.values()),
            standings,
            stops,
            Counter(self._open.values()),
            dict(zip(sources, arrived, strict=True)),
            refused,
            tuple(runtimes.values()),
            by_pipeline((await self._all(streams.BREAKERS, BreakerRecord)).values()),
        )

    async def _all(self, bucket: Bucket, kind: type[T]) -> Mapping[str, T]:
        """The records of a bucket that this version can read."""
        records: Kv[bytes] = Kv(self._client, bucket, bytes)
        found: dict[str, T] = {}
        try:
            items = await records.items()
        except TransientError as error:
            log.info("status goes without %s: %s", bucket.name, error)
            return found
        for key, (data, revision) in items.items():
            try:
                found[key] = kind.model_validate_json(data)
            except ValidationError as error:
                log.info("status goes without %s/%s %d: %s", bucket.name, key, revision, error)
        return found

    async def _has_arrived(self, source: str) -> bool | None:
        """Whether METRICS ever held a report of a source; None = not known. True stays true."""
        if source not in self._arrived:
            found = await self._counts(streams.METRICS, subjects.metrics(source, ">"))
            if found is None:
                return None
            if found:
                self._arrived.add(source)
        return source in self._arrived

    async def _refused(self) -> Mapping[str, int]:
        """Reports in QUARANTINE, by source; what is kept of labels is not counted."""
        by: Counter[str] = Counter()
        for subject, count in (
            await self._counts(streams.QUARANTINE, "quarantine.>") or {}
        ).items():
            by[subject.split(".")[1]] += count  # no source is named like a place of labels
        return by

    async def _counts(self, stream: Stream, pattern: str) -> Mapping[str, int] | None:
        """How many messages of each subject a stream holds; None = not known."""
        try:
            js = self._client().jetstream()
            info = await js.stream_info(stream.name, subjects_filter=pattern)
        except (NatsError, OSError) as error:
            log.info("what %s holds is not known: %r", stream.name, error)
            return None
        return info.state.subjects or {}


def _by_pipeline(found: Iterable[TrainerProgress]) -> Mapping[str, list[TrainerProgress]]:
    by: dict[str, list[TrainerProgress]] = {}
    for one in found:
        by.setdefault(one.pipeline, []).append(one)
    return by
