"""Lockstep: a mark behind each stretch, and waiting until every partition's VERDICTS show it."""

import asyncio
import json
from collections import deque
from contextlib import aclosing
from typing import Final

from nats.aio.client import Client
from nats.js.errors import NotFoundError

from flyball_kit.errors import TransientError
from flyball_local.tail import follow
from flyball_proto import subjects
from flyball_proto.columns import decode_verdicts
from flyball_proto.headers import MARK
from flyball_proto.streams import DECISIONS, FEATURES, MARK_TIMEOUT_S, VERDICTS

REMEMBERED_MARKS: Final = 64
"""Newest marks of a partition that `Marks.wait` knows; a driver is at most a few ahead."""


class MarkTimeoutError(TransientError):
    """A mark did not come through in time."""

    def __init__(self, mark: str, pipeline: str, partitions: list[int], timeout_s: float) -> None:
        super().__init__(
            f"mark {mark} of pipeline {pipeline} was not settled in {timeout_s:.0f} s in "
            f"partition(s) {', '.join(map(str, partitions))}"
        )
        self.mark, self.partitions = mark, partitions


def mark_report(mark: str, time_ms: int, *, last: bool = False) -> bytes:
    """What a driver writes behind the rows of a stretch; behind the `last` one nobody waits."""
    more = {"last": True} if last else {}
    return json.dumps({"id": mark, "time_ms": time_ms, **more}).encode()


class Marks:
    """Watches VERDICTS of one pipeline. Start `watch` as a task."""

    def __init__(self, client: Client, pipeline: str, partitions: int, after: int) -> None:
        self._client, self._pipeline, self._after = client, pipeline, after
        self._passed: dict[int, deque[str]] = {
            p: deque(maxlen=REMEMBERED_MARKS) for p in range(partitions)
        }
        self._moved = asyncio.Event()

    async def watch(self) -> None:
        """Note marks as they are stored, for ever."""
        pattern = f"verdicts.{self._pipeline}.*"
        async with aclosing(follow(self._client, VERDICTS.name, pattern, self._after)) as found:
            async for message in found:
                mark = decode_verdicts(message.data).flow.mark if message.data else None
                if mark is not None:
                    self._passed[int(message.subject.rsplit(".", 1)[1])].append(mark.id)
                    self._moved.set()

    async def wait(self, mark: str, timeout_s: float = MARK_TIMEOUT_S) -> None:
        """Wait until every partition has passed `mark`.

        Raises:
            MarkTimeoutError: One has not.
        """
        try:
            async with asyncio.timeout(timeout_s):
                while self._missing(mark):
                    self._moved.clear()
                    await self._moved.wait()
        except TimeoutError as error:
            missing = self._missing(mark)
            raise MarkTimeoutError(mark, self._pipeline, missing, timeout_s) from error

    def _missing(self, mark: str) -> list[int]:
        return [p for p, passed in self._passed.items() if mark not in passed]


async def late_stages(client: Client, pipeline: str, digest8: str, late: MarkTimeoutError) -> str:
    """Per partition the first stage that does not stand right behind the mark; role `operator`."""
    found = []
    for partition in late.partitions:
        chain = {
            "ingest": (FEATURES.name, subjects.features(pipeline, digest8, partition)),
            "inference": (DECISIONS.name, subjects.decisions(pipeline, partition)),
            "risk": (VERDICTS.name, subjects.verdicts(pipeline, partition)),
        }
        for service, (stream, subject) in chain.items():
            if await _newest_mark(client, stream, subject) != late.mark:
                found.append(f"{service} has not passed it in partition {partition}")
                break
    return "; ".join(found) or "it arrived just now"


async def _newest_mark(client: Client, stream: str, subject: str) -> str | None:
    try:
        message = await client.jetstream().get_last_msg(stream, subject, direct=True)
    except NotFoundError:
        return None
    return (message.headers or {}).get(MARK)
