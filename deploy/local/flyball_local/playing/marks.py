"""Lockstep: a mark behind each stretch, and waiting until every partition's VERDICTS show it."""

import asyncio
import json
from collections import deque
from collections.abc import Callable
from contextlib import aclosing
from typing import Final

from nats.aio.client import Client
from nats.js.errors import NotFoundError

from flyball_kit.errors import TransientError
from flyball_local.showing.tail import follow
from flyball_proto import subjects
from flyball_proto.columns import Verdicts, decode_verdicts
from flyball_proto.deployments import DeployerSettled
from flyball_proto.events import TrainerSettled
from flyball_proto.headers import MARK
from flyball_proto.judgements import RegistrySettled
from flyball_proto.streams import (
    DECISIONS,
    EVENTS,
    FEATURES,
    MARK_TIMEOUT_S,
    SAMPLES,
    VERDICTS,
)

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
    """Watches VERDICTS of one pipeline; `seen` gets every batch. Start `watch` as a task."""

    def __init__(
        self,
        client: Client,
        pipeline: str,
        partitions: int,
        after: int,
        seen: Callable[[Verdicts], None] | None = None,
    ) -> None:
        self._client, self._pipeline, self._after = client, pipeline, after
        self._seen = seen
        self._passed: dict[int, deque[str]] = {
            p: deque(maxlen=REMEMBERED_MARKS) for p in range(partitions)
        }
        self._moved = asyncio.Event()

    async def watch(self) -> None:
        """Note marks as they are stored, for ever."""
        pattern = f"verdicts.{self._pipeline}.*"
        async with aclosing(follow(self._client, VERDICTS.name, pattern, self._after)) as found:
            async for message in found:
                if message.data:
                    self._note(
                        int(message.subject.rsplit(".", 1)[1]), decode_verdicts(message.data)
                    )

    def _note(self, partition: int, batch: Verdicts) -> None:
        if self._seen is not None:
            self._seen(batch)
        if batch.flow.mark is not None:
            self._passed[partition].append(batch.flow.mark.id)
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


async def settled(
    client: Client,
    pipeline: str,
    mark: str,
    partitions: int,
    timeout_s: float = MARK_TIMEOUT_S,
) -> None:
    """Wait until trainer, registry and deployer have settled a mark; role `operator`.

    Raises:
        MarkTimeoutError: One has not.
    """
    try:
        async with asyncio.timeout(timeout_s):
            subject = DeployerSettled.pattern().replace("*", pipeline)
            async with aclosing(follow(client, EVENTS.name, subject, 0)) as found:
                async for message in found:
                    if DeployerSettled.model_validate_json(message.data).mark == mark:
                        return
    except TimeoutError as error:
        raise MarkTimeoutError(mark, pipeline, list(range(partitions)), timeout_s) from error


async def late_stages(client: Client, pipeline: str, digest8: str, late: MarkTimeoutError) -> str:
    """Per partition the first stage that does not stand right behind the mark; role `operator`.

    Inference stands behind the mark before until everybody has settled that one.
    """
    found = []
    for partition in late.partitions:
        at = {
            "ingest": await _newest_mark(
                client, FEATURES.name, subjects.features(pipeline, digest8, partition)
            ),
            "inference": await _newest_mark(
                client, DECISIONS.name, subjects.decisions(pipeline, partition)
            ),
            "risk": await _newest_mark(
                client, VERDICTS.name, subjects.verdicts(pipeline, partition)
            ),
            "ingest (samples)": await _newest_mark(
                client, SAMPLES.name, subjects.samples(pipeline, digest8, partition)
            ),
        }
        who = _first_late(at, late.mark) or await unsettled(client, pipeline, at["inference"])
        mark = late.mark if at["inference"] == late.mark else at["inference"]
        if who is not None:
            about = "it" if mark in (late.mark, None) or who == "ingest" else f"mark {mark}"
            found.append(f"{who} has not passed {about} in partition {partition}")
        elif at["inference"] != late.mark:
            found.append(f"inference has not passed it in partition {partition}")
    return "; ".join(found) or "it arrived just now"


def _first_late(at: dict[str, str | None], mark: str) -> str | None:
    """The first fold that is behind; those behind inference are measured by where it stands."""
    if at["ingest"] != mark:
        return "ingest"
    if at["inference"] is None:
        return "inference"
    return next(
        (stage for stage in ("risk", "ingest (samples)") if at[stage] != at["inference"]), None
    )


async def unsettled(client: Client, pipeline: str, mark: str | None) -> str | None:
    """The first of trainer, registry and deployer that has not settled a mark."""
    kinds: dict[str, type[TrainerSettled | RegistrySettled | DeployerSettled]] = {
        "trainer": TrainerSettled,
        "registry": RegistrySettled,
        "deployer": DeployerSettled,
    }
    for service, kind in kinds.items():
        subject = kind.pattern().replace("*", pipeline)
        try:
            found = await client.jetstream().get_last_msg(EVENTS.name, subject, direct=True)
        except NotFoundError:
            return service
        if kind.model_validate_json(found.data or b"").mark != mark:
            return service
    return None


async def _newest_mark(client: Client, stream: str, subject: str) -> str | None:
    try:
        message = await client.jetstream().get_last_msg(stream, subject, direct=True)
    except NotFoundError:
        return None
    return (message.headers or {}).get(MARK)
