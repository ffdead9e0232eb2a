"""From committed verdicts to the records of breakers, the events, and orders to other partitions. Pure."""

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Final

from flyball_kit.fold import Dispatch, Input
from flyball_proto import streams, subjects
from flyball_proto.breakers import BreakerOrder, BreakerRecord, BreakerState, BreakerTurned
from flyball_proto.columns import Breaker, Turned
from flyball_risk.answering.recorded import changes_of

STATES: Final[dict[Breaker, BreakerState]] = {
    Breaker.CLOSED: "closed",
    Breaker.OPEN: "open",
    Breaker.TRIAL: "trial",
}
FOLLOWS: Final = "partition "
"""How the `by` of a breaker begins that opened because another partition's did."""


def turned_route(message: Input, partitions: int) -> list[Dispatch]:
    """What every turn in a message comes to. Keys are places in VERDICTS.

    The record; the event, unless it only follows; and where its own figures opened it the order to
    the other partitions, between their decisions.
    """
    batch = changes_of(message)
    if batch is None or not batch.turned:
        return []
    partition = int(message.subject.rsplit(".", 1)[1])
    at = datetime.fromtimestamp(message.time_ns // 1000 / 1e6, UTC)
    return [
        Dispatch(subject, (message.sequence, place), data, stream=stream)
        for place, turned in enumerate(batch.turned)
        for subject, data, stream in _of_one(batch.pipeline, turned, partition, partitions, at)
    ]


def _of_one(
    pipeline: str, turned: Turned, partition: int, partitions: int, at: datetime
) -> Iterator[tuple[str, bytes, str]]:
    record = BreakerRecord(
        pipeline=pipeline,
        partition=partition,
        state=STATES[turned.state],
        number=turned.number,
        reason=turned.reason,
        by=turned.by,
        clock_ms=turned.clock_ms,
        until_ms=turned.until_ms,
        at=at,
    )
    key = f"$KV.{streams.BREAKERS.name}.{pipeline}.{partition}"
    yield key, record.model_dump_json().encode(), f"KV_{streams.BREAKERS.name}"
    if not turned.by.startswith(FOLLOWS):
        event = BreakerTurned(pipeline=pipeline, at=at, breaker=record)
        yield event.subject, event.model_dump_json().encode(), streams.EVENTS.name
    if turned.state is Breaker.OPEN and not turned.by:
        order = BreakerOrder(
            state="open",
            number=turned.number,
            reason=turned.reason,
            by=f"{FOLLOWS}{partition}",
            clock_ms=turned.clock_ms,
            wait_ms=turned.until_ms - turned.clock_ms,
        )
        data = order.model_dump_json().encode()
        for other in range(partitions):
            if other != partition:
                yield subjects.answers(pipeline, other), data, streams.DECISIONS.name
